"""Up to when verifiers have reported which calls they allowed.

A verifier counts its decisions and reports them with a delay, or never, if it dies first. So that
a token wasn't seen says nothing of the time since the oldest report of a verifier that may have
allowed it. A verifier without a lease allows nothing; what it allowed before it lost its lease, and
didn't report, may be anything.

Times are the database's if there are several machines (``database_time``).
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, select, update

from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.database_time import shared_now
from gatepass.registry.storage.tables import access_tokens, companies, nodes

#: Verifiers report every few seconds, also that they allowed nothing. One that hasn't for this long
#: is late.
LATE_MS = 120_000
#: One that reports nothing for this long may hide the only use of a token in months.
LONG_UNREPORTED_MS = 3_600_000

# Until when a verifier may have allowed calls; ``liveness`` says why twice.
_MAY_ALLOW_UNTIL = nodes.c.vouched_at + 2 * nodes.c.staleness_ms
_REPORTED = func.coalesce(nodes.c.use_reported_at, 0)


@dataclass(frozen=True, slots=True)
class Unreported:
    """A verifier that allowed calls until *until* at most, and hasn't reported all of them.

    Attributes:
        is_long: whether more is missing than the seconds that any verifier leaves when it stops.
    """

    name: str
    until: int
    is_long: bool


@dataclass(frozen=True, slots=True)
class UseReports:
    """What verifiers have reported of the use of a company's tokens.

    Attributes:
        until: every verifier that may still allow calls has reported all of them up to then; never
            later than now.
        late: the names of those that are late.
        gone: those that allow nothing any more, and haven't reported all that they allowed.
        is_long_late: whether one that may still allow calls has reported nothing for an hour.
    """

    until: int
    late: tuple[str, ...]
    gone: tuple[Unreported, ...]
    is_long_late: bool


def of_company(reading: Reading, company: str) -> UseReports:
    """The reports of all verifiers that decide by the tokens of a company (an id)."""
    now = shared_now(reading)
    until, late, gone, is_long_late = now, set[str](), list[Unreported](), False
    rows = reading.session.execute(
        select(
            nodes.c.name,
            nodes.c.limits,
            _MAY_ALLOW_UNTIL.label("allows"),
            _REPORTED.label("to"),
            nodes.c.first_seen_at,
        )
        .where(_REPORTED < _MAY_ALLOW_UNTIL)
        .order_by(nodes.c.name)
    )
    for row in rows:
        companies = (row.limits or {}).get("companies")
        if companies and company not in companies:
            continue
        if row.allows > now:
            until = min(until, row.to)
            if row.to <= now - LATE_MS:
                late.add(row.name)
        is_long = min(row.allows, now) - max(row.to, row.first_seen_at) >= LONG_UNREPORTED_MS
        if row.allows > now:
            is_long_late |= is_long
        else:
            gone.append(Unreported(row.name, row.allows, is_long))
    return UseReports(until, tuple(sorted(late)), tuple(gone), is_long_late)


def record(write: Write, node_id: str, until: int) -> None:
    """Record that a verifier has reported all calls up to *until*.

    Args:
        until: Unix ms by the reporter's clock, like ``write.now``.
    """
    # An age is the same by any clock.
    at = shared_now(write) - max(0, write.now - until)
    write.session.execute(
        update(nodes).where(nodes.c.id == node_id, at > _REPORTED).values(use_reported_at=at)
    )


def before_deleting(write: Write, which: ColumnElement[bool]) -> None:
    """Keep in mind what verifiers may have allowed that are about to be deleted.

    Tokens that close when they are silent may have been used until then; and so may any token, if
    the verifier reported nothing for long.

    Args:
        which: the condition of their rows.
    """
    last = _may_have_allowed_until(write, which, _REPORTED < _MAY_ALLOW_UNTIL)
    if last is None:
        return
    token = access_tokens.c
    write.session.execute(
        update(access_tokens)
        .where(token.rotation_close == "when_silent", token.deactivated_at.is_(None))
        .values(perhaps_used_at=_later(token.perhaps_used_at, last))
    )
    last = _may_have_allowed_until(
        write,
        which,
        *(_MAY_ALLOW_UNTIL - at >= LONG_UNREPORTED_MS for at in (_REPORTED, nodes.c.first_seen_at)),
    )
    if last is not None:
        known = companies.c.unreported_until
        write.session.execute(update(companies).values(unreported_until=_later(known, last)))


def _may_have_allowed_until(write: Write, *which: ColumnElement[bool]) -> int | None:
    last: int | None = write.session.scalar(select(func.max(_MAY_ALLOW_UNTIL)).where(*which))
    return last


def _later(column: ColumnElement[int], at: int) -> ColumnElement[int]:
    return case((func.coalesce(column, 0) < at, at), else_=column)
