"""Deactivation receipts: proof that all verifiers refuse a revoked record.

A receipt is created in the transaction of the revocation. It lists all verifiers that could answer
"allowed" at that time. Each confirms it by acknowledging that revision, or a later one.

A silent verifier is waited for only as long as it could still answer "allowed". A lease is renewed
only after asking the primary and reading its changes, so a request made after the commit includes
the revocation. So a copy without it has a lease until its staleness after the commit at most. That
holds even for a frozen verifier, whose connection swallows heartbeats.

A receipt is complete once each verifier has confirmed or has been silent for that long. Any node
may notice it; it is recorded once, with one audit event.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, text, update
from sqlalchemy.engine import CursorResult

from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.storage.database import (
    AdvisoryLock,
    Change,
    Reading,
    Write,
    take_advisory_lock,
)
from gatepass.registry.storage.database_time import shared_now
from gatepass.registry.storage.tables import receipt_confirmations, receipts

#: Verifiers that have, or may have, a lease; ``liveness`` says why twice.
MAY_ALLOW = "vouched_at + 2 * staleness_ms > :now"
#: How long a silent verifier is waited for; a tenth longer, as clocks run at different rates.
MAY_STILL_ALLOW = "committed_at IS NULL OR committed_at + staleness_ms + staleness_ms / 10 > :now"
#: How long details of complete receipts are kept; the audit event stays.
KEPT_MS = 7 * 86_400_000
#: The number of verifiers that an audit event names, the slowest first.
NAMED = 50

#: The kind of the subject of a receipt for access tokens that were deactivated together.
ACCESS_TOKENS = "access_tokens"

_AT_ONCE = 200


def begin(
    change: Change,
    subjects: Sequence[Subject],
    *,
    company: str | None,
    embedded_too: bool = True,
) -> None:
    """Create receipts for records that this change revokes.

    On one machine the node decides by the database itself, so it confirms with the commit.

    Args:
        subjects: the revoked records, such as ``Subject("access_token", id, label)``.
        embedded_too: whether embedded verifiers decide by them; only nodes check verifier keys.
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
    """Record that *node_id* refuses all records revoked up to *revision*."""
    table = receipt_confirmations.c
    write.session.execute(
        update(receipt_confirmations)
        .where(table.node_id == node_id, table.confirmed_at.is_(None), table.revision <= revision)
        .values(confirmed_at=shared_now(write))
    )


def open_count(reading: Reading) -> int:
    """The number of incomplete receipts."""
    unfinished = select(func.count()).where(receipts.c.completed_at.is_(None))
    return reading.session.execute(unfinished).scalar_one()


def any_to_do(reading: Reading) -> bool:
    """Whether ``complete`` has something to do."""
    ready = reading.session.execute(_READY, {"now": shared_now(reading), "most": 1}).first()
    return ready is not None or bool(_not_seen_yet(reading))


def complete(write: Write) -> int:
    """Complete up to 200 receipts that are ready, each once, with its audit event.

    Returns:
        How many were completed.
    """
    # Serialized by an advisory lock: several nodes notice at once.
    take_advisory_lock(write, AdvisoryLock.receipts)
    now = shared_now(write)
    ready = write.session.execute(_READY, {"now": now, "most": _AT_ONCE}).all()
    figures: dict[int, dict[str, Any]] = {}
    completed = 0
    for row in ready:
        if row.revision not in figures:
            figures[row.revision] = _figures(write, row)
        completed += _complete(write, row, now, figures[row.revision])
    # The time is read after the query: all receipts it found had been committed by then.
    seen = _not_seen_yet(write)
    table = receipts.c
    write.session.execute(
        update(receipts)
        .where(table.revision.in_(seen), table.committed_at.is_(None))
        .values(committed_at=shared_now(write))
    )
    return completed


def silent_since(committed_at: int, staleness_ms: int) -> int:
    """Since when a verifier that hasn't confirmed can't have answered "allowed" (Unix ms)."""
    return committed_at + staleness_ms + staleness_ms // 10


def prune(write: Write) -> None:
    """Delete the details of receipts that have been complete for ``KEPT_MS``."""
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
    """The verifiers that refuse it and after how long, for the audit log."""
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
