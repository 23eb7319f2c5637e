"""Changes of the registry, read once per worker process for all its streams.

Each stream requests the changes since its follower's position. One read transaction answers all
pending requests and leads all of them to one position. So a change costs one small read, also with
thousands of streams.

A follower that lacks many changes reads them in slices (``slices``), then the changes made since.
So memory use doesn't grow with the number of followers. At most two such long reads run at a time;
short reads continue beside them.

**Leases.** A follower's lease counts from a time at which the position was the primary's. On SQLite
that is the time just before the registry was read. On PostgreSQL it is the time from which this
node's own lease counts. It is passed on to followers at this node's position; and to followers that
move on only if the registry that was read knows the position of this node's copy. So a lagging or
diverged replica renews no lease, and when a node can't reach the primary, its followers' leases run
out with its own.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from gatepass.core.errors import GatepassError, Unavailable
from gatepass.node.node import Node
from gatepass.registry.storage import revisions
from gatepass.registry.storage.revisions import ChangedRow, ChangesCursor, Position
from gatepass.verify.replica import frames
from gatepass.web.feed.chunking import chunks
from gatepass.web.feed.limits import Limits
from gatepass.web.feed.slices import Slice, Slices
from gatepass.web.unhandled import log_unhandled

#: Without changes, streams wake up this often to send heartbeats and check keys and time limits.
BEAT_SECONDS = 0.5
#: The polling interval for changes.
_POLL_SECONDS = 0.01
#: During a series of changes, followers get updates at intervals of a millisecond for each stream,
#: within these bounds: an update takes about that share of the event loop's time, and invalidates
#: the decoded records that readers of a copy have cached.
SHORTEST_REST_SECONDS, LONGEST_REST_SECONDS = 0.02, 0.05
_REST_SECONDS_A_STREAM = 0.001
#: Larger changes are encoded on a thread. A small one would wait longer for the thread than for its
#: encoding.
_MOST_BYTES_ON_THE_LOOP = 1 << 14
#: A follower that lacks more changes than this gets a snapshot, which comes page by page.
MOST_CHANGES = 100_000
#: More changes than this are read in slices, not at once.
MOST_AT_ONCE = 250
# Threads for registry reads and snapshots of all streams; requests have a pool of their own.
_THREADS = 4
# How many of them long reads may use.
_LONG_READS = 2

_Done = TypeVar("_Done")


class Step:
    """The changes from one position to another.

    Attributes:
        to: the later position.
        changes: the changed rows, as they are at *to*.
        asked_ns: a time by this machine's boot clock; *to* was the primary's position at a later
            time. None if that isn't certain; then the step renews no lease.
        unread: where to start reading slices, if there are too many changes; *changes* is empty
            then.
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
        #: Encoded frames, once for all streams with the same limits.
        self.encoded: dict[Limits, asyncio.Future[list[bytes]]] = {}

    @property
    def small(self) -> bool:
        """Whether encoding it takes well under a millisecond."""
        return sum(len(change[2] or b"") for change in self.changes) <= _MOST_BYTES_ON_THE_LOOP

    def frames(self, limits: Limits, now: int) -> list[bytes]:
        """Encode the changes for streams with these limits at *now* (Unix ms)."""
        return [frames.encode(frames.pack(some)) for some in chunks(limits.of(self.changes, now))]


class Source:
    """A worker process's source of changes. Use it only from the event loop.

    Args:
        node: the node whose registry and grant file are read.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._copy = node.verifier.copy
        self._shared = node.file.shared
        self._staleness_ns = node.settings.max_staleness * 1_000_000_000
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="gatepass_feed")
        self._long_reads = asyncio.Semaphore(_LONG_READS)
        self._slices = Slices(node)
        self._streams = 0
        self._watching: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._requested: dict[Position, asyncio.Future[Step | GatepassError | None]] = {}
        self._beat = asyncio.Event()
        #: Set when this process stops.
        self.leaving = asyncio.Event()
        #: Incremented whenever something may have changed.
        self.version = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Poll for changes while a stream is open."""
        self._streams += 1
        self._node.counters.workers.following(1)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch(self._mark()))
        try:
            yield
        finally:
            self._streams -= 1
            self._node.counters.workers.following(-1)

    async def changed(self, since: int) -> None:
        """Wait until ``version`` differs from *since*, or for a beat."""
        if self.version == since:
            await self._beat.wait()

    async def since(self, after: Position, *, read: bool = False) -> Step | None:
        """The step from *after*; None if that position is unknown, or too many changes follow it.

        Args:
            read: always read the registry, which is never behind this node's file.

        Raises:
            Unavailable: the registry can't be read.
        """
        if self._copy and not read:
            asked_ns = self._own_lease_ns()
            # No query needed: this node's own follower asked the primary at this position.
            if asked_ns is not None and self._shared.position == after:
                return Step(after, [], asked_ns)
        future = self._requested.get(after)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._requested[after] = loop.create_future()
            if self._reading is None or self._reading.done():
                self._reading = loop.create_task(self._read_all())
        found = await asyncio.shield(future)
        if isinstance(found, GatepassError):
            raise found
        return found

    async def frames(self, step: Step, limits: Limits) -> list[bytes]:
        """A step's encoded frames for streams with these limits."""
        encoding = step.encoded.get(limits)
        if encoding is None:
            loop, now = asyncio.get_running_loop(), self._node.clock.now()
            if step.small:
                encoding = loop.create_future()
                encoding.set_result(step.frames(limits, now))
            else:
                encoding = loop.create_task(self.run(step.frames, limits, now))
            step.encoded[limits] = encoding
        return await asyncio.shield(encoding)

    async def slice(self, place: ChangesCursor, limits: Limits) -> Slice | None:
        """The slice after *place* for streams with these limits; None if its changes were
        garbage-collected.

        Raises:
            Unavailable: the registry can't be read.
        """
        return await self._slices.get(place, limits, self.run_long)

    async def run_long(self, work: Callable[..., _Done], *arguments: object) -> _Done:
        """``run`` for long reads, of which few run at a time, in the order of the calls."""
        async with self._long_reads:
            return await self.run(work, *arguments)

    async def run(self, work: Callable[..., _Done], *arguments: object) -> _Done:
        """Run blocking work on one of the feed's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _watch(self, mark: object) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + BEAT_SECONDS
        pause = _POLL_SECONDS
        while self._streams:
            await asyncio.sleep(pause)
            before, mark = mark, self._mark()
            pause = _POLL_SECONDS
            if mark != before:
                self.version += 1
                pause = rest_s(self._streams)
            elif self._node.leaving:
                self.leaving.set()
            elif loop.time() < beat_at:
                continue
            beat_at = loop.time() + BEAT_SECONDS
            beat, self._beat = self._beat, asyncio.Event()
            beat.set()

    def _mark(self) -> object:
        return self._shared.position if self._copy else self._shared.generation

    async def _read_all(self) -> None:
        while self._requested:
            # Let the other streams that the same change woke up join this read.
            await asyncio.sleep(0)
            requested, self._requested = self._requested, {}
            found: dict[Position, Step | None] | GatepassError
            try:
                found = await self.run(self._read, list(requested))
            except Exception as error:
                found = error_for_waiting(error)
            for after, future in requested.items():
                if not future.done():
                    future.set_result(found if isinstance(found, GatepassError) else found[after])

    def _read(self, requested: list[Position]) -> dict[Position, Step | None]:
        # The lease before the position: it covers the position read after it, or an earlier one.
        asked_ns = self._own_lease_ns() if self._copy else self._node.clock.boot_ns()
        own = self._shared.position
        with self._node.database.read(self._node.clock.now()) as reading:
            at_once = min(MOST_AT_ONCE, MOST_CHANGES)
            there, known, at_once_from = revisions.overview(reading, {own, *requested}, at_once)
            if self._copy and own not in known:
                asked_ns = None
            # If this node is at another position, a follower at the registry's waits for the node.
            stays_ns = None if self._copy and there != own else asked_ns
            missing = [after for after in requested if after in known and after != there]
            is_long = any(after[0] < at_once_from for after in missing)
            reach = revisions.earliest_within(reading, MOST_CHANGES) if is_long else 0
            found: dict[Position, Step | None] = dict.fromkeys(requested)
            if there in found:
                found[there] = Step(there, [], stays_ns)
            for after in missing:
                if after[0] >= at_once_from:
                    found[after] = Step(there, revisions.changes(reading, after[0]), asked_ns)
                elif after[0] >= reach:
                    found[after] = Step(there, [], asked_ns, ChangesCursor(there, after[0]))
            return found

    def _own_lease_ns(self) -> int | None:
        """The time from which this node's lease counts (boot clock); None if its copy is stale."""
        until_ns = self._shared.lease_until_boot_ns()
        return until_ns - self._staleness_ns if self._node.verifier.fresh() else None


def rest_s(streams: int) -> float:
    """The seconds between two updates of a series, with that many streams."""
    rest = streams * _REST_SECONDS_A_STREAM
    return min(max(rest, SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS)


def error_for_waiting(error: Exception) -> GatepassError:
    """The error for streams that wait for failed work; an unexpected *error* is logged."""
    if isinstance(error, GatepassError):
        return error
    log_unhandled(error)
    return Unavailable("Gatepass can't answer this right now.")
