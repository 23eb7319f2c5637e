"""Finding events: quick with hundreds of thousands of them, on both engines.

Each filter has an index that ends in time and number. What a filter can't say with one equality
(a token was used, or acted upon) is several looks into an index, each newest first and no longer
than the page, put together.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import TypedDict, Unpack

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_, union_all

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.audit.events import STORED, AuditEvent, event_of
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.input.text import storable
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Cursor, Page, read_cursor, read_limit
from gatepass.registry.storage.tables import audit_events

_Conditions = tuple[ColumnElement[bool], ...]


class Filters(TypedDict, total=False):
    """What the log is narrowed to; what is absent or None narrows nothing.

    Attributes:
        action: only this action.
        kind: only actions of this kind: a name in ``audit_kinds``.
        user: only what this user did, in person or through an access token; an id.
        people: only what these users did, or what happened to them; ids.
        subject: only what happened to this record; an id.
        tokens: only what these tokens were used for, or what happened to them; ids.
        since, until: only events at or after, and before, this time (Unix ms).
        newest: nothing that was written after the event of this number.
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
    """The company's events, newest first; the command line sees every company's.

    Raises:
        Forbidden: without ``audit:get``.
        InvalidInput: for ``kind``, ``cursor`` or ``limit``.
    """
    actor.require("audit:get")
    after, limit = read_cursor(cursor), read_limit(limit)
    table = audit_events.c
    place: tuple[ColumnElement[bool], ...] = ()
    if after is not None:
        # Several events may share a millisecond; their numbers keep the order they were written in.
        place = (tuple_(table.at, table.number) < tuple_(after.number, _number(after)),)
    newest = (table.at.desc(), table.number.desc())
    looks = [
        select(table.number).where(*look, *place).order_by(*newest).limit(limit + 1)
        for look in _looks(actor, filters)
    ]
    if not looks:
        return Page([], None)
    found = reading.session.scalars(_together(looks)).all()
    rows = reading.session.execute(
        STORED.where(table.number.in_(found)).order_by(*newest).limit(limit + 1)
    ).all()
    page = rows[:limit]
    more = str(Cursor(page[-1].at, str(page[-1].number))) if len(rows) > limit else None
    return Page([event_of(row) for row in page], more)


def count(reading: Reading, actor: Actor, **filters: Unpack[Filters]) -> int:
    """How many events there are in all, counted in the indexes.

    Raises:
        Forbidden, InvalidInput: as ``list_`` does.
    """
    actor.require("audit:get")
    looks = [select(audit_events.c.number).where(*look) for look in _looks(actor, filters)]
    if not looks:
        return 0
    counted = select(func.count()).select_from(_together(looks).subquery())
    return reading.session.execute(counted).scalar_one()


def newest_number(reading: Reading) -> int:
    """The number of the event that was written last, in any company's log; 0 if there is none."""
    return reading.session.execute(select(func.max(audit_events.c.number))).scalar_one() or 0


def _together(looks: Sequence[Select[tuple[int]]]) -> Select[tuple[int]]:
    each = [select(look.subquery().c.number) for look in looks]
    return each[0] if len(each) == 1 else select(union_all(*each).subquery().c.number)


def _looks(actor: Actor, filters: Filters) -> list[_Conditions]:
    """The conditions of each look into an index. No event fits two of them; none is no event."""
    table = audit_events.c
    everywhere: list[ColumnElement[bool]] = []
    if actor.company is not None:
        everywhere.append(table.company_id == actor.company)
    since, until, newest = (filters.get(name) for name in ("since", "until", "newest"))
    if since is not None:
        everywhere.append(table.at >= since)
    if until is not None:
        everywhere.append(table.at < until)
    if newest is not None:
        everywhere.append(table.number <= newest)
    # The first is looked up, being the one that leaves least; the others check what it finds.
    narrowed = list(_narrowed(filters))
    if not narrowed:
        return [tuple(everywhere)]
    if not all(narrowed):
        return []
    everywhere += [or_(*(and_(*look) for look in looks)) for looks in narrowed[1:]]
    return [(*look, *everywhere) for look in narrowed[0]]


def _narrowed(filters: Filters) -> Iterator[list[_Conditions]]:
    """For each filter, the alternatives of which an event must fit one."""
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
