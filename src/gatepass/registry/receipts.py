"""Deactivation receipts: proof that what was ended is refused by everyone who decides.

A receipt begins in the very transaction that ends something, with a list of all who could have said
"allowed" at that moment. Each confirms by acknowledging that revision, or a later one; one that is
silent for longer than its staleness can't say "allowed" any more either.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, text, update
from sqlalchemy.orm import Session

from gatepass.registry.audit_records import Subject
from gatepass.registry.tables import receipt_confirmations, receipts


def begin(session: Session, subjects: Sequence[Subject], *, company: str | None) -> None:
    """Begin a receipt for what this change ends.

    On one machine the node decides by the database itself: there, it has confirmed as this commits.
    """
    if not subjects:
        return
    now, revision = session.info["now"], session.info["revision"]
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
    session.execute(insert(receipts), rows)
    on_one_machine = session.get_bind().dialect.name == "sqlite"
    session.execute(
        _EXPECTED,
        {"revision": revision, "now": now, "itself": "node" if on_one_machine else ""},
    )


def confirm(session: Session, node_id: str, revision: int) -> None:
    """Note that *node_id* refuses whatever was ended up to *revision*."""
    table = receipt_confirmations.c
    session.execute(
        update(receipt_confirmations)
        .where(table.node_id == node_id, table.confirmed_at.is_(None), table.revision <= revision)
        .values(confirmed_at=session.info["now"])
    )


# Twice the staleness: what is known of the others' vouching is itself some seconds old.
_EXPECTED = text(
    "INSERT INTO receipt_confirmations (revision, node_id, node_name, confirmed_at) "
    "SELECT :revision, id, name, CASE WHEN kind = :itself THEN :now END FROM nodes "
    "WHERE vouched_at + 2 * staleness_ms > :now ON CONFLICT DO NOTHING"
)
