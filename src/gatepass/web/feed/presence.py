"""What is told to the registry of followers: who is there, and what each has acknowledged.

All that comes within a moment is written in one small transaction, and counted: it never holds up a
change, and thousands that come back at once cost a few transactions.

**Receipts.** A deactivation waits for whoever could have said "allowed" at its moment
(``registry.receipts``). So a follower is known before the first grant is read for it, and none is
vouched for far beyond what is known of it in the registry (``Present.may_be_vouched``): where the
registry can't be written, heartbeats end; no receipt is wrong.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gatepass.core.errors import GatepassError, NotFound
from gatepass.node import Node
from gatepass.registry import nodes
from gatepass.registry.changes import Position
from gatepass.registry.nodes import Presence
from gatepass.web.feed.source import Source, outage

_GATHER_SECONDS = 0.1

#: None once it is written, or why it isn't.
_Written = asyncio.Future[GatepassError | None]


@dataclass(eq=False)
class Present:
    """A follower whose stream is open.

    Attributes:
        id: that it is known as.
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
    written: _Written


@dataclass(eq=False)
class _Batch:
    """What is to be written at once.

    Attributes:
        met: who is to be met.
        acknowledged: by follower.
        due: who is there for longer, and to be recorded again.
        unknown: whom of both the registry turned out not to know, or not any more.
    """

    met: list[tuple[Presence, _Written]] = field(default_factory=list)
    acknowledged: dict[str, _Acknowledgement] = field(default_factory=dict)
    due: list[Present] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)

    @property
    def waiting(self) -> list[_Written]:
        """Who is waiting for it."""
        return [written for _, written in self.met] + [
            acknowledgement.written for acknowledgement in self.acknowledged.values()
        ]


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
        self._next = _Batch()
        self._writing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def meet(self, presence: Presence) -> AsyncIterator[Present]:
        """Let the registry know of a follower, and keep it up to date meanwhile.

        Raises:
            Unavailable: the registry can't be written.
        """
        asked_ms = self._node.clock.now()
        written: _Written = asyncio.get_running_loop().create_future()
        self._next.met.append((presence, written))
        await self._wait_for(written)
        # Written later than that.
        present = Present(presence.id, presence.staleness_ms, asked_ms)
        self._present.add(present)
        self._begin()
        try:
            yield present
        finally:
            self._present.remove(present)

    async def acknowledge(self, known_as: str, position: Position) -> None:
        """Note what a follower has reached; returns when it is written.

        Raises:
            NotFound: nobody who is known as that ever opened a feed.
            Unavailable: the registry can't be written.
        """
        waiting = self._next.acknowledged.get(known_as)
        if waiting is None:
            written: _Written = asyncio.get_running_loop().create_future()
            waiting = _Acknowledgement(position, written)
            self._next.acknowledged[known_as] = waiting
        waiting.position = position
        await self._wait_for(waiting.written)

    def _begin(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def _wait_for(self, written: _Written) -> None:
        self._begin()
        refusal = await asyncio.shield(written)
        if refusal is not None:
            raise refusal

    async def _write_all(self) -> None:
        while self._present or self._next.waiting:
            await asyncio.sleep(_GATHER_SECONDS)
            now_ms = self._node.clock.now()
            batch, self._next = self._next, _Batch()
            batch.due = [each for each in self._present if each.is_due(now_ms)]
            if not batch.due and not batch.waiting:
                continue
            try:
                refusals = await self._source.run(self._write, batch, now_ms)
            except Exception as error:
                refusals = dict.fromkeys(batch.waiting, outage(error))
            else:
                for present in batch.due:
                    # One that was forgotten is vouched for no more: it comes again, and is met.
                    if present.id not in batch.unknown:
                        present.recorded_ms = now_ms
            for written in batch.waiting:
                written.set_result(refusals.get(written))

    # --- on threads -------------------------------------------------------------------------------

    def _write(self, batch: _Batch, now_ms: int) -> dict[_Written, GatepassError]:
        """Write all of it; what couldn't be, and why."""
        positions: dict[str, Position | None] = {present.id: None for present in batch.due}
        # Written before it is so: whoever may be vouched for is known to be.
        vouched = dict.fromkeys(positions, now_ms)
        positions |= {node_id: each.position for node_id, each in batch.acknowledged.items()}
        with self._node.database.counting(now_ms) as session:
            # In one order everywhere, so that no two of these ever wait for each other.
            for presence, _ in sorted(batch.met, key=lambda each: each[0].id):
                nodes.meet(session, presence)
            for node_id in sorted(positions):
                if not nodes.report(session, node_id, positions[node_id], vouched.get(node_id, 0)):
                    batch.unknown.add(node_id)
        return {
            batch.acknowledged[node_id].written: NotFound(
                "Nobody of that id has opened a feed with this key."
            )
            for node_id in batch.unknown & batch.acknowledged.keys()
        }
