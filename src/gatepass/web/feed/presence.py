"""What is told to the registry of followers: who is there, and what each has acknowledged.

All that comes within a moment is written in one small transaction, and counted: it never holds up a
change.

**Receipts.** A deactivation waits for whoever could have said "allowed" at its moment
(``registry.receipts``). So a follower is known before the first grant is read for it, and none is
vouched for far beyond what is known of it in the registry (``Present.may_be_vouched``): where the
registry can't be written, heartbeats end; no receipt is wrong.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from gatepass.core.errors import GatepassError, InvalidInput, NotFound
from gatepass.node import Node
from gatepass.registry import nodes, tables
from gatepass.registry.changes import Position
from gatepass.registry.nodes import Presence
from gatepass.web.feed.source import Source

_GATHER_SECONDS = 0.1


@dataclass(eq=False)
class Present:
    """A follower whose stream is open.

    Attributes:
        id: of the follower.
        staleness_ms: how long it decides without being vouched for.
        recorded_ms: what the registry knows: it may have been vouched for until then.
    """

    id: str
    staleness_ms: int
    recorded_ms: int

    def may_be_vouched(self, at_ms: int) -> bool:
        """Whether the registry knows enough of it.

        Receipts wait for whoever was recorded within twice the staleness; half a staleness of that
        is left for clocks that differ.
        """
        return at_ms - self.recorded_ms <= self.staleness_ms // 2

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to record it again."""
        return now_ms - self.recorded_ms >= self.staleness_ms // 4


@dataclass(eq=False)
class _Acknowledgement:
    position: Position
    written: asyncio.Future[GatepassError | None]


class Presences:
    """Followers of one worker process. Everything is for its event loop.

    Args:
        node: whose registry is told.
        source: lends its threads.
    """

    def __init__(self, node: Node, source: Source) -> None:
        self._node = node
        self._source = source
        self._present: set[Present] = set()
        # By follower and the verifier key it shows.
        self._acknowledged: dict[tuple[str, str], _Acknowledgement] = {}
        self._writing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def meet(self, presence: Presence) -> AsyncIterator[Present]:
        """Let the registry know of a follower, and keep it up to date meanwhile.

        Raises:
            InvalidInput: it calls itself by a node's id: nodes answer for themselves.
            Unavailable: the registry can't be written.
        """
        met_ms = await self._source.run(self._meet, presence)
        present = Present(presence.id, presence.staleness_ms, met_ms)
        self._present.add(present)
        self._begin()
        try:
            yield present
        finally:
            self._present.remove(present)

    async def acknowledge(self, node_id: str, key_id: str, position: Position) -> None:
        """Note what a follower has reached; returns when it is written.

        Raises:
            NotFound: nobody of that id ever opened a feed with that key.
            Unavailable: the registry can't be written.
        """
        waiting = self._acknowledged.get((node_id, key_id))
        if waiting is None:
            future = asyncio.get_running_loop().create_future()
            waiting = self._acknowledged[node_id, key_id] = _Acknowledgement(position, future)
        waiting.position = position
        self._begin()
        refusal = await asyncio.shield(waiting.written)
        if refusal is not None:
            raise refusal

    def _begin(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        while self._present or self._acknowledged:
            await asyncio.sleep(_GATHER_SECONDS)
            now_ms = self._node.clock.now()
            due = [each for each in self._present if each.is_due(now_ms)]
            acknowledged, self._acknowledged = self._acknowledged, {}
            if not due and not acknowledged:
                continue
            try:
                forgotten, unknown = await self._source.run(self._write, now_ms, due, acknowledged)
            except GatepassError as error:
                for acknowledgement in acknowledged.values():
                    acknowledgement.written.set_result(error)
                continue
            for present in due:
                # One that was forgotten is vouched for no more: it comes again, and is met.
                if present.id not in forgotten:
                    present.recorded_ms = now_ms
            for who, acknowledgement in acknowledged.items():
                refusal = NotFound("Nobody of that id has opened a feed with this key.")
                acknowledgement.written.set_result(refusal if who in unknown else None)

    # --- on threads -------------------------------------------------------------------------------

    def _meet(self, presence: Presence) -> int:
        now = self._node.clock.now()
        with self._node.database.counting(now) as session:
            found = session.execute(
                select(tables.nodes.c.kind).where(tables.nodes.c.id == presence.id)
            ).scalar_one_or_none()
            if found == "node":
                raise InvalidInput([("node", "This is a node's own id.")])
            nodes.meet(session, presence)
        return now

    def _write(
        self,
        now_ms: int,
        due: list[Present],
        acknowledged: dict[tuple[str, str], _Acknowledgement],
    ) -> tuple[set[str], set[tuple[str, str]]]:
        """Write all of it; who was forgotten, and who of those that acknowledged isn't known."""
        positions: dict[str, Position | None] = {present.id: None for present in due}
        # Written before it is so: whoever may be vouched for is known to be.
        vouched = dict.fromkeys(positions, now_ms)
        with self._node.database.counting(now_ms) as session:
            known = _known(session, {node_id for node_id, _ in acknowledged})
            for who, acknowledgement in acknowledged.items():
                if who in known:
                    positions[who[0]] = acknowledgement.position
            # In one order everywhere, so that no two of these ever wait for each other.
            forgotten = {
                node_id
                for node_id in sorted(positions)
                if not nodes.report(session, node_id, positions[node_id], vouched.get(node_id, 0))
            }
        return forgotten, set(acknowledged) - known


def _known(session: Session, node_ids: set[str]) -> set[tuple[str, str]]:
    table = tables.nodes.c
    found: set[tuple[str, str]] = set()
    for some in _portions(sorted(node_ids)):
        rows = session.execute(
            select(table.id, table.key_id).where(table.id.in_(some), table.kind == "embedded")
        )
        found.update((row.id, row.key_id) for row in rows)
    return found


def _portions(ids: list[str]) -> list[list[str]]:
    return [ids[start : start + 500] for start in range(0, len(ids), 500)]
