"""What a worker process knows of changes: read once for all its streams.

Streams ask for what changed since the position each has reached. All that are asked for at a time
are answered from one reading of the registry, which leads all of them to one position; so thousands
of streams cost one small reading a change.

A follower that lacks many changes reads on piece by piece (``slices``), and what changed meanwhile
follows: so what is held of changes doesn't grow with the number of followers. Such readings wait
for their turn, two at a time; the short ones of everybody else go on beside them.

**Who vouches.** On one machine the registry itself is asked: its position was read after the
moment that is named. On PostgreSQL the moment is the one by which this node itself was last vouched
for. It is passed on to followers that are where this node is; and to those that move on, only where
the registry that was read knows the position of this node's copy. So a registry that lags behind,
or parted from the others, vouches for nothing, and a node that can't ask the primary lets its
followers run down with it.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from gatepass.core.errors import GatepassError, Unavailable
from gatepass.node.node import Node
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.revisions import ChangedRow, ChangesCursor, Position
from gatepass.verify.replica import frames
from gatepass.web.feed.chunking import portions
from gatepass.web.feed.limits import Limits
from gatepass.web.feed.slices import Slice, Slices
from gatepass.web.http_boundary import log_unhandled

#: Streams look after themselves this often even if nothing changes: heartbeats, keys, limits.
BEAT_SECONDS = 0.5
#: How soon a change is noticed.
_LOOK_SECONDS = 0.02
#: While one change follows the other, followers are told this often: what readers of a copy keep
#: decoded is void after each time.
REST_SECONDS = 0.05
#: A follower that lacks more than this is better off with a snapshot, which comes page by page.
MOST_CHANGES = 100_000
#: More than this aren't read for one position at once, but piece by piece.
MOST_AT_ONCE = 250
# Registry readings and snapshots of all streams; the pool that requests wait for stays theirs.
_THREADS = 4
# So many of them for what takes longer.
_TURNS = 2

_Done = TypeVar("_Done")


class Step:
    """From one position to another.

    Attributes:
        to: the position it leads to.
        changes: what changed in between, as it is at *to*.
        asked_ns: by this machine's boot clock; *to* was the primary's position at a later moment.
            None if nobody vouches for that.
        unread: where to read on from, if that is too much for one reading; *changes* is empty then.
    """

    def __init__(
        self,
        to: Position,
        found: list[ChangedRow],
        asked_ns: int | None,
        unread: ChangesCursor | None = None,
    ) -> None:
        self.to = to
        self.changes = found
        self.asked_ns = asked_ns
        self.unread = unread
        #: Its frames, made once for all who have the same limits.
        self.made: dict[Limits, asyncio.Task[list[bytes]]] = {}

    def frames(self, limits: Limits) -> list[bytes]:
        """The changes' frames for those with these limits."""
        return [frames.encode(frames.pack(some)) for some in portions(limits.of(self.changes))]


class Source:
    """One worker process's source of changes. Everything but :meth:`run` is for its event loop.

    Args:
        node: whose registry and grant file are read.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._copy = node.verifier.copy
        self._shared = node.file.shared
        self._staleness_ns = node.settings.max_staleness * 1_000_000_000
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="gatepass_feed")
        self._turns = asyncio.Semaphore(_TURNS)
        self._slices = Slices(node)
        self._streams = 0
        self._watching: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._wanted: dict[Position, asyncio.Future[Step | GatepassError | None]] = {}
        self._turn = asyncio.Event()
        #: Set once this process is told to stop.
        self.leaving = asyncio.Event()
        #: Another number whenever something may have changed.
        self.moves = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch for changes meanwhile; for each stream."""
        self._streams += 1
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch(self._mark()))
        try:
            yield
        finally:
            self._streams -= 1

    async def moved(self, since: int) -> None:
        """Return when ``moves`` is another number than *since*, or after a beat."""
        if self.moves == since:
            await self._turn.wait()

    async def since(self, after: Position, *, read: bool = False) -> Step | None:
        """What leads on from *after*; None if that isn't known, or too much changed since.

        Args:
            read: in any case read the registry, which is at least as far as this node's file.

        Raises:
            Unavailable: the registry can't be read.
        """
        if self._copy and not read:
            asked_ns = self._own_stamp()
            # No need to ask anyone: this node's own follower was there, and did.
            if asked_ns is not None and self._shared.position == after:
                return Step(after, [], asked_ns)
        future = self._wanted.get(after)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._wanted[after] = loop.create_future()
            if self._reading is None or self._reading.done():
                self._reading = loop.create_task(self._read_all())
        found = await asyncio.shield(future)
        if isinstance(found, GatepassError):
            raise found
        return found

    async def frames(self, step: Step, limits: Limits) -> list[bytes]:
        """A step's frames for those with these limits."""
        making = step.made.get(limits)
        if making is None:
            loop = asyncio.get_running_loop()
            making = step.made[limits] = loop.create_task(self.run(step.frames, limits))
        return await asyncio.shield(making)

    async def slice(self, place: ChangesCursor, limits: Limits) -> Slice | None:
        """What changed next after *place*, for those with these limits; None if that isn't known
        any more.

        Raises:
            Unavailable: the registry can't be read.
        """
        return await self._slices.get(place, limits, self.in_turn)

    async def in_turn(self, work: Callable[..., _Done], *arguments: object) -> _Done:
        """``run`` for what takes longer: in the order in which it is asked for."""
        async with self._turns:
            return await self.run(work, *arguments)

    async def run(self, work: Callable[..., _Done], *arguments: object) -> _Done:
        """Do something that blocks on one of the feed's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _watch(self, mark: object) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + BEAT_SECONDS
        pause = _LOOK_SECONDS
        while self._streams:
            await asyncio.sleep(pause)
            before, mark = mark, self._mark()
            pause = _LOOK_SECONDS
            if mark != before:
                self.moves += 1
                pause = REST_SECONDS
            elif self._node.leaving:
                self.leaving.set()
            elif loop.time() < beat_at:
                continue
            beat_at = loop.time() + BEAT_SECONDS
            turn, self._turn = self._turn, asyncio.Event()
            turn.set()

    def _mark(self) -> object:
        return self._shared.position if self._copy else self._shared.generation

    async def _read_all(self) -> None:
        while self._wanted:
            # Whoever was woken by the same change may still join.
            await asyncio.sleep(0)
            wanted, self._wanted = self._wanted, {}
            found: dict[Position, Step | None] | GatepassError
            try:
                found = await self.run(self._read, list(wanted))
            except Exception as error:
                found = outage(error)
            for after, future in wanted.items():
                if not future.done():
                    future.set_result(found if isinstance(found, GatepassError) else found[after])

    def _read(self, wanted: list[Position]) -> dict[Position, Step | None]:
        # In this order: the stamp vouches for the position it is read before, or an earlier one.
        asked_ns = self._own_stamp() if self._copy else self._node.clock.boot_ns()
        own = self._shared.position
        with self._node.database.read(self._node.clock.now()) as reading:
            if self._copy and not revisions.is_known(reading, own):
                asked_ns = None
            there = revisions.latest(reading)
            # Nothing new there, and this node is elsewhere: then whoever stays waits for it.
            stays_ns = None if self._copy and there != own else asked_ns
            at_once = min(MOST_AT_ONCE, MOST_CHANGES)
            long = {
                after
                for after in wanted
                if after != there and revisions.more_changes_than(reading, after[0], at_once)
            }
            reach = revisions.earliest_within(reading, MOST_CHANGES) if long else 0
            found: dict[Position, Step | None] = {}
            for after in wanted:
                if after in long:
                    is_near = after[0] >= reach and revisions.is_known(reading, after)
                    unread = ChangesCursor(there, after[0])
                    found[after] = Step(there, [], asked_ns, unread) if is_near else None
                else:
                    found[after] = _step(reading, after, stays_ns if after == there else asked_ns)
            return found

    def _own_stamp(self) -> int | None:
        """The moment by which this node was last vouched for; None if it isn't any more."""
        until_ns = self._shared.lease_until_boot_ns()
        return until_ns - self._staleness_ns if self._node.verifier.fresh() else None


def outage(error: Exception) -> GatepassError:
    """What those are told who wait for work that failed. What nobody expected is logged: nobody
    may wait for ever because of it."""
    if isinstance(error, GatepassError):
        return error
    log_unhandled(error)
    return Unavailable("This can't be answered right now.")


def _step(reading: Reading, after: Position, asked_ns: int | None) -> Step | None:
    found = revisions.changes_since(reading, after)
    return None if found is None else Step(*found, asked_ns)
