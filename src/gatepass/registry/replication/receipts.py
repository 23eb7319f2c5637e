"""Deactivation receipts: proof that what was ended is refused by everyone who decides.

A receipt begins in the very transaction that ends something, with a list of all who could have said
"allowed" at that moment. Each confirms by acknowledging that revision, or a later one.

One that stays silent isn't waited for longer than it could still say "allowed". Whoever vouches for
a copy has asked, and then read on: what they asked after the end was committed holds the end. So a
copy that lacks it is vouched for until its staleness after the commit at most, whatever became of
its owner; a frozen one, whose connection swallows heartbeats, is no exception.

It is complete when everyone has confirmed or has been silent for so long. That is written once,
whichever node notices it, with one event in the audit log.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, text, update
from sqlalchemy.engine import CursorResult

from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.storage.database import Change, Reading, Turn, Write, wait_for_turn
from gatepass.registry.storage.database_time import shared_now
from gatepass.registry.storage.tables import receipt_confirmations, receipts

#: Who is vouched for, or may be for all that is known: see ``nodes`` on why twice.
MAY_ALLOW = "vouched_at + 2 * staleness_ms > :now"
#: Who is waited for in silence; a tenth more than could be needed, for clocks that don't run alike.
MAY_STILL_ALLOW = "committed_at IS NULL OR committed_at + staleness_ms + staleness_ms / 10 > :now"
#: Details of what is complete are kept so long; the audit event stays for good.
KEPT_MS = 7 * 86_400_000
#: An event names so many verifiers, the slowest first.
NAMED = 50

_AT_ONCE = 200


def begin(
    change: Change,
    subjects: Sequence[Subject],
    *,
    company: str | None,
    embedded_too: bool = True,
) -> None:
    """Begin a receipt for what this change ends.

    On one machine the node decides by the database itself: there, it has confirmed as this commits.

    Args:
        subjects: what is ended, such as ``Subject("access_token", id, label)``.
        embedded_too: whether embedded verifiers decide by it; only nodes look at verifier keys.
    """
    if not subjects:
        return
    now, revision = shared_now(change), change.revision
    rows: list[dict[str, Any]] = [
        {
            "revision": revision,
            "subject_id": subject.id,
            "subject_kind": subject.kind,
            "subject_name": subject.name,
            "company_id": company,
            "at": now,
        }
        for subject in subjects
    ]
    change.session.execute(insert(receipts), rows)
    change.session.execute(
        _EXPECTED,
        {
            "revision": revision,
            "now": now,
            "itself": "node" if on_one_machine(change) else "",
            "embedded_too": embedded_too,
        },
    )


def confirm(write: Write, node_id: str, revision: int) -> None:
    """Note that *node_id* refuses whatever was ended up to *revision*."""
    table = receipt_confirmations.c
    write.session.execute(
        update(receipt_confirmations)
        .where(table.node_id == node_id, table.confirmed_at.is_(None), table.revision <= revision)
        .values(confirmed_at=shared_now(write))
    )


def open_count(reading: Reading) -> int:
    """How many receipts aren't complete."""
    unfinished = select(func.count()).where(receipts.c.completed_at.is_(None))
    return reading.session.execute(unfinished).scalar_one()


def any_to_do(reading: Reading) -> bool:
    """Whether there is something for ``complete`` to do."""
    ready = reading.session.execute(_READY, {"now": shared_now(reading), "most": 1}).first()
    return ready is not None or bool(_not_seen_yet(reading))


def complete(write: Write) -> int:
    """Complete what is ready, each receipt once, with its audit event; how many there were.

    Read ``write.now`` within the transaction.
    Several hundred at most; call it again for more.
    """
    # Behind the turn: several nodes notice at once.
    wait_for_turn(write, Turn.receipts)
    now = shared_now(write)
    ready = write.session.execute(_READY, {"now": now, "most": _AT_ONCE}).all()
    told: dict[int, dict[str, Any]] = {}
    completed = 0
    for row in ready:
        if row.revision not in told:
            told[row.revision] = _figures(write, row)
        completed += _complete(write, row, now, told[row.revision])
    # The time after the look: whatever was seen had been committed by then.
    seen = _not_seen_yet(write)
    table = receipts.c
    write.session.execute(
        update(receipts)
        .where(table.revision.in_(seen), table.committed_at.is_(None))
        .values(committed_at=shared_now(write))
    )
    return completed


def silent_since(committed_at: int, staleness_ms: int) -> int:
    """Since when someone who never confirmed can't have said "allowed" (Unix ms)."""
    return committed_at + staleness_ms + staleness_ms // 10


def prune(write: Write) -> None:
    """Drop the details of receipts that have been complete for ``KEPT_MS``."""
    write.session.execute(
        delete(receipts).where(receipts.c.completed_at < shared_now(write) - KEPT_MS)
    )
    theirs = receipts.c.revision == receipt_confirmations.c.revision
    write.session.execute(
        delete(receipt_confirmations).where(~select(receipts).where(theirs).exists())
    )


def on_one_machine(reading: Reading) -> bool:
    """Whether nodes decide by the database itself."""
    return reading.session.get_bind().dialect.name == "sqlite"


def _not_seen_yet(reading: Reading) -> Sequence[int]:
    table = receipts.c
    unseen = (
        select(table.revision)
        .distinct()
        .where(table.completed_at.is_(None), table.committed_at.is_(None))
        .order_by(table.revision)
        .limit(_AT_ONCE)
    )
    return reading.session.scalars(unseen).all()


def _complete(write: Write, row: Row[Any], now: int, figures: dict[str, Any]) -> bool:
    table = receipts.c
    result = write.session.execute(
        update(receipts)
        .where(
            table.revision == row.revision,
            table.subject_id == row.subject_id,
            table.completed_at.is_(None),
        )
        .values(completed_at=now)
    )
    assert isinstance(result, CursorResult)
    if not result.rowcount:
        return False
    log.record(
        write,
        Actor.system(),
        f"{row.subject_kind}.refused_everywhere",
        Subject(row.subject_kind, row.subject_id, row.subject_name),
        company=row.company_id,
        after=figures,
    )
    return True


def _figures(reading: Reading, receipt: Row[Any]) -> dict[str, Any]:
    """Who refused it after how long: what the audit log keeps."""
    table = receipt_confirmations.c
    rows = reading.session.execute(
        select(receipt_confirmations)
        .where(table.revision == receipt.revision)
        .order_by(table.confirmed_at.desc(), table.node_name, table.node_id)
    ).all()
    took = [max(0, row.confirmed_at - receipt.at) for row in rows if row.confirmed_at is not None]
    silent = [row for row in rows if row.confirmed_at is None]
    confirmed = [row for row in rows if row.confirmed_at is not None]
    each: list[dict[str, Any]] = [
        {
            "name": row.node_name,
            "id": row.node_id,
            "silent_since": silent_since(receipt.committed_at, row.staleness_ms),
        }
        for row in silent
    ] + [
        {"name": row.node_name, "id": row.node_id, "after_ms": after}
        for row, after in zip(confirmed, took, strict=True)
    ]
    return {
        "verifiers": len(rows),
        "confirmed": len(confirmed),
        "silent": len(silent),
        "slowest_ms": max(took, default=None),
        "median_ms": round(median(took)) if took else None,
        "each": each[:NAMED],
    }


_EXPECTED = text(
    "INSERT INTO receipt_confirmations "  # noqa: S608 - a constant
    "(revision, node_id, node_name, node_kind, staleness_ms, confirmed_at) "
    "SELECT :revision, id, name, kind, staleness_ms, CASE WHEN kind = :itself THEN :now END "
    f"FROM nodes WHERE {MAY_ALLOW} AND (kind = 'node' OR :embedded_too) ON CONFLICT DO NOTHING"
)
_READY = text(
    "SELECT revision, subject_id, subject_kind, subject_name, company_id, at, committed_at "  # noqa: S608 - a constant
    "FROM receipts WHERE completed_at IS NULL AND NOT EXISTS ("
    "SELECT 1 FROM receipt_confirmations AS expected WHERE expected.revision = receipts.revision "
    f"AND expected.confirmed_at IS NULL AND ({MAY_STILL_ALLOW})) "
    "ORDER BY revision, subject_id LIMIT :most"
)
