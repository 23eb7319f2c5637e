"""Registers followers and records their heartbeats and acknowledgements, in batches.

Everything that arrives within a moment is written in one small auxiliary write. So heartbeats never
hold up a change, and thousands of followers that reconnect at once cost a few transactions.

**Receipts.** A deactivation waits for every verifier that could have allowed the token at that time
(``registry.replication.receipts``). So a follower is registered before the first grant is read for
it, and its lease is recorded before it gets one; a follower that never gets a lease is counted
nowhere. No lease reaches far beyond the recorded one (``Follower.may_hold_lease``): if the registry
can't be written, heartbeats stop, and no receipt is wrong.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gatepass.core.errors import Conflict, GatepassError, NotFound
from gatepass.log_limit import LogLimit
from gatepass.node.node import Node
from gatepass.registry.replication import liveness
from gatepass.registry.replication.liveness import Registration
from gatepass.registry.storage.revisions import Position
from gatepass.web.feed.source import Source, error_for_waiting

_BATCH_SECONDS = 0.1

_log = logging.getLogger("gatepass.feed")

#: Resolves to None when it is written, or to the error.
_Written = asyncio.Future[GatepassError | None]


@dataclass(eq=False)
class Follower:
    """A follower whose stream is open.

    Attributes:
        id: its registry id.
        staleness_ms: the length of its lease.
        recorded_ms: the recorded start of its lease (Unix ms); 0 before its first one
            (``Heartbeats.record_lease``).
    """

    id: str
    staleness_ms: int
    recorded_ms: int = 0

    def may_hold_lease(self, start_ms: int) -> bool:
        """Whether a lease that starts at *start_ms* is covered by the recorded one.

        Receipts wait for followers whose lease was recorded within twice the staleness; half a
        staleness of that is left for clocks that differ.
        """
        return start_ms - self.recorded_ms <= self.staleness_ms // 2

    def is_due(self, now_ms: int) -> bool:
        """Whether to record the lease again."""
        return 0 < self.recorded_ms <= now_ms - self.staleness_ms // 4


@dataclass(eq=False)
class _Acknowledgement:
    position: Position
    written: _Written
    use_until: int | None = None


@dataclass(eq=False)
class _Batch:
    """What one transaction writes.

    Attributes:
        new: followers to register.
        leased: followers that are about to get their first lease.
        acknowledged: acknowledgements by follower.
        due: followers whose lease is to be recorded again.
        unknown: ids of followers that turned out not to be registered any more.
    """

    new: list[tuple[Registration, _Written]] = field(default_factory=list)
    leased: dict[Follower, _Written] = field(default_factory=dict)
    acknowledged: dict[str, _Acknowledgement] = field(default_factory=dict)
    due: list[Follower] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)

    @property
    def waiting(self) -> list[_Written]:
        """The futures to resolve."""
        return [
            *(written for _, written in self.new),
            *self.leased.values(),
            *(acknowledgement.written for acknowledgement in self.acknowledged.values()),
        ]


class Heartbeats:
    """The followers of one worker process. Use it only from the event loop.

    Args:
        node: the node whose registry is written.
        source: provides threads.
    """

    def __init__(self, node: Node, source: Source) -> None:
        self._node = node
        self._source = source
        self._followers: set[Follower] = set()
        self._next = _Batch()
        self._writing: asyncio.Task[None] | None = None
        self._log_limit = LogLimit()

    @asynccontextmanager
    async def register(self, registration: Registration) -> AsyncIterator[Follower]:
        """Register a follower, and record its heartbeats until the context ends.

        Raises:
            Conflict: ``too_many_followers``.
            Unavailable: the registry can't be written.
        """
        written: _Written = asyncio.get_running_loop().create_future()
        self._next.new.append((registration, written))
        await self._wait_for(written)
        follower = Follower(registration.id, registration.staleness_ms)
        self._followers.add(follower)
        self._start_writing()
        try:
            yield follower
        finally:
            self._followers.remove(follower)

    async def record_lease(self, follower: Follower) -> None:
        """Record that a follower is about to get its first lease.

        Receipts count the follower from then on; read what it gets with the lease after this call.

        Raises:
            NotFound: the follower isn't registered any more.
            Unavailable: the registry can't be written.
        """
        asked_ms = self._node.clock.now()
        written: _Written = asyncio.get_running_loop().create_future()
        self._next.leased[follower] = written
        await self._wait_for(written)
        # The recorded time is later than this one.
        follower.recorded_ms = asked_ms

    async def acknowledge(
        self, follower_id: str, position: Position, use_age_ms: int | None = None
    ) -> None:
        """Record the position that a follower acknowledges; returns when it is written.

        Args:
            use_age_ms: it has reported all calls that it allowed until so long ago; None if it
                doesn't say so.

        Raises:
            NotFound: no follower of that id is registered.
            Unavailable: the registry can't be written.
        """
        waiting = self._next.acknowledged.get(follower_id)
        if waiting is None:
            written: _Written = asyncio.get_running_loop().create_future()
            waiting = _Acknowledgement(position, written)
            self._next.acknowledged[follower_id] = waiting
        waiting.position = position
        if use_age_ms is not None:
            waiting.use_until = self._node.clock.now() - use_age_ms
        await self._wait_for(waiting.written)

    def _start_writing(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def _wait_for(self, written: _Written) -> None:
        self._start_writing()
        refusal = await asyncio.shield(written)
        if refusal is not None:
            raise refusal

    async def _write_all(self) -> None:
        while self._followers or self._next.waiting:
            await asyncio.sleep(_BATCH_SECONDS)
            now_ms = self._node.clock.now()
            batch, self._next = self._next, _Batch()
            batch.due = [each for each in self._followers if each.is_due(now_ms)]
            if not batch.due and not batch.waiting:
                continue
            try:
                refusals = await self._source.run(self._write, batch, now_ms)
            except Exception as error:
                refusals = dict.fromkeys(batch.waiting, error_for_waiting(error))
            else:
                for follower in batch.due:
                    # A follower that was deleted gets no more leases; it reconnects and registers.
                    if follower.id not in batch.unknown:
                        follower.recorded_ms = now_ms
            for written in batch.waiting:
                written.set_result(refusals.get(written))
            self._log(refusals.values())

    def _log(self, refusals: Iterable[GatepassError]) -> None:
        for refusal in refusals:
            if refusal.reason == "too_many_followers" and (
                self._log_limit.left_out(refusal.reason) is not None
            ):
                _log.warning("a follower was refused: %s", refusal.message)

    # --- on threads -------------------------------------------------------------------------------

    def _write(self, batch: _Batch, now_ms: int) -> dict[_Written, GatepassError]:
        """Write the batch; returns the entries that failed, with their errors."""
        positions: dict[str, Position | None] = {
            follower.id: None for follower in (*batch.due, *batch.leased)
        }
        # Recorded in advance, so that no follower ever holds a lease that isn't recorded.
        leases = dict.fromkeys(positions, now_ms)
        positions |= {node_id: each.position for node_id, each in batch.acknowledged.items()}
        refusals: dict[_Written, GatepassError] = {}
        with self._node.database.auxiliary_write(now_ms) as write:
            # Always in the order of ids, so that two of these transactions never deadlock.
            for registration, written in sorted(batch.new, key=lambda each: each[0].id):
                try:
                    liveness.register(write, registration)
                except Conflict as error:
                    refusals[written] = error
            for node_id in sorted(positions):
                sent = batch.acknowledged.get(node_id)
                known = liveness.report(
                    write,
                    node_id,
                    positions[node_id],
                    leases.get(node_id, 0),
                    None if sent is None else sent.use_until,
                )
                if not known:
                    batch.unknown.add(node_id)
        unknown = NotFound("No follower of that id has opened a feed with this key.")
        for node_id in batch.unknown & batch.acknowledged.keys():
            refusals[batch.acknowledged[node_id].written] = unknown
        for follower, written in batch.leased.items():
            if follower.id in batch.unknown:
                refusals[written] = unknown
        return refusals
