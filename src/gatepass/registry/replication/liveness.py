"""Nodes and embedded verifiers: who decides by these grants, and how far each has come.

What they report is small and frequent, so it is counted, never a change: it takes no revision.

A deactivation receipt counts everyone who could still say "allowed" (``receipts``). That is sound
because nobody is vouched for without being known here:

* An embedded verifier counts from when it is about to be vouched for, not from when it asks.
* Whoever begins to count, or was out of reach for longer than its staleness and is back, waits for
  the change that is under way: either that change sees them, or they see that change.
* Whoever is known and in touch is counted until twice its staleness after it was last vouched for.
  The second staleness is for what is under way between the two: a question that takes longer is
  worth nothing by the time it is answered.

Times here are the database's where there are several machines (``database_time``).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import case, delete, func, or_, select, text, update
from sqlalchemy.engine import CursorResult

from gatepass.core.errors import Conflict
from gatepass.registry.replication import receipts
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.database_time import POSTGRESQL_NOW, shared_now
from gatepass.registry.storage.revisions import Position
from gatepass.registry.storage.tables import nodes, revision

#: A verifier key has so many followers at a time: whoever holds one could else invent thousands.
MOST_PER_KEY = 200


@dataclass(frozen=True, slots=True)
class Presence:
    """Who it is that decides.

    Attributes:
        id: ``verify.replica.identity``; of an embedded one, ``follower_id`` there.
        kind: ``node`` serves and has people's traffic; ``embedded`` is in someone's application.
        name: of the machine, as people know it.
        address: where it was last heard from; None for this machine's own.
        key_id: the verifier key that an embedded one shows.
        limits: the companies and permissions its copy is limited to.
        staleness_ms: how long it decides without being vouched for.
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
        """What is stored of it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "address": self.address,
            "key_id": self.key_id,
            "limits": None if self.limits is None else json.dumps(self.limits),
            "staleness_ms": self.staleness_ms,
        }


def meet(write: Write, presence: Presence) -> None:
    """Note that someone is there, before any grant is given to them.

    A node may say "allowed" from then on. An embedded verifier has no copy yet, or one that nobody
    vouches for: before it is vouched for, it has to be reported as such (``report``), and what it
    is given has to be read after that. Until then no receipt counts it.

    Raises:
        Conflict: ``too_many_followers``: its key has ``MOST_PER_KEY`` others in reach.
    """
    _wait_for_changes(write)
    now = shared_now(write)
    vouched_at = now
    if presence.key_id is not None:
        _make_room(write, presence, now)
        vouched_at = now - 2 * presence.staleness_ms
    write.session.execute(_MEET, {**presence.row(), "now": now, "vouched_at": vouched_at})


def _make_room(write: Write, presence: Presence, now: int) -> None:
    """Forget as many of a key's followers as have to make room: of those that can't say "allowed"
    any more, the ones that have been silent for longest."""
    table = nodes.c
    others = (table.key_id == presence.key_id, table.id != presence.id)
    known = write.session.scalars(select(table.id).where(table.id == presence.id)).first()
    count = write.session.scalar(select(func.count()).where(*others)) or 0
    if known is not None or count < MOST_PER_KEY:
        return
    silent = (table.vouched_at + 2 * table.staleness_ms <= now) & (
        table.seen_at + 2 * table.staleness_ms <= now
    )
    some = select(table.id).where(*others, silent).order_by(table.seen_at, table.id)
    gone = write.session.scalars(some.limit(count - MOST_PER_KEY + 1)).all()
    if len(gone) <= count - MOST_PER_KEY:
        raise Conflict(
            f"The verifier key {presence.key_id} has {MOST_PER_KEY} followers already; give this "
            "one another key.",
            reason="too_many_followers",
        )
    write.session.execute(delete(nodes).where(table.id.in_(gone)))


def report(write: Write, node_id: str, position: Position | None, vouched_at: int) -> bool:
    """Note how far someone has come, and confirm what that means has reached them.

    Args:
        position: the (revision, tag) they have acknowledged; None if they have none. One that
            this history doesn't know confirms nothing.
        vouched_at: the latest moment they may have been vouched for, Unix ms by the reporter's
            clock, as ``write.now`` is.

    Returns:
        Whether they are known. If not, they have to be met.
    """
    now = shared_now(write)
    # How long ago is a length of time, and the same by any clock.
    vouched_at = now - max(0, write.now - vouched_at)
    table = nodes.c
    seen = (
        update(nodes)
        .where(table.id == node_id)
        .values(
            seen_at=now,
            vouched_at=case((table.vouched_at < vouched_at, vouched_at), else_=table.vouched_at),
        )
    )
    if not _done(write, seen.where(table.vouched_at + table.staleness_ms > now)):
        _wait_for_changes(write)
        if not _done(write, seen):
            return False
    if position is None or not revisions.known(write, position):
        return True
    latest = select(revision.c.number).scalar_subquery()
    write.session.execute(
        update(nodes)
        # One that is ahead of us is of another history, before a restore.
        .where(table.id == node_id, or_(table.revision < position[0], table.revision > latest))
        .values(revision=position[0])
    )
    receipts.confirm(write, node_id, position[0])
    return True


def forget(write: Write, unseen_ms: int = 86_400_000) -> None:
    """Drop those of whom nothing was heard for *unseen_ms*. Receipts know their names."""
    write.session.execute(delete(nodes).where(nodes.c.seen_at < shared_now(write) - unseen_ms))


def _wait_for_changes(write: Write) -> None:
    # Shared: several may be met at once. SQLite has one writer at a time anyway.
    if write.session.get_bind().dialect.name == "postgresql":
        write.session.execute(_WAIT)


def _done(reading: Reading, statement: Any) -> bool:
    result = reading.session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount > 0


#: Waits until no change is under way, and lets none begin before this transaction ends.
WAIT_FOR_CHANGES = "SELECT 1 FROM revision WHERE id = 1 FOR SHARE"


def meet_sql(now: str, vouched_at: str, **columns: str) -> str:
    """The statement that meets someone; its parameters as a driver spells them."""
    names = ", ".join(columns)
    values = ", ".join(columns.values())
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
    return (
        f"INSERT INTO nodes ({names}, first_seen_at, seen_at, vouched_at, revision) "  # noqa: S608 - names of columns and parameters' spellings
        f"VALUES ({values}, {now}, {now}, {vouched_at}, 0) ON CONFLICT (id) DO UPDATE "
        f"SET {updates}, seen_at = excluded.seen_at, "
        "vouched_at = CASE WHEN nodes.vouched_at > excluded.vouched_at "
        "THEN nodes.vouched_at ELSE excluded.vouched_at END"
    )


COLUMNS = ("id", "kind", "name", "version", "address", "key_id", "limits", "staleness_ms")
_IN_TOUCH = f"id = {{id}} AND vouched_at + staleness_ms > {POSTGRESQL_NOW}"
#: Whether a follower is known, and was in reach until now: else it has to be met.
IN_TOUCH = f"EXISTS (SELECT 1 FROM nodes WHERE {_IN_TOUCH})"  # noqa: S608 - a constant
#: What its heartbeat writes, so that a node is known to be vouched for by the very commit that
#: vouches. Not each time, but often enough: receipts count it for twice its staleness.
HEARTBEAT = (
    f"UPDATE nodes SET seen_at = {POSTGRESQL_NOW}, vouched_at = {POSTGRESQL_NOW} "  # noqa: S608 - a constant
    f"WHERE {_IN_TOUCH} AND vouched_at + staleness_ms / 10 <= {POSTGRESQL_NOW}"
)
#: What meets it, after ``WAIT_FOR_CHANGES``.
MEET = meet_sql(POSTGRESQL_NOW, POSTGRESQL_NOW, **{name: f"%({name})s" for name in COLUMNS})

_WAIT = text(WAIT_FOR_CHANGES)
_MEET = text(meet_sql(":now", ":vouched_at", **{name: f":{name}" for name in COLUMNS}))
