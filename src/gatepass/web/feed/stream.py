"""A follower's stream: a snapshot or the missed changes, then changes and heartbeats."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from gatepass.core.errors import Unavailable
from gatepass.node.node import Node
from gatepass.registry.storage.revisions import ChangesCursor, Position
from gatepass.verify.replica import frames
from gatepass.verify.replica.frames import Opening, Reached
from gatepass.verify.replica.identity import identity
from gatepass.web.feed.heartbeat import Follower
from gatepass.web.feed.pages import Pages
from gatepass.web.feed.source import Source, Step
from gatepass.web.feed.subscribe_query import Subscription

# Streams end after 30 to 60 times the staleness, so that followers spread over the nodes again. A
# long stream would also shorten leases: a follower subtracts a thousandth of the stream's age from
# each, because clocks run at different speeds.
_LONGEST_STALENESSES = (30, 60)
_KEEPALIVE_SECONDS = 1.0
_KEEPALIVE = frames.encode(frames.pack(()))

_Read = TypeVar("_Read")


class Stream:
    """Generates the frames for one follower.

    Args:
        node: the node that serves the stream.
        source: the source of changes.
        subscription: the follower's request.
        follower: the follower's recorded lease.
        record_lease: records that the follower is about to get its first lease; may raise
            Unavailable.
        key_is_valid: whether the follower's verifier key is still valid; may raise Unavailable.
        version: of this Gatepass.
    """

    def __init__(
        self,
        node: Node,
        source: Source,
        subscription: Subscription,
        follower: Follower,
        record_lease: Callable[[], Awaitable[None]],
        key_is_valid: Callable[[], bool],
        version: str,
    ) -> None:
        self._node = node
        self._source = source
        self._limits = subscription.limits
        self._requested = subscription.position
        self._follower = follower
        self._record_lease = record_lease
        self._key_is_valid = key_is_valid
        self._version = version
        clock = node.clock
        self._began_ns = clock.boot_ns()
        self._began_ms = clock.now()
        self._offset_ns = clock.offset_ns
        staleness_ns = node.settings.max_staleness * 1_000_000_000
        self._silence_ns = staleness_ns
        self._longest_ns = int(random.uniform(*_LONGEST_STALENESSES) * staleness_ns)  # noqa: S311 - spreads load
        self._position: Position = (0, "")
        self._asked_ns = 0
        self._source_version = 0
        self._sent_ns = self._began_ns
        self._pages: Pages | None = None
        self._step: Step | None = None

    async def begin(self) -> None:
        """Choose between the requested position and a snapshot. Nothing is sent yet.

        Raises:
            Unavailable: this node's copy is stale, or has diverged from the registry's history.
        """
        if self._requested is not None:
            self._step = await self._source.since(self._requested)
        if self._step is None:
            self._pages = await self._source.run(self._open_pages)
            self._step = await self._source.since(self._pages.first, read=True)
        # The lease of a snapshot starts later, when all of it has been read.
        if self._step is None or (self._step.asked_ns is None and self._pages is None):
            raise Unavailable("this node's copy is stale", reason="stale")

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The frames in order, from :class:`Opening` to the end of the stream."""
        self._source_version = self._source.version
        yield self._opening()
        if self._pages is not None:
            async for page in self._read_pages():
                yield page
            await self._record_lease()
            # Always read the registry: a page may include a revision that no other part of this
            # node has seen yet.
            async for keepalive in self._read_since_start(self._pages.first):
                yield keepalive
        elif self._requested is not None:
            # Read again, so that the step includes what was revoked before the lease was recorded.
            await self._record_lease()
            self._source_version = self._source.version
            self._step = await self._next(self._requested, read=True)
        while (step := self._step) is not None:
            if step.unread is not None:
                async for frame in self._read_slices(step.unread):
                    yield frame
                continue
            async for frame in self._frames_of(step):
                yield frame
            await self._source.changed(self._source_version)
            if not self._may_continue():
                return
            self._source_version = self._source.version
            self._step = await self._next(self._position)

    async def _read_pages(self) -> AsyncGenerator[bytes, None]:
        while True:
            reading = asyncio.create_task(self._source.run_long(self._next_page))
            async for keepalive in self._until(reading):
                yield keepalive
            page = reading.result()
            if page is None:
                return
            yield page

    async def _read_slices(self, place: ChangesCursor) -> AsyncGenerator[bytes, None]:
        """Send the changes up to *place*'s position in slices, then set ``_step``."""
        self._step = None
        to, after = place.to, place
        while True:
            reading = asyncio.create_task(self._source.slice(after, self._limits))
            async for keepalive in self._until(reading):
                yield keepalive
            found = reading.result()
            if found is None or not self._has_valid_key():
                return
            yield found.frame
            if found.place is None:
                break
            after = found.place
        async for keepalive in self._read_since_start(to):
            yield keepalive

    async def _read_since_start(self, after: Position) -> AsyncGenerator[bytes, None]:
        """Set ``_step`` to the step from *after*, where reading page by page or in slices started;
        None if the stream must end.

        The step includes the changes made since. It also has a lease, which rules out that the
        registry lost its history in the meantime: this node's copy would be stale then.
        """
        self._sent_ns = self._node.clock.boot_ns()
        while True:
            self._source_version = self._source.version
            self._step = await self._next(after, read=True)
            if self._step is None or self._step.asked_ns is not None:
                return
            self._step = None
            await self._source.changed(self._source_version)
            if not self._may_continue():
                return
            yield _KEEPALIVE

    async def _until(self, reading: "asyncio.Task[_Read]") -> AsyncGenerator[bytes, None]:
        """Send keepalives until *reading* is done, which may have to wait for other streams.

        A follower that receives nothing assumes that the connection is dead.
        """
        try:
            while not (await asyncio.wait({reading}, timeout=_KEEPALIVE_SECONDS))[0]:
                yield _KEEPALIVE
        finally:
            reading.cancel()

    def close(self) -> None:
        """Close the snapshot's file."""
        if self._pages is not None:
            self._pages.close()

    def _opening(self) -> bytes:
        return frames.encode(
            Opening(
                protocol=frames.PROTOCOL,
                boot_ns=self._began_ns,
                staleness_ms=self._node.settings.max_staleness * 1000,
                full=self._pages is not None,
                node=identity(self._node.file.path),
                version=self._version,
                wall_ms=self._began_ms,
                public_url=self._node.settings.public_url,
            )
        )

    async def _next(self, after: Position, *, read: bool = False) -> Step | None:
        try:
            return await self._source.since(after, read=read)
        except Unavailable:
            return Step(after, [], None)

    async def _frames_of(self, step: Step) -> AsyncGenerator[bytes, None]:
        asked_ns = self._asked_ns
        if step.asked_ns is not None and self._follower.may_hold_lease(self._ms(step.asked_ns)):
            asked_ns = max(asked_ns, step.asked_ns)
        if step.to != self._position:
            for frame in await self._source.frames(step, self._limits):
                yield frame
        elif asked_ns == self._asked_ns:
            return
        # An earlier asked_ns stays valid: this position follows from one that was the primary's
        # after that time.
        self._position, self._asked_ns = step.to, asked_ns
        self._sent_ns = self._node.clock.boot_ns()
        yield frames.encode(Reached(*step.to, asked_ns))

    def _may_continue(self) -> bool:
        now_ns = self._node.clock.boot_ns()
        if (
            self._node.leaving
            or now_ns - self._began_ns > self._longest_ns
            # The follower may reach a fresh node, or get an error that says why it can't.
            or now_ns - self._sent_ns > self._silence_ns
            # The clock was set, so the time in the opening frame is wrong now.
            or self._node.clock.offset_ns != self._offset_ns
        ):
            return False
        return self._has_valid_key()

    def _has_valid_key(self) -> bool:
        try:
            return self._key_is_valid()
        except Unavailable:
            return False

    def _ms(self, boot_ns: int) -> int:
        return (boot_ns + self._offset_ns) // 1_000_000

    # --- on threads -------------------------------------------------------------------------------

    def _open_pages(self) -> Pages:
        return Pages(self._node.file.path, copy=self._node.verifier.copy)

    def _next_page(self) -> bytes | None:
        assert self._pages is not None
        page = self._pages.next()
        if page is None:
            return None
        return frames.encode(frames.pack(self._limits.only(page, self._node.clock.now())))
