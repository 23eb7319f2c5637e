"""Progress of deactivation receipts."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, select, text

from gatepass.registry.replication.receipts import (
    ACCESS_TOKENS,
    on_one_machine,
    silent_since,
)
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.database_time import shared_now
from gatepass.registry.storage.tables import receipt_confirmations, receipts

ConfirmationState = Literal["refusing", "waiting", "silent"]

_REVISION = text("SELECT revision FROM grants WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The confirmation of one verifier. Times are Unix ms.

    Attributes:
        state: ``refusing`` has acknowledged the revocation; ``waiting`` hasn't yet; ``silent``
            hasn't, but can't answer "allowed" any more.
        confirmed_at: when it acknowledged.
        after_ms: the time from the revocation to that.
        silent_since: for ``silent``, since when it can't answer "allowed".
        itself: it decides by the database itself.
    """

    id: str
    name: str
    kind: Literal["node", "embedded"]
    state: ConfirmationState
    confirmed_at: int | None
    after_ms: int | None
    silent_since: int | None
    itself: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of a revoked record.

    Attributes:
        revision: the revision of the revocation.
        at: its time, Unix ms.
        completed_at: since when no verifier can answer "allowed"; None while incomplete.
        verifiers: those that could at the revocation; unconfirmed ones first, then the slowest.
    """

    revision: int
    at: int
    completed_at: int | None
    verifiers: tuple[Confirmation, ...]

    @property
    def of(self) -> int:
        """The number of verifiers."""
        return len(self.verifiers)

    @property
    def refused_by(self) -> int:
        """The number of verifiers that have acknowledged the revocation."""
        return self.count("refusing")

    @property
    def slowest_ms(self) -> int | None:
        """The longest time to an acknowledgement; None if there is none."""
        return max(
            (each.after_ms for each in self.verifiers if each.after_ms is not None), default=None
        )

    def count(self, state: ConfirmationState) -> int:
        """The number of verifiers in *state*."""
        return sum(each.state == state for each in self.verifiers)


def find(reading: Reading, subject_id: str) -> Receipt | None:
    """The receipt of the revoked record with that id; None if there is none.

    Access tokens that were deactivated together share one.
    """
    of_it = select(receipts).order_by(receipts.c.revision.desc()).limit(1)
    row = reading.session.execute(of_it.where(receipts.c.subject_id == subject_id)).one_or_none()
    if row is None:
        # A grant that was deactivated keeps the revision of that.
        revision = reading.session.execute(_REVISION, {"id": subject_id}).scalar()
        together = (receipts.c.revision == revision, receipts.c.subject_kind == ACCESS_TOKENS)
        row = reading.session.execute(of_it.where(*together)).one_or_none()
    if row is None:
        return None
    rows = reading.session.execute(
        select(receipt_confirmations).where(receipt_confirmations.c.revision == row.revision)
    ).all()
    now, one_machine = shared_now(reading), on_one_machine(reading)
    found = [_confirmation(each, row, now, one_machine) for each in rows]
    found.sort(
        key=lambda each: (each.state == "refusing", -(each.after_ms or 0), each.name, each.id)
    )
    return Receipt(row.revision, row.at, row.completed_at, tuple(found))


def _confirmation(row: Row[Any], receipt: Row[Any], now: int, one_machine: bool) -> Confirmation:
    since = None
    if receipt.committed_at is not None:
        since = silent_since(receipt.committed_at, row.staleness_ms)
    state: ConfirmationState = "waiting"
    if row.confirmed_at is not None:
        state = "refusing"
    elif since is not None and since <= now:
        state = "silent"
    return Confirmation(
        id=row.node_id,
        name=row.node_name,
        kind=row.node_kind,
        state=state,
        confirmed_at=row.confirmed_at,
        after_ms=None if row.confirmed_at is None else max(0, row.confirmed_at - receipt.at),
        silent_since=since if state == "silent" else None,
        itself=one_machine and row.node_kind == "node",
    )
