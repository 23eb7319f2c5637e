"""What is told to the registry of followers: who is there, and what each has acknowledged.

All that comes within a moment is written in one small transaction, and counted: it never holds up a
change, and thousands that come back at once cost a few transactions.

**Receipts.** A deactivation waits for whoever could have said "allowed" at its moment
(``registry.replication.receipts``). So the registry knows of a follower before the first grant is
read for it, and that it is about to be vouched for before it is told so; one that never comes so
far is counted nowhere. And none is vouched for far beyond what is known of it in the registry
(``Present.may_be_vouched``): where the registry can't be written, heartbeats end; no receipt is
wrong.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gatepass.core.errors import Conflict, GatepassError, NotFound
from gatepass.node.node import Node
from gatepass.registry.replication import liveness
from gatepass.registry.replication.liveness import Registration
from gatepass.registry.storage.revisions import Position
from gatepass.web.feed.source import Source, outage

_GATHER_SECONDS = 0.1
_TELL_AGAIN_SECONDS = 60.0

_log = logging.getLogger("gatepass.feed")

#: None once it is written, or why it isn't.
_Written = asyncio.Future[GatepassError | None]


@dataclass(eq=False)
class Present:
    """A follower whose stream is open.

    Attributes:
        id: that it is known as.
        staleness_ms: how long it decides without being vouched for.
        recorded_ms: what the registry knows: it may have been vouched for until then. 0 until the
            follower is about to have a copy (``Presences.is_given``).
    """

    id: str
    staleness_ms: int
    recorded_ms: int = 0

    def may_be_vouched(self, at_ms: int) -> bool:
        """Whether the registry knows enough of it.

        Receipts wait for whoever was recorded within twice the staleness; half a staleness of that
        is left for clocks that differ.
        """
        return at_ms - self.recorded_ms <= self.staleness_ms // 2

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to record it again."""
        return 0 < self.recorded_ms <= now_ms - self.staleness_ms // 4


@dataclass(eq=False)
class _Acknowledgement:
    position: Position
    written: _Written


@dataclass(eq=False)
class _Batch:
    """What is to be written at once.

    Attributes:
        met: who is to be met.
        given: who is about to be vouched for.
        acknowledged: by follower.
        due: who is there for longer, and to be recorded again.
        unknown: whom of both the registry turned out not to know, or not any more.
    """

    met: list[tuple[Registration, _Written]] = field(default_factory=list)
    given: dict[Present, _Written] = field(default_factory=dict)
    acknowledged: dict[str, _Acknowledgement] = field(default_factory=dict)
    due: list[Present] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)

    @property
    def waiting(self) -> list[_Written]:
        """Who is waiting for it."""
        return [
            *(written for _, written in self.met),
            *self.given.values(),
            *(acknowledgement.written for acknowledgement in self.acknowledged.values()),
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
        self._silent_until = 0.0

    @asynccontextmanager
    async def meet(self, registration: Registration) -> AsyncIterator[Present]:
        """Let the registry know of a follower, and keep it up to date meanwhile.

        Raises:
            Conflict: ``too_many_followers``.
            Unavailable: the registry can't be written.
        """
        written: _Written = asyncio.get_running_loop().create_future()
        self._next.met.append((registration, written))
        await self._wait_for(written)
        present = Present(registration.id, registration.staleness_ms)
        self._present.add(present)
        self._begin()
        try:
            yield present
        finally:
            self._present.remove(present)

    async def is_given(self, present: Present) -> None:
        """Let the registry know that a follower is about to be vouched for.

        Receipts count it from then on; what it is told next is to be read after this.

        Raises:
            NotFound: the registry has forgotten it meanwhile.
            Unavailable: the registry can't be written.
        """
        asked_ms = self._node.clock.now()
        written: _Written = asyncio.get_running_loop().create_future()
        self._next.given[present] = written
        await self._wait_for(written)
        # Written later than that.
        present.recorded_ms = asked_ms

    async def acknowledge(self, follower_id: str, position: Position) -> None:
        """Note what a follower has reached; returns when it is written.

        Raises:
            NotFound: nobody who is known as that ever opened a feed.
            Unavailable: the registry can't be written.
        """
        waiting = self._next.acknowledged.get(follower_id)
        if waiting is None:
            written: _Written = asyncio.get_running_loop().create_future()
            waiting = _Acknowledgement(position, written)
            self._next.acknowledged[follower_id] = waiting
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
            self._tell(refusals.values())

    def _tell(self, refusals: Iterable[GatepassError]) -> None:
        """Say, once a minute, that somebody's key has too many followers."""
        for refusal in refusals:
            now = time.monotonic()
            if refusal.reason == "too_many_followers" and now >= self._silent_until:
                self._silent_until = now + _TELL_AGAIN_SECONDS
                _log.warning("a follower was refused: %s", refusal.message)

    # --- on threads -------------------------------------------------------------------------------

    def _write(self, batch: _Batch, now_ms: int) -> dict[_Written, GatepassError]:
        """Write all of it; what couldn't be, and why."""
        positions: dict[str, Position | None] = {
            present.id: None for present in (*batch.due, *batch.given)
        }
        # Written before it is so: whoever may be vouched for is known to be.
        vouched = dict.fromkeys(positions, now_ms)
        positions |= {node_id: each.position for node_id, each in batch.acknowledged.items()}
        refusals: dict[_Written, GatepassError] = {}
        with self._node.database.auxiliary_write(now_ms) as write:
            # In one order everywhere, so that no two of these ever wait for each other.
            for registration, written in sorted(batch.met, key=lambda each: each[0].id):
                try:
                    liveness.register(write, registration)
                except Conflict as error:
                    refusals[written] = error
            for node_id in sorted(positions):
                if not liveness.report(write, node_id, positions[node_id], vouched.get(node_id, 0)):
                    batch.unknown.add(node_id)
        unknown = NotFound("Nobody of that id has opened a feed with this key.")
        for node_id in batch.unknown & batch.acknowledged.keys():
            refusals[batch.acknowledged[node_id].written] = unknown
        for present, written in batch.given.items():
            if present.id in batch.unknown:
                refusals[written] = unknown
        return refusals
