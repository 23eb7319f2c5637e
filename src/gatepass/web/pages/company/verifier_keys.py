"""/company/verifier-keys: the verifier keys, creating and deactivating one. For operators."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import InvalidInput, Unavailable
from gatepass.registry.directory import companies, verifier_keys
from gatepass.registry.directory.verifier_keys import MOST_COMPANIES, VerifierKey
from gatepass.registry.storage.database import Change, Reading
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, refused
from gatepass.web.pages.layout.lists import address_of_page, list_page
from gatepass.web.pages.layout.navigation import VERIFIER_KEYS
from gatepass.web.pages.layout.one_time_form import (
    INCOMPLETE,
    AlreadyCreated,
    create_once,
    is_form_id,
    new_form_id,
)
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import RESUME, Fields, Form

router = page_router()

PATH = VERIFIER_KEYS.path


@dataclass(frozen=True)
class Typed:
    """The input of the form.

    Attributes:
        companies: names, one a line.
    """

    label: str = ""
    companies: str = ""
    form_id: str = field(default_factory=new_form_id)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The submitted form."""
        return cls(fields.one("label").strip(), fields.one("companies"), fields.one("form_id"))


@router.get(PATH)
def show(screen: CurrentScreen, cursor: str = "", done: str = "") -> Response:
    """The keys, newest first."""
    screen.actor.require_operator()
    with screen.read() as reading:
        page = list_page(
            lambda: verifier_keys.list_(reading, screen.actor, limit=50, cursor=cursor or None),
            lambda at: address_of_page(PATH, {"cursor": at}),
            cursor,
        )
        # The list names the first one of each.
        names = _names(reading, [id_ for key in page.items for id_ in (key.companies or ())[:1]])
    return screen.render(
        "company/verifier_keys.html",
        page.status,
        page=page,
        company_names=names,
        flash="Deactivated. Every request with the key is refused now." if done == "ended" else "",
    )


@router.get(f"{PATH}/new")
def show_form(screen: CurrentScreen) -> Response:
    """The form."""
    screen.actor.require_operator()
    return _form(screen)


@router.post(f"{PATH}/new")
@resumable
def send_form(screen: CurrentScreen, fields: Form) -> Response:
    """Create the key and show it once, or show the form again with its errors."""
    screen.actor.require_operator()
    typed = Typed.read(fields)
    if fields.one("do") == RESUME:
        return _form(screen, OPENED, typed)
    if not is_form_id(typed.form_id):
        typed = replace(typed, form_id=new_form_id())
        return _form(screen, FormState(422, {"": INCOMPLETE}), typed)

    def create(change: Change) -> tuple[VerifierKey, str]:
        chosen = _companies(change, typed.companies)
        return verifier_keys.create(change, screen.actor, label=typed.label, companies=chosen)

    try:
        key, text, confirmed = create_once(screen, PATH, typed.form_id, create)
    except AlreadyCreated:
        return screen.render(
            "company/key_already_created.html", 409, path=PATH, noun="verifier key"
        )
    except (InvalidInput, Unavailable) as error:
        return _form(screen, refused(error, button="Create"), typed)
    return _about(
        screen, "company/verifier_key_created.html", key, text=text, unconfirmed=not confirmed
    )


@router.get(f"{PATH}/{{id}}/deactivate")
def ask(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page."""
    with screen.read() as reading:
        key = verifier_keys.get(reading, screen.actor, id)
    return _about(screen, "company/verifier_key_deactivate.html", key)


@router.post(f"{PATH}/{{id}}/deactivate")
def deactivate(screen: CurrentScreen, id: str) -> Response:
    """Deactivate the key for good."""
    with screen.write() as change:
        verifier_keys.deactivate(change, screen.actor, id)
    return see_other(f"{PATH}?done=ended", confirmed=change.confirmed)


def _companies(reading: Reading, typed: str) -> list[str] | None:
    """The ids of the companies that the lines of *typed* name; None if there is no line.

    Raises:
        InvalidInput: for ``companies``.
    """
    lines = [(number, line.strip()) for number, line in enumerate(typed.splitlines(), 1)]
    lines = [(number, name) for number, name in lines if name]
    if len(lines) > MOST_COMPANIES:
        raise InvalidInput([("companies", f"Must be at most {MOST_COMPANIES} companies.")])
    found = []
    for number, name in lines:
        company = companies.by_name(reading, name)
        if company is None:
            message = f"Line {number}: Must be the name of an active company."
            raise InvalidInput([("companies", message)])
        found.append(company.id)
    return found or None


def _names(reading: Reading, ids: Sequence[str]) -> dict[str, str]:
    return {id_: companies.get(reading, id_).name for id_ in set(ids)}


def _about(screen: Screen, template: str, key: VerifierKey, **context: Any) -> Response:
    with screen.read() as reading:
        names = _names(reading, key.companies or ())
    return screen.render(template, key=key, company_names=names, **context)


def _form(screen: Screen, state: FormState = OPENED, typed: Typed | None = None) -> HTMLResponse:
    return screen.render_form("company/verifier_key_new.html", state, typed=typed or Typed())
