"""The audit log as a file, for ``/v1/audit-events/export`` and the dashboard.

Each page is read in a transaction of its own, so a slow client keeps none open.
"""

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from gatepass.node.node import Node
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search, sentences
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.grants.authorization import reauthorize
from gatepass.registry.storage.paging import LARGEST_PAGE
from gatepass.web.api.list_files import CONTENT, FileFormat, ListFile
from gatepass.web.api.my_company.audit_events import Wanted, sent, with_times
from gatepass.web.api.request_body import resource
from gatepass.web.caller import Authenticated, CurrentNode
from gatepass.web.times import format_time

router = resource("Audit")

_COLUMNS: dict[str, Callable[[AuditEvent], str | None]] = {
    "at": lambda event: format_time(event.at),
    "sentence": sentences.sentence,
    "action": lambda event: event.action,
    "actor_kind": lambda event: event.actor_kind,
    "actor_id": lambda event: event.actor_id,
    "actor_name": lambda event: event.actor_name,
    "credential": lambda event: event.actor_credential,
    "credential_label": lambda event: event.token_label,
    "address": lambda event: event.address,
    "subject_kind": lambda event: event.subject.kind,
    "subject_id": lambda event: event.subject.id,
    "subject_name": lambda event: event.subject.name,
    "before": lambda event: _json(event.before),
    "after": lambda event: _json(event.after),
    "id": lambda event: event.id,
}


@router.get(
    "/audit-events/export",
    operation_id="audit_events_export",
    summary="The audit log as a file",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": CONTENT,
            "headers": {
                "X-Total-Count": {
                    "description": "The number of events.",
                    "required": True,
                    "schema": {"type": "integer", "minimum": 0},
                }
            },
        }
    },
)
def export(
    node: CurrentNode,
    actor: Authenticated,
    format: Annotated[FileFormat, Query(description="CSV for spreadsheets, or JSON Lines.")],
    filters: Wanted,
) -> Response:
    """Needs `audit:get`. Newest first, as of the time of the request; `X-Total-Count` is the number
    of events. In CSV, a cell that a spreadsheet would take for a formula starts with an
    apostrophe."""
    return exported(node, actor, format, filters)


def exported(node: Node, actor: Actor, format: FileFormat, filters: search.Filters) -> Response:
    """The events as a file to download.

    Raises:
        Forbidden: without ``audit:get``.
        InvalidInput: for ``kind``.
    """
    now = node.clock.now()
    with node.database.read(now) as reading:
        filters = {**filters, "newest": search.newest_number(reading)}
        total = search.count(reading, actor, **filters)
    return _FILE.response(
        _pages(node, actor, filters), format, now, **{"X-Total-Count": str(total)}
    )


def _pages(node: Node, actor: Actor, filters: search.Filters) -> Iterator[list[AuditEvent]]:
    cursor = None
    while True:
        with node.database.read(node.clock.now()) as reading:
            # Authorized again for each page: an actor who loses the permission gets no more.
            reader = reauthorize(reading, actor)
            page = search.list_(reading, reader, limit=LARGEST_PAGE, cursor=cursor, **filters)
        yield page.items
        cursor = page.next
        if cursor is None:
            return


def _json(fields: dict[str, Any] | None) -> str | None:
    return None if fields is None else json.dumps(with_times(fields), ensure_ascii=False)


_FILE = ListFile("audit-log", _COLUMNS, sent)
