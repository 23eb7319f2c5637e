"""/audit-log: what happened, newest first, narrowed by the address; and the same as a file."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from gatepass.core.errors import InvalidInput
from gatepass.registry.audit import search
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.storage.paging import Page
from gatepass.web.api.audit_export import FileFormat, exported
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.audit.details import rows
from gatepass.web.pages.audit.filters import PATH, Asked, asked, narrow
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.headers import security_headers
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting
from gatepass.web.pages.text.wording import counted

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Wanted = Annotated[Asked, Depends(asked)]


@router.get(PATH)
def show_log(visitor: Visiting, node: CurrentNode, wanted: Wanted, cursor: str = "") -> Response:
    """The company's events."""
    if wanted.without_secret != wanted:
        return see_other(wanted.without_secret.address())
    now = node.clock.now()
    problem = ""
    with node.database.read(now) as reading:
        # Checked first, so that an unauthorised visitor learns nothing about the log.
        visitor.actor.require("audit:get")
        found = narrow(reading, visitor.actor, wanted)
        page: Page[AuditEvent] = Page([], None)
        if not found.errors:
            try:
                page = search.list_(reading, visitor.actor, cursor=cursor or None, **found.filters)
            except InvalidInput:
                problem = "This page of the log no longer exists."
    return render(
        "audit_log.html",
        422 if problem or found.errors else 200,
        visitor=visitor,
        now=now,
        asked=wanted,
        found=found,
        kinds=KINDS,
        events=page.items,
        rows_of=rows,
        count_in_words=_count(page, cursor),
        next_url=wanted.address(page.next) if page.next else None,
        newest_url=wanted.address() if cursor else None,
        problem=problem,
    )


@router.get(f"{PATH}/export")
def export(visitor: Visiting, node: CurrentNode, wanted: Wanted, format: FileFormat) -> Response:
    """The same events as a file."""
    visitor.actor.require("audit:get")
    with node.database.read(node.clock.now()) as reading:
        found = narrow(reading, visitor.actor, wanted)
    if found.errors:
        raise InvalidInput(list(found.errors.items()))
    return security_headers(exported(node, visitor.actor, format, found.filters))


def _count(page: Page[AuditEvent], cursor: str) -> str:
    number = counted(len(page.items), "event")
    if cursor:
        return f"{number} on this page"
    return f"The newest {number}" if page.next else number
