"""Registration and heartbeats of nodes and embedded verifiers, with their replication position.

Reports are small and frequent, so they are auxiliary writes, which take no revision.

A deactivation receipt lists each verifier that could still answer "allowed" (``receipts``). That is
sound because no verifier has a lease without being registered here:

* An embedded verifier counts from just before its first lease, not from its first request.
* A follower that registers, or reconnects after more than its staleness, first waits for the write
  in progress (FOR SHARE on the revision row). So either that write's receipt lists the follower, or
  the follower's copy includes the write.
* A follower with recent heartbeats counts until twice its staleness after its last lease. The
  second staleness covers requests in flight: an answer that takes longer is stale on arrival.

Times here are the database's if there are several machines (``database_time``).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, case, delete, func, or_, select, text, update
from sqlalchemy.engine import CursorResult

from gatepass.core.errors import Conflict
from gatepass.registry.replication import receipts, use_reports
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.database_time import POSTGRESQL_NOW, shared_now
from gatepass.registry.storage.revisions import Position
from gatepass.registry.storage.tables import nodes, revision

#: Followers of one verifier key at a time: its holder could otherwise register thousands.
MOST_PER_KEY = 200


@dataclass(frozen=True, slots=True)
class Registration:
    """What a node or embedded verifier registers with.

    Attributes:
        id: ``verify.replica.identity``; for an embedded verifier, ``follower_id`` there.
        kind: ``node`` is a Gatepass node; ``embedded`` is a verifier within an application.
        name: the host name of its machine.
        address: its address at the last request; None for this node.
        key_id: the verifier key of an embedded verifier.
        limits: the companies and permissions its copy is limited to; None is no limit.
        staleness_ms: the length of its lease.
    """

    id: str
    kind: Literal["node", "embedded"]
    name: str
    version: str
    address: str | None
    key_id: str | None
    limits: Mapping[str, Sequence[str]] | None
    staleness_ms: int

    def row(self) -> dict[str, Any]:
        """Its columns in ``nodes``."""
        limits = None if self.limits is None else json.dumps(self.limits)
        return {name: getattr(self, name) for name in COLUMNS} | {"limits": limits}


def register(write: Write, registration: Registration) -> None:
    """Register a follower before it receives any grant.

    A node may answer "allowed" from then on. An embedded verifier has no copy yet, or a stale one.
    Before its lease is renewed, ``report`` must record the renewal, and the grants it receives must
    be read after that. Until then no receipt lists it.

    Raises:
        Conflict: ``too_many_followers``: its key has ``MOST_PER_KEY`` other live followers.
    """
    _wait_for_writes(write)
    now = shared_now(write)
    fresh_at = now
    if registration.key_id is not None:
        _make_room(write, registration, now)
        fresh_at = now - 2 * registration.staleness_ms
    write.session.execute(_REGISTER, {**registration.row(), "now": now, "vouched_at": fresh_at})


def _make_room(write: Write, registration: Registration, now: int) -> None:
    """Delete dead followers of the key as needed, those silent for longest first.

    Only followers that can't answer "allowed" any more are deleted.
    """
    table = nodes.c
    others = (table.key_id == registration.key_id, table.id != registration.id)
    known = write.session.scalars(select(table.id).where(table.id == registration.id)).first()
    count = write.session.scalar(select(func.count()).where(*others)) or 0
    if known is not None or count < MOST_PER_KEY:
        return
    silent = (table.vouched_at + 2 * table.staleness_ms <= now) & (
        table.seen_at + 2 * table.staleness_ms <= now
    )
    some = select(table.id).where(*others, silent).order_by(table.seen_at, table.id)
    dead = write.session.scalars(some.limit(count - MOST_PER_KEY + 1)).all()
    if len(dead) <= count - MOST_PER_KEY:
        raise Conflict(
            f"The verifier key {registration.key_id} has {MOST_PER_KEY} followers already; give "
            "this one another key.",
            reason="too_many_followers",
        )
    _delete(write, table.id.in_(dead))


def report(
    write: Write,
    node_id: str,
    position: Position | None,
    fresh_at: int,
    use_until: int | None = None,
) -> bool:
    """Record a follower's heartbeat and position, and confirm its receipts up to there.

    Args:
        position: the (revision, tag) it has acknowledged; None if it has none. A position that
            this history doesn't know confirms nothing.
        fresh_at: the latest time its lease may have been renewed, Unix ms by the reporter's clock,
            like ``write.now``.
        use_until: all calls that it allowed up to then are counted, likewise; None if it doesn't
            say so.

    Returns:
        Whether it is registered. If not, it must register.
    """
    now = shared_now(write)
    # An age is the same by any clock.
    fresh_at = now - max(0, write.now - fresh_at)
    table = nodes.c
    seen = (
        update(nodes)
        .where(table.id == node_id)
        .values(
            seen_at=now,
            vouched_at=case((table.vouched_at < fresh_at, fresh_at), else_=table.vouched_at),
        )
    )
    if not _updated(write, seen.where(table.vouched_at + table.staleness_ms > now)):
        _wait_for_writes(write)
        if not _updated(write, seen):
            return False
    if use_until is not None:
        use_reports.record(write, node_id, use_until)
    if position is None or not revisions.is_known(write, position):
        return True
    latest = select(revision.c.number).scalar_subquery()
    write.session.execute(
        update(nodes)
        # A later position belongs to another history, before a restore.
        .where(table.id == node_id, or_(table.revision < position[0], table.revision > latest))
        .values(revision=position[0])
    )
    receipts.confirm(write, node_id, position[0])
    return True


def forget(write: Write, unseen_ms: int = 86_400_000) -> None:
    """Delete followers without a heartbeat for *unseen_ms*. Receipts keep their names."""
    _delete(write, nodes.c.seen_at < shared_now(write) - unseen_ms)


def _delete(write: Write, which: ColumnElement[bool]) -> None:
    use_reports.before_deleting(write, which)
    write.session.execute(delete(nodes).where(which))


def _wait_for_writes(write: Write) -> None:
    # A shared lock: several followers may register at once. SQLite has one writer at a time anyway.
    if write.session.get_bind().dialect.name == "postgresql":
        write.session.execute(_WAIT)


def _updated(reading: Reading, statement: Any) -> bool:
    result = reading.session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount > 0


#: Waits for the write in progress, and blocks further ones until this transaction ends.
WAIT_FOR_WRITES = "SELECT 1 FROM revision WHERE id = 1 FOR SHARE"


def register_sql(now: str, fresh_at: str, **columns: str) -> str:
    """The statement that registers a follower; placeholders in the driver's syntax."""
    names = ", ".join(columns)
    values = ", ".join(columns.values())
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
    return (
        f"INSERT INTO nodes ({names}, first_seen_at, seen_at, vouched_at, revision) "  # noqa: S608 - names of columns and placeholders
        f"VALUES ({values}, {now}, {now}, {fresh_at}, 0) ON CONFLICT (id) DO UPDATE "
        f"SET {updates}, seen_at = excluded.seen_at, "
        "vouched_at = CASE WHEN nodes.vouched_at > excluded.vouched_at "
        "THEN nodes.vouched_at ELSE excluded.vouched_at END"
    )


COLUMNS = ("id", "kind", "name", "version", "address", "key_id", "limits", "staleness_ms")
_IS_LIVE = f"id = {{id}} AND vouched_at + staleness_ms > {POSTGRESQL_NOW}"
#: Whether a follower is registered and its lease still runs; otherwise it must register.
IS_LIVE = f"EXISTS (SELECT 1 FROM nodes WHERE {_IS_LIVE})"  # noqa: S608 - a constant
#: The heartbeat of a node, written by the very commit that renews its lease. Not each time, but
#: often enough: receipts count it for twice its staleness.
HEARTBEAT = (
    f"UPDATE nodes SET seen_at = {POSTGRESQL_NOW}, vouched_at = {POSTGRESQL_NOW} "  # noqa: S608 - a constant
    f"WHERE {_IS_LIVE} AND vouched_at + staleness_ms / 10 <= {POSTGRESQL_NOW}"
)
#: Registers a node, after ``WAIT_FOR_WRITES``.
REGISTER = register_sql(POSTGRESQL_NOW, POSTGRESQL_NOW, **{name: f"%({name})s" for name in COLUMNS})

_WAIT = text(WAIT_FOR_WRITES)
_REGISTER = text(register_sql(":now", ":vouched_at", **{name: f":{name}" for name in COLUMNS}))
