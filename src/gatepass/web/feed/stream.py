"""One follower's stream: a snapshot or what it missed, then changes and heartbeats to its end."""

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
from gatepass.web.feed.heartbeat import Present
from gatepass.web.feed.pages import Pages
from gatepass.web.feed.source import Source, Step
from gatepass.web.feed.subscribe_query import Question

# Followers spread over the nodes again now and then. Long streams also lose time: a thousandth of
# a stream's age is taken off every stamp, for clocks that run at different speeds.
_LONGEST_STALENESSES = (30, 60)
_SIGN_SECONDS = 1.0
_SIGN_OF_LIFE = frames.encode(frames.pack(()))

_Read = TypeVar("_Read")


class Stream:
    """What one follower is sent.

    Args:
        node: which serves it.
        source: what changes come from.
        question: what the follower asked for.
        present: what the registry knows of it.
        is_given: lets the registry know that it is about to be vouched for; may raise Unavailable.
        still_good: whether its key is; may raise Unavailable.
        version: of this Gatepass.
    """

    def __init__(
        self,
        node: Node,
        source: Source,
        question: Question,
        present: Present,
        is_given: Callable[[], Awaitable[None]],
        still_good: Callable[[], bool],
        version: str,
    ) -> None:
        self._node = node
        self._source = source
        self._limits = question.limits
        self._asked_for = question.position
        self._present = present
        self._is_given = is_given
        self._still_good = still_good
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
        self._moves = 0
        self._sent_ns = self._began_ns
        self._pages: Pages | None = None
        self._step: Step | None = None

    async def begin(self) -> None:
        """Find out where to begin. Nothing is sent yet.

        Raises:
            Unavailable: this node isn't vouched for, or doesn't share the registry's history now.
        """
        if self._asked_for is not None:
            self._step = await self._source.since(self._asked_for)
        if self._step is None:
            self._pages = await self._source.run(self._open_pages)
            self._step = await self._source.since(self._pages.first, read=True)
        # A snapshot is vouched for in the end, when all of it has been read.
        if self._step is None or (self._step.asked_ns is None and self._pages is None):
            raise Unavailable("this node is not vouched for", reason="stale")

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The frames in their order, from :class:`Opening` on. It ends when the stream does."""
        self._moves = self._source.moves
        yield self._opening()
        if self._pages is not None:
            async for page in self._read_pages():
                yield page
            await self._is_given()
            # The registry is read in any case, for a page may have been of a revision that nobody
            # else on this node knows of yet.
            async for sign in self._read_exactly(self._pages.first):
                yield sign
        elif self._asked_for is not None:
            # Read again: what was ended before the registry knew of this follower is in it.
            await self._is_given()
            self._moves = self._source.moves
            self._step = await self._next(self._asked_for, read=True)
        while (step := self._step) is not None:
            if step.unread is not None:
                async for frame in self._read_slices(step.unread):
                    yield frame
                continue
            async for frame in self._told(step):
                yield frame
            await self._source.moved(self._moves)
            if not self._goes_on():
                return
            self._moves = self._source.moves
            self._step = await self._next(self._position)

    async def _read_pages(self) -> AsyncGenerator[bytes, None]:
        while True:
            reading = asyncio.create_task(self._source.in_turn(self._next_page))
            async for sign in self._until(reading):
                yield sign
            page = reading.result()
            if page is None:
                return
            yield page

    async def _read_slices(self, place: ChangesCursor) -> AsyncGenerator[bytes, None]:
        """Send what changed up to a position; ``_step`` is then what leads on from there."""
        self._step = None
        to, after = place.to, place
        while True:
            reading = asyncio.create_task(self._source.slice(after, self._limits))
            async for sign in self._until(reading):
                yield sign
            found = reading.result()
            if found is None or not self._is_good():
                return
            yield found.frame
            if found.place is None:
                break
            after = found.place
        async for sign in self._read_exactly(to):
            yield sign

    async def _read_exactly(self, after: Position) -> AsyncGenerator[bytes, None]:
        """Make ``_step`` what leads on from *after*, up to where things were read one by one; None
        if the stream is to end.

        What changed meanwhile is in it. And nobody is vouched for by a registry that lost its
        history on the way: by now its node wouldn't be.
        """
        self._sent_ns = self._node.clock.boot_ns()
        while True:
            self._moves = self._source.moves
            self._step = await self._next(after, read=True)
            if self._step is None or self._step.asked_ns is not None:
                return
            self._step = None
            await self._source.moved(self._moves)
            if not self._goes_on():
                return
            yield _SIGN_OF_LIFE

    async def _until(self, reading: "asyncio.Task[_Read]") -> AsyncGenerator[bytes, None]:
        """Signs of life until something is read, which many may be waiting for: a follower that
        hears nothing takes us for dead."""
        try:
            while not (await asyncio.wait({reading}, timeout=_SIGN_SECONDS))[0]:
                yield _SIGN_OF_LIFE
        finally:
            reading.cancel()

    def close(self) -> None:
        """Let go of the file."""
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
            )
        )

    async def _next(self, after: Position, *, read: bool = False) -> Step | None:
        try:
            return await self._source.since(after, read=read)
        except Unavailable:
            return Step(after, [], None)

    async def _told(self, step: Step) -> AsyncGenerator[bytes, None]:
        asked_ns = self._asked_ns
        if step.asked_ns is not None and self._present.may_be_vouched(self._ms(step.asked_ns)):
            asked_ns = max(asked_ns, step.asked_ns)
        if step.to != self._position:
            for frame in await self._source.frames(step, self._limits):
                yield frame
        elif asked_ns == self._asked_ns:
            return
        # Once an earlier position was the primary's, so is this one that follows from it: the
        # moment that was told before stays true.
        self._position, self._asked_ns = step.to, asked_ns
        self._sent_ns = self._node.clock.boot_ns()
        yield frames.encode(Reached(*step.to, asked_ns))

    def _goes_on(self) -> bool:
        now_ns = self._node.clock.boot_ns()
        if (
            self._node.leaving
            or now_ns - self._began_ns > self._longest_ns
            # Another node may be better off; and whoever asks again is told why there is nothing.
            or now_ns - self._sent_ns > self._silence_ns
            # What was said of the time at the beginning is no longer so.
            or self._node.clock.offset_ns != self._offset_ns
        ):
            return False
        return self._is_good()

    def _is_good(self) -> bool:
        try:
            return self._still_good()
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
        return None if page is None else frames.encode(frames.pack(self._limits.only(page)))
