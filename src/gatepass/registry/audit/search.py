"""Search of the audit log, fast with hundreds of thousands of events on both engines.

Each filter has an index that ends in time and number. A filter that needs more than one equality
(a token was used, or was the subject) becomes a UNION ALL of index scans, each newest first and
limited to the page.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import TypedDict, Unpack

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, tuple_, union_all

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.audit.events import STORED, AuditEvent, event_of
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.input.text import storable
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Cursor, Page, read_cursor, read_limit
from gatepass.registry.storage.rows import of_company
from gatepass.registry.storage.tables import audit_events

# With so many events, a filter isn't selective.
_MANY = 200

_Conditions = tuple[ColumnElement[bool], ...]


class Filters(TypedDict, total=False):
    """Filters of the audit log. A filter that is absent or None selects all events.

    Attributes:
        action: this action.
        kind: actions of this kind, a key of ``audit.kinds.KINDS``.
        user: the actor is this user, in person or through an access token; an id.
        people: the actor or the subject is one of these users; ids.
        subject: the subject is this record; an id.
        tokens: the credential or the subject is one of these tokens; ids.
        since, until: at or after, and before, this time (Unix ms).
        newest: up to the event with this number.
    """

    action: str | None
    kind: str | None
    user: str | None
    people: Collection[str] | None
    subject: str | None
    tokens: Collection[str] | None
    since: int | None
    until: int | None
    newest: int | None


def list_(
    reading: Reading,
    actor: Actor,
    *,
    limit: int | None = None,
    cursor: str | None = None,
    **filters: Unpack[Filters],
) -> Page[AuditEvent]:
    """The company's events, newest first; for the command line, those of all companies.

    Raises:
        Forbidden: without ``audit:get``.
        InvalidInput: for ``kind``, ``cursor`` or ``limit``.
    """
    actor.require("audit:get")
    after, limit = read_cursor(cursor), read_limit(limit)
    table = audit_events.c
    older: tuple[ColumnElement[bool], ...] = ()
    if after is not None:
        # Several events may share a millisecond; their numbers keep the order they were written in.
        older = (tuple_(table.at, table.number) < tuple_(after.number, _number(after)),)
    newest = (table.at.desc(), table.number.desc())
    scans = [
        select(table.number).where(*scan, *older).order_by(*newest).limit(limit + 1)
        for scan in _scans(reading, actor, filters)
    ]
    if not scans:
        return Page([], None)
    found = reading.session.scalars(_union(scans)).all()
    rows = reading.session.execute(
        STORED.where(table.number.in_(found)).order_by(*newest).limit(limit + 1)
    ).all()
    page = rows[:limit]
    more = str(Cursor(page[-1].at, str(page[-1].number))) if len(rows) > limit else None
    return Page([event_of(row) for row in page], more)


def count(reading: Reading, actor: Actor, **filters: Unpack[Filters]) -> int:
    """The number of matching events over all pages, counted in the indexes.

    Raises:
        Forbidden, InvalidInput: as ``list_`` does.
    """
    actor.require("audit:get")
    scans = [select(audit_events.c.number).where(*scan) for scan in _scans(reading, actor, filters)]
    if not scans:
        return 0
    counted = select(func.count()).select_from(_union(scans).subquery())
    return reading.session.execute(counted).scalar_one()


def newest_number(reading: Reading) -> int:
    """The number of the latest event of any company; 0 if there is none."""
    return reading.session.execute(select(func.max(audit_events.c.number))).scalar_one() or 0


def _union(scans: Sequence[Select[tuple[int]]]) -> Select[tuple[int]]:
    each = [select(scan.subquery().c.number) for scan in scans]
    return each[0] if len(each) == 1 else select(union_all(*each).subquery().c.number)


def _scans(reading: Reading, actor: Actor, filters: Filters) -> list[_Conditions]:
    """The conditions of each index scan. No event matches two scans; no scan means no event."""
    table = audit_events.c
    common = of_company(actor, audit_events)
    since, until, newest = (filters.get(name) for name in ("since", "until", "newest"))
    if since is not None:
        common.append(table.at >= since)
    if until is not None:
        common.append(table.at < until)
    if newest is not None:
        common.append(table.number <= newest)
    alternatives = list(_alternatives(filters))
    if not alternatives:
        return [tuple(common)]
    if not all(alternatives):
        return []
    # The most selective filter uses its index; the others check each row of it.
    if len(alternatives) > 1:
        alternatives.sort(key=lambda each: _size(reading, each, common))
    # As expressions, the others can't make the engine choose their index.
    common += [
        case((or_(*(and_(*each) for each in others)), 1), else_=0) == 1
        for others in alternatives[1:]
    ]
    return [(*each, *common) for each in alternatives[0]]


def _size(
    reading: Reading, alternatives: list[_Conditions], common: list[ColumnElement[bool]]
) -> int:
    """How many events match one filter, up to ``_MANY``."""
    some = [
        select(audit_events.c.number).where(*each, *common).limit(_MANY) for each in alternatives
    ]
    return reading.session.execute(
        select(func.count()).select_from(_union(some).limit(_MANY).subquery())
    ).scalar_one()


def _alternatives(filters: Filters) -> Iterator[list[_Conditions]]:
    """For each filter, the alternatives of which an event must match one."""
    table = audit_events.c
    tokens = _storable(filters.get("tokens"))
    if tokens is not None:
        yield [
            *((table.subject_id == token,) for token in tokens),
            *((table.actor_credential == t, table.subject_id.not_in(tokens)) for t in tokens),
        ]
    subject = _storable(_one(filters.get("subject")))
    if subject is not None:
        yield [(table.subject_id == each,) for each in subject]
    people = _storable(filters.get("people"))
    if people is not None:
        others = or_(table.actor_id.is_(None), table.actor_id.not_in(people))
        yield [
            *((table.actor_id == person,) for person in people),
            *((table.subject_id == person, others) for person in people),
        ]
    user = _storable(_one(filters.get("user")))
    if user is not None:
        yield [(table.actor_id == each,) for each in user]
    for actions in (_one(filters.get("action")), _of_kind(filters.get("kind"))):
        if actions is not None:
            yield [(table.action == each,) for each in _storable(actions) or ()]


def _one(value: str | None) -> Collection[str] | None:
    return None if value is None else (value,)


def _of_kind(kind: str | None) -> Collection[str] | None:
    if kind is None:
        return None
    if kind not in KINDS:
        raise InvalidInput([("kind", f"Must be one of {', '.join(KINDS)}.")])
    return KINDS[kind].actions


def _storable(values: Collection[str] | None) -> list[str] | None:
    return None if values is None else [value for value in set(values) if storable(value)]


def _number(after: Cursor) -> int:
    if not after.id.isdecimal() or len(after.id) > 18:
        raise InvalidInput([("cursor", "Must be a cursor of this list.")])
    return int(after.id)
