"""/company/service-accounts and /company/external-owners: owners of tokens that aren't people."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from gatepass.core.grants import EXTERNAL, SERVICE_ACCOUNT
from gatepass.registry.directory import owner_search, role_records
from gatepass.registry.input.text import search_text
from gatepass.web.pages.company.roles import may_hold
from gatepass.web.pages.layout.lists import address_of_page, list_page
from gatepass.web.pages.layout.navigation import EXTERNAL_OWNERS, SERVICE_ACCOUNTS
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router

#: The path of the list of each type.
PATHS: dict[str, str] = {
    SERVICE_ACCOUNT: SERVICE_ACCOUNTS.path,
    EXTERNAL: EXTERNAL_OWNERS.path,
}
_DONE = {
    "created": "Service account created. Create its access tokens under Access Tokens.",
    "saved": "Saved. The changes apply from the next call of its tokens.",
    "deactivated": "Deactivated. Its access tokens are refused from now on.",
}

router = page_router()


@dataclass(frozen=True)
class Filters:
    """The list's filters. An unknown value means the default."""

    path: str
    q: str
    status: str

    @property
    def narrowed(self) -> bool:
        """Whether any filter differs from its default."""
        return bool(self.q) or self.status != "active"

    def address(self, cursor: str = "") -> str:
        """The address of the page at *cursor*, or of the first page."""
        return address_of_page(self.path, {"q": self.q, "status": self.status, "cursor": cursor})


@router.get(PATHS[SERVICE_ACCOUNT])
def show_service_accounts(
    screen: CurrentScreen,
    q: Annotated[str, Query()] = "",
    status: Annotated[str, Query()] = "active",
    cursor: Annotated[str, Query()] = "",
    done: Annotated[str, Query()] = "",
) -> Response:
    """The company's service accounts, newest first."""
    return _list(screen, SERVICE_ACCOUNT, q, status, cursor, done)


@router.get(PATHS[EXTERNAL])
def show_external_owners(
    screen: CurrentScreen,
    q: Annotated[str, Query()] = "",
    status: Annotated[str, Query()] = "active",
    cursor: Annotated[str, Query()] = "",
    done: Annotated[str, Query()] = "",
) -> Response:
    """The company's external owners, newest first. Another product creates and changes them."""
    return _list(screen, EXTERNAL, q, status, cursor, done)


def _list(
    screen: Screen,
    type: Literal["service_account", "external"],
    q: str,
    status: str,
    cursor: str,
    done: str,
) -> Response:
    known_status = status if status in ("active", "deactivated", "any") else "active"
    filters = Filters(PATHS[type], search_text(q), known_status)
    other = EXTERNAL if type == SERVICE_ACCOUNT else SERVICE_ACCOUNT
    with screen.read() as reading:
        known = role_records.of_company(reading, screen.node.catalogue, screen.company)
        page = list_page(
            lambda: owner_search.list_(
                reading,
                screen.actor,
                q=filters.q or None,
                type=type,
                status=None if filters.status == "any" else filters.status,
                cursor=cursor or None,
            ),
            filters.address,
            cursor,
        )
        others = owner_search.list_(reading, screen.actor, type=other, limit=1, counted=False)
    return screen.render(
        "company/owners.html",
        page.status,
        type=type,
        filters=filters,
        page=page,
        roles=known,
        above=[role.id for role in known.values() if not may_hold(screen, role)],
        others=PATHS[other] if others.items else "",
        flash=_DONE.get(done, ""),
    )
