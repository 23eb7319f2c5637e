"""/company/service-accounts/new and …/{id}/edit: a service account's name and role."""

from starlette.responses import HTMLResponse, Response

from gatepass.core.display_text import marked
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.core.grants import SERVICE_ACCOUNT
from gatepass.registry.directory import owner_records, owner_search, owners, role_records
from gatepass.registry.directory.owner_records import Owner
from gatepass.registry.directory.owner_roles import fits_service_accounts, require_not_above
from gatepass.registry.directory.role_records import Role
from gatepass.registry.tokens.ending.of_owner import left
from gatepass.web.pages.company.owners import PATHS
from gatepass.web.pages.company.roles import may_hold
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, Difference, FormState, refused
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.text.wording import counted, role_can

_PATH = PATHS[SERVICE_ACCOUNT]
_MANAGE = "service-accounts:manage"

router = page_router()


@router.get(f"{_PATH}/new")
def show_new(screen: CurrentScreen) -> Response:
    """The empty form."""
    screen.require(_MANAGE)
    return _page(screen, None, "", "")


@router.post(f"{_PATH}/new")
@resumable
def create(screen: CurrentScreen, fields: Form) -> Response:
    """Create the service account, or show what that would do."""
    screen.require(_MANAGE)
    name, role = fields.one("name").strip(), fields.one("role")
    other = _other_button(screen, None, name, role, fields)
    if other is not None:
        return other
    try:
        with screen.write() as change:
            owners.create(
                change, screen.actor, catalogue=screen.node.catalogue, name=name, role=role
            )
    except (InvalidInput, Forbidden, Unavailable) as error:
        return _page(screen, None, name, role, _state(error, "Create"))
    return see_other(f"{_PATH}?done=created", confirmed=change.confirmed)


@router.get(f"{_PATH}/{{id}}/edit")
def show_edit(screen: CurrentScreen, id: str, role: str = "") -> Response:
    """The form with the present settings; another *role* is chosen already."""
    account = _account(screen, id)
    return _page(screen, account, account.name, role or account.role)


@router.post(f"{_PATH}/{{id}}/edit")
@resumable
def modify(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Save the changes, or show what they would do."""
    account = _account(screen, id)
    name, role = fields.one("name").strip(), fields.one("role")
    etag = fields.one("etag")
    other = _other_button(screen, account, name, role, fields)
    if other is not None:
        return other
    try:
        with screen.write() as change:
            owners.modify(
                change,
                screen.actor,
                id,
                catalogue=screen.node.catalogue,
                changes={"name": name, "role": role},
                if_match=[etag],
            )
    except (InvalidInput, Forbidden, Unavailable) as error:
        return _page(screen, account, name, role, _state(error, "Save"), etag)
    except Conflict as error:
        if error.reason != "changed_meanwhile":
            raise
        return _changed_meanwhile(screen, id, name, role)
    return see_other(f"{_PATH}?done=saved", confirmed=change.confirmed)


def _other_button(
    screen: Screen, account: Owner | None, name: str, role: str, fields: Fields
) -> HTMLResponse | None:
    """The answer to any button but the one that saves; None for that one."""
    pressed = fields.one("do")
    if pressed == "sentence":
        sentence = _sentence(screen, account, name, role)
        return screen.render("company/sentence.html", sentence=sentence)
    if pressed != "save":
        return _page(screen, account, name, role, etag=fields.one("etag"))
    return None


def _state(error: InvalidInput | Forbidden | Unavailable, button: str) -> FormState:
    if isinstance(error, Forbidden):
        if error.permission in (None, _MANAGE):
            raise error
        message = f"This role includes {error.permission}, which you don't have."
        return FormState(403, {"role": message})
    return refused(error, button=button)


def _changed_meanwhile(screen: Screen, id: str, name: str, role: str) -> HTMLResponse:
    account = _account(screen, id)
    known = _roles(screen)
    differences = []
    if name != account.name:
        differences.append(Difference("Name", account.name, name))
    if role != account.role:
        saved, typed = (
            known[each].name if each in known else each for each in (account.role, role)
        )
        differences.append(Difference("Role", saved, typed))
    state = screen.changed_meanwhile(account.id, differences)
    return _page(screen, account, name, role, state)


def _page(
    screen: Screen,
    account: Owner | None,
    name: str,
    role: str,
    state: FormState = OPENED,
    etag: str = "",
) -> HTMLResponse:
    known = _roles(screen).values()
    offered = [each for each in known if may_hold(screen, each) and _fits(screen, each)]
    return screen.render_form(
        "company/owner_form.html",
        state,
        account=account,
        typed=name,
        role=role,
        etag=etag or (owner_records.etag(account) if account else ""),
        offered=offered,
        withheld=[each.name for each in known if each not in offered and _fits(screen, each)],
        sentence=_sentence(screen, account, name, role),
    )


def _sentence(screen: Screen, account: Owner | None, name: str, role: str) -> str:
    """The summary of saving the form."""
    chosen = _roles(screen).get(role)
    if not name:
        return "Enter a name."
    if chosen is None:
        return "Choose a role."
    if account is None:
        return (
            f"Access tokens of {marked(name)} can at most {role_can(chosen)}. They keep working "
            "when the people who created them leave."
        )
    if (name, role) == (account.name, account.role):
        return f"{marked(name)} stays as it is."
    with screen.read() as reading:
        tokens = left(reading, screen.actor, account.id, limit=0, permission=_MANAGE).count
    sentence = f"From their next call, access tokens of {marked(name)} can at most "
    sentence += f"{role_can(chosen)}."
    return f"{sentence} It has {counted(tokens, 'access token')}." if tokens else sentence


def _fits(screen: Screen, role: Role) -> bool:
    return fits_service_accounts(role_records.permits(role, screen.node.catalogue))


def _roles(screen: Screen) -> dict[str, Role]:
    with screen.read() as reading:
        return role_records.of_company(reading, screen.node.catalogue, screen.company)


def _account(screen: Screen, id: str) -> Owner:
    """The service account, if the visitor may change it now.

    Raises:
        Forbidden: the visitor may not, or its role includes more than theirs.
        Conflict: it is deactivated.
    """
    screen.require(_MANAGE)
    with screen.read() as reading:
        account = owner_search.get(reading, screen.actor, id, SERVICE_ACCOUNT)
        require_not_above(reading, screen.actor, account)
    owner_records.require_active(account)
    return account
