"""Replication status of nodes and embedded verifiers, for operators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, select

from gatepass.registry.actor import Actor
from gatepass.registry.replication.receipts import on_one_machine
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.database_time import shared_now
from gatepass.registry.storage.paging import Page, newest_first
from gatepass.registry.storage.rows import record_of
from gatepass.registry.storage.tables import nodes
from gatepass.registry.storage.tables import revisions as kept_revisions

NodeStatus = Literal["current", "behind", "stale", "gone"]
STATES: tuple[NodeStatus, ...] = ("current", "behind", "stale", "gone")

#: Metrics cover this many at most, the latest seen.
MOST = 1_000
#: Metrics leave out those without a heartbeat for this long.
HOUR_MS = 3_600_000

_GONE_MS = 60_000
# Changes arrive everywhere within a second; lacking only younger ones isn't being behind.
_ARRIVAL_MS = 1_000


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node or an embedded verifier. Times are Unix ms by the registry's clock.

    Attributes:
        kind: ``node`` is a Gatepass node; ``embedded`` is a verifier within an application.
        key_id: the verifier key of an embedded verifier.
        limits: the companies and permissions its copy is limited to; None is no limit.
        synced_at: the latest time its lease is known to have been renewed.
        synced_ms: the age of that.
        staleness_ms: the length of its lease.
        seen_ms: the age of its last heartbeat.
        state: ``current`` has all changes up to a second ago; ``behind`` lacks some of them;
            ``stale`` has no lease and answers 503; ``gone`` has sent no heartbeat for a minute.
        revision: the latest revision it has acknowledged.
        behind_by: the number of later revisions.
        itself: it decides by the database itself, so it can't be behind.
    """

    id: str
    kind: Literal["node", "embedded"]
    name: str
    version: str
    address: str | None
    key_id: str | None
    limits: Mapping[str, Sequence[str]] | None
    first_seen_at: int
    seen_at: int
    seen_ms: int
    synced_at: int
    synced_ms: int
    staleness_ms: int
    state: NodeStatus
    revision: int
    behind_by: int
    itself: bool


def list_(
    reading: Reading, actor: Actor, *, limit: int | None = None, cursor: str | None = None
) -> Page[KnownNode]:
    """Registered nodes and embedded verifiers, the latest registered first.

    Raises:
        Forbidden: ``operator_required``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require_operator()
    rows, more = newest_first(
        reading, select(nodes), nodes, limit=limit, cursor=cursor, by="first_seen_at"
    )
    return Page(_known(reading, rows), more)


def latest_seen(reading: Reading, *, within_ms: int = HOUR_MS) -> list[KnownNode]:
    """Those with a heartbeat within *within_ms*, the latest first; ``MOST`` at most."""
    since = shared_now(reading) - within_ms
    found = select(nodes).where(nodes.c.seen_at >= since).order_by(nodes.c.seen_at.desc())
    return _known(reading, reading.session.execute(found.limit(MOST)).all())


def _known(reading: Reading, rows: Sequence[Row[Any]]) -> list[KnownNode]:
    now = shared_now(reading)
    latest, _ = revisions.latest(reading)
    table = kept_revisions.c
    due = reading.session.scalar(
        select(table.number)
        # Their times are by the nodes' clocks, which is precise enough.
        .where(table.at <= now - _ARRIVAL_MS)
        .order_by(table.number.desc())
        .limit(1)
    )
    one_machine = on_one_machine(reading)
    return [_node(row, now, latest, due or 0, one_machine and row.kind == "node") for row in rows]


def _node(row: Row[Any], now: int, latest: int, due: int, itself: bool) -> KnownNode:
    synced_ms = max(0, now - row.vouched_at)
    seen_ms = max(0, now - row.seen_at)
    gone_ms = max(_GONE_MS, 2 * row.staleness_ms)
    state: NodeStatus = "current"
    if seen_ms > gone_ms:
        state = "gone"
    elif synced_ms > row.staleness_ms:
        state = "stale"
    elif row.revision < due and not itself:
        state = "behind"
    revision = latest if itself and state == "current" else min(row.revision, latest)
    return record_of(
        KnownNode,
        row,
        seen_ms=seen_ms,
        synced_at=row.vouched_at,
        synced_ms=synced_ms,
        state=state,
        revision=revision,
        behind_by=latest - revision,
        itself=itself,
    )
