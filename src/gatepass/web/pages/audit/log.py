"""/audit-log: the company's events, newest first, filtered, and as a file."""

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from gatepass.core.errors import InvalidInput
from gatepass.registry.audit import search
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.directory import role_records
from gatepass.registry.storage.paging import Page
from gatepass.web.api.list_files import FileFormat
from gatepass.web.api.my_company.audit_export import exported
from gatepass.web.pages.audit.days import days
from gatepass.web.pages.audit.details import rows
from gatepass.web.pages.audit.filters import PATH, Asked, asked, narrow
from gatepass.web.pages.audit.subject_links import page_of
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.headers import security_headers
from gatepass.web.pages.layout.lists import ListPage, list_page
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.text.wording import counted

router = page_router()

Wanted = Annotated[Asked, Depends(asked)]


@router.get(PATH)
def show_log(screen: CurrentScreen, wanted: Wanted, cursor: str = "") -> Response:
    """The company's events."""
    if wanted.without_secret != wanted:
        return see_other(wanted.without_secret.address())
    with screen.read() as reading:
        # Checked first, so that an unauthorised visitor learns nothing about the log.
        screen.actor.require("audit:get")
        found = narrow(reading, screen.actor, wanted)

        def fetch() -> Page[AuditEvent]:
            if found.errors:
                return Page([], None)
            return search.list_(reading, screen.actor, cursor=cursor or None, **found.filters)

        page = list_page(fetch, wanted.address, cursor, of="log")
        roles = role_records.of_company(reading, screen.node.catalogue, screen.company)
    return screen.render(
        "audit_log.html",
        422 if found.errors else page.status,
        asked=wanted,
        found=found,
        kinds=KINDS,
        page=page,
        days=list(days(page.items, lambda event: page_of(event.subject, screen.actor, roles))),
        rows_of=rows,
        count_in_words=_count(page, cursor),
    )


@router.get(f"{PATH}/export")
def export(screen: CurrentScreen, wanted: Wanted, format: FileFormat) -> Response:
    """The same events as a file."""
    screen.actor.require("audit:get")
    with screen.read() as reading:
        found = narrow(reading, screen.actor, wanted)
    if found.errors:
        raise InvalidInput(list(found.errors.items()))
    return security_headers(exported(screen.node, screen.actor, format, found.filters))


def _count(page: ListPage[AuditEvent], cursor: str) -> str:
    number = counted(len(page.items), "event")
    if cursor:
        return f"{number} on this page"
    return f"The newest {number}" if page.next_url else number
