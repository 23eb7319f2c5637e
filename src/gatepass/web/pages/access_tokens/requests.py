"""/access-requests: what access tokens ask for, and the answers; ending an exception."""

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.registry.membership import access_requests
from gatepass.registry.replication import receipt_status
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.tokens import store
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.temporary import exceptions, request_records
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import not_saved
from gatepass.web.pages.layout.lists import address_of_page, list_page
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Form

PATH = "/access-requests"

_DECIDERS = 4
_STATUSES = ("pending", "")
#: What each button says that allows it for a while, by its seconds.
_FOR_A_WHILE = {"900": "15 minutes", "3600": "1 hour"}
_FOR_GOOD, _NO = "always", "no"

router = page_router()


@router.get(PATH)
def show_list(screen: CurrentScreen, status: str = "pending", cursor: str = "") -> Response:
    """The requests that the visitor can answer; with any other *status* than pending, all."""
    screen.require(request_records.DECIDE)
    shown = status if status in _STATUSES else ""
    with screen.read() as reading:
        page = list_page(
            lambda: request_records.list_(
                reading,
                screen.actor,
                catalogue=screen.node.catalogue,
                status=shown or None,
                cursor=cursor or None,
            ),
            lambda at: address_of_page(PATH, {"status": shown or "any", "cursor": at}),
            cursor,
        )
    return screen.render("access_tokens/requests.html", page.status, page=page, shown=shown)


@router.get(PATH + "/{id}")
def show(screen: CurrentScreen, id: str) -> Response:
    """One request, with the buttons to answer it."""
    return _page(screen, id)


@router.post(PATH + "/{id}")
def answer(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Answer the request. If somebody has meanwhile, show the answer."""
    chosen = fields.one("answer")
    if chosen not in (*_FOR_A_WHILE, _FOR_GOOD, _NO):
        return _page(screen, id)
    try:
        with screen.write() as change:
            _answer(change, screen, id, chosen)
    except Conflict as error:
        if error.reason != "not_pending":
            return _page(screen, id, 409, error.message)
        return see_other(f"{PATH}/{id}")
    except InvalidInput as error:
        return _page(screen, id, 422, " ".join(message for _, message in error.errors))
    except Unavailable as error:
        return _page(screen, id, 503, not_saved(error, button="the button"))
    return see_other(f"{PATH}/{id}", confirmed=change.confirmed)


@router.post("/access-tokens/{id}/exceptions/{permission}/end")
def end_exception(screen: CurrentScreen, id: str, permission: str) -> Response:
    """End an exception of a token now."""
    with screen.write() as change:
        exceptions.end(change, screen.actor, id, permission)
    return see_other(f"/access-tokens/{id}", confirmed=change.confirmed)


def _answer(change: Change, screen: Screen, id: str, chosen: str) -> None:
    if chosen == _NO:
        access_requests.deny(change, screen.actor, id)
        return
    seconds = None if chosen == _FOR_GOOD else int(chosen)
    access_requests.approve(
        change, screen.actor, id, seconds=seconds, catalogue=screen.node.catalogue
    )


def _answers(
    reading: Reading, screen: Screen, token: AccessToken, permission: str
) -> list[tuple[str, str]]:
    """The values and labels of the buttons to offer."""
    actor = screen.actor
    if actor.kind != "user" or not (actor.may(request_records.DECIDE) and actor.may(permission)):
        return []
    found = [(_NO, "No")]
    if request_records.may_decide(reading, actor.user, actor.permissions, token, permission):
        if (
            # No edit of a token adds what needs a second person.
            not request_records.needs_second_person(reading, token.company, permission)
            and screen.visitor.may_modify
            and all(map(actor.may, token.permissions))
        ):
            found.insert(0, (_FOR_GOOD, "For good"))
        found = [*_FOR_A_WHILE.items(), *found]
    return found


def _page(screen: Screen, id: str, status: int = 200, failure: str = "") -> HTMLResponse:
    with screen.read() as reading:
        request = request_records.visible(reading, screen.actor, id)
        row = store.find(reading, screen.actor.company, request.access_token.id)
        token = store.token_of(reading, row)
        call = request_records.refused_call(reading, request)
        deciders = request_records.deciders(reading, token, request.permission, most=_DECIDERS)
        answers = _answers(reading, screen, token, request.permission)
        receipt = receipt_status.find(reading, request.id)
    in_effect = token.exceptions if token.status == "active" else ()
    titles = {each.name: each.title for each in screen.node.catalogue.permissions}
    return screen.render(
        "access_tokens/request.html",
        status,
        request=request,
        token=token,
        call=call,
        title=titles.get(request.permission, ""),
        deciders=[one.name for one in deciders],
        answers=answers,
        in_effect=next((one for one in in_effect if one.request == request.id), None),
        receipt=receipt,
        failure=failure,
    )
