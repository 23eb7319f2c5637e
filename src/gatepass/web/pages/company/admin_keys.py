"""/company/admin-keys: the admin keys, creating and deactivating one. For operators."""

from dataclasses import dataclass, field, replace
from typing import Self

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import InvalidInput, NotFound, Unavailable
from gatepass.registry.directory import admin_keys, companies
from gatepass.registry.directory.admin_keys import AREAS, AdminKey
from gatepass.registry.storage.database import Change, Reading
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, refused
from gatepass.web.pages.layout.lists import address_of_page, list_page
from gatepass.web.pages.layout.navigation import ADMIN_KEYS
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
from gatepass.web.pages.widgets.expiry import CHOICES, read_expiry

router = page_router()

PATH = ADMIN_KEYS.path
#: What each permission lets a key manage.
TITLES = {
    "companies": "Create, rename and deactivate companies",
    "owners": "Create, change and deactivate the owners of access tokens",
    "tokens": "Create, change and deactivate owners' access tokens",
    "portal": "Open portal sessions for owners",
    "verifiers": "Create verifier keys",
}
_DEFAULT_EXPIRY = "1y"


@dataclass(frozen=True)
class Typed:
    """The input of the form."""

    label: str = ""
    company: str = ""
    permissions: list[str] = field(default_factory=list)
    networks: str = ""
    expire: str = _DEFAULT_EXPIRY
    expires_on: str = ""
    offset: str = ""
    form_id: str = field(default_factory=new_form_id)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The submitted form."""
        return cls(
            label=fields.one("label").strip(),
            company=fields.one("company").strip(),
            permissions=fields.all("permissions"),
            networks=fields.one("networks"),
            expire=fields.one("expire"),
            expires_on=fields.one("expires_on").strip(),
            offset=fields.one("offset"),
            form_id=fields.one("form_id"),
        )


@router.get(PATH)
def show(screen: CurrentScreen, cursor: str = "", done: str = "") -> Response:
    """The keys, newest first."""
    screen.actor.require_operator()
    with screen.read() as reading:
        page = list_page(
            lambda: admin_keys.list_(reading, screen.actor, limit=50, cursor=cursor or None),
            lambda at: address_of_page(PATH, {"cursor": at}),
            cursor,
        )
        names = _company_names(reading, page.items)
    return screen.render(
        "company/admin_keys.html",
        page.status,
        page=page,
        company_names=names,
        flash="Deactivated. Every call with the key is refused now." if done == "ended" else "",
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
    try:
        key, text, confirmed = _create(screen, typed)
    except AlreadyCreated:
        return screen.render("company/key_already_created.html", 409, path=PATH, noun="admin key")
    except (InvalidInput, Unavailable) as error:
        return _form(screen, _by_field(refused(error, button="Create")), typed)
    with screen.read() as reading:
        names = _company_names(reading, [key])
    return screen.render(
        "company/admin_key_created.html",
        unconfirmed=not confirmed,
        key=key,
        text=text,
        company_names=names,
    )


@router.get(f"{PATH}/{{id}}/deactivate")
def ask(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page."""
    with screen.read() as reading:
        key = admin_keys.get(reading, screen.actor, id)
        names = _company_names(reading, [key])
    return screen.render("company/admin_key_deactivate.html", key=key, company_names=names)


@router.post(f"{PATH}/{{id}}/deactivate")
def deactivate(screen: CurrentScreen, id: str) -> Response:
    """Deactivate the key for good."""
    with screen.write() as change:
        admin_keys.deactivate(change, screen.actor, id)
    return see_other(f"{PATH}?done=ended", confirmed=change.confirmed)


def _create(screen: Screen, typed: Typed) -> tuple[AdminKey, str, bool]:
    try:
        expires_at = read_expiry(typed.expire, typed.expires_on, typed.offset, screen.now())
    except ValueError as error:
        raise InvalidInput([("expires_at", str(error))]) from None
    if not typed.permissions:
        # The registry takes none as all, which must not come from an oversight.
        raise InvalidInput([("permissions", "Must be at least one.")])

    def create(change: Change) -> tuple[AdminKey, str]:
        return admin_keys.create(
            change,
            screen.actor,
            label=typed.label,
            company=_company(change, typed.company),
            permissions=typed.permissions,
            networks=typed.networks.split(),
            expires_at=expires_at,
        )

    return create_once(screen, PATH, typed.form_id, create)


def _company(reading: Reading, name: str) -> str | None:
    if not name:
        return None
    try:
        return companies.named(reading, name).id
    except NotFound as error:
        raise InvalidInput([("company", "Must be the name of an active company.")]) from error


def _by_field(state: FormState) -> FormState:
    """Messages of list items at their field: networks are lines of one."""
    problems: dict[str, str] = {}
    for name, message in state.problems.items():
        at, _, index = name.partition(".")
        line = f"Line {int(index) + 1}: " if at == "networks" and index else ""
        problems.setdefault(at, line + message)
    return FormState(state.status, problems, retry_after=state.retry_after)


def _company_names(reading: Reading, keys: list[AdminKey]) -> dict[str, str]:
    limited = {key.company for key in keys if key.company is not None}
    return {id_: companies.get(reading, id_).name for id_ in limited}


def _form(screen: Screen, state: FormState = OPENED, typed: Typed | None = None) -> HTMLResponse:
    return screen.render_form(
        "company/admin_key_new.html",
        state,
        typed=typed or Typed(permissions=list(AREAS)),
        titles=TITLES,
        presets=CHOICES,
    )
