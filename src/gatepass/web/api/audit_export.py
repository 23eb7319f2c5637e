"""The audit log as a file, for ``/v1/audit-events/export`` and the dashboard.

Streamed page by page, each read in a transaction of its own: memory use doesn't depend on the
length of the log, and a slow client keeps no transaction open. A client that disconnects ends it.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from gatepass.node.node import Node
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search, sentences
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.grants.authorization import reauthorize
from gatepass.registry.storage.paging import LARGEST_PAGE
from gatepass.web.api.audit_events import Wanted, sent, with_times
from gatepass.web.api.csv_cells import csv_cell
from gatepass.web.api.request_body import resource
from gatepass.web.caller import Authenticated, CurrentNode
from gatepass.web.times import format_time

router = resource("Audit")

FileFormat = Literal["csv", "jsonl"]
_MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
_FILES = ("text/csv", "application/x-ndjson")
# JSON allows these unescaped, but many parsers of JSON Lines take each for the end of a line.
_LINE_ENDS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}
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
            "content": {kind: {"schema": {"type": "string"}} for kind in _FILES},
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
    day = datetime.fromtimestamp(now / 1000, UTC).date()
    return StreamingResponse(
        _FORMATS[format](_pages(node, actor, filters)),
        media_type=_MEDIA_TYPES[format],
        headers={
            "Content-Disposition": f'attachment; filename="audit-log-{day}.{format}"',
            "Cache-Control": "no-store",
            "X-Total-Count": str(total),
        },
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


def _as_csv(pages: Iterable[list[AuditEvent]]) -> Iterator[str]:
    """RFC 4180, with a byte order mark, by which spreadsheets recognize UTF-8."""
    yield "\ufeff" + _lines([list(_COLUMNS)])
    for page in pages:
        yield _lines([csv_cell(read(event) or "") for read in _COLUMNS.values()] for event in page)


def _as_json_lines(pages: Iterable[list[AuditEvent]]) -> Iterator[str]:
    for page in pages:
        lines = (sent(event).model_dump_json().translate(_LINE_ENDS) for event in page)
        yield "".join(f"{line}\n" for line in lines)


_FORMATS = {"csv": _as_csv, "jsonl": _as_json_lines}


def _lines(rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _json(fields: dict[str, Any] | None) -> str | None:
    return None if fields is None else json.dumps(with_times(fields), ensure_ascii=False)
