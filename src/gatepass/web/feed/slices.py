"""Many changes up to a position, read in slices, for followers that lag far behind.

Each slice is a short read transaction of its own, like a snapshot's pages; changes made between two
slices follow afterwards. Slices are cut from the end, so that followers that started at different
positions soon read the same slices; the last few are cached for them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from gatepass.node.node import Node
from gatepass.registry.storage import revisions
from gatepass.registry.storage.revisions import ChangesCursor
from gatepass.verify.replica import frames
from gatepass.web.feed.chunking import chunks
from gatepass.web.feed.limits import Limits

_MOST_ROWS = 2_000
_MOST_KEPT = 8


class Slice(NamedTuple):
    """Consecutive changes.

    Attributes:
        frame: their encoded frame.
        place: where the next slice starts; None after the last.
    """

    frame: bytes
    place: ChangesCursor | None


class Slices:
    """Reads slices for all streams of a process. Use it only from the event loop.

    Args:
        node: the node whose registry is read.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._made: dict[tuple[ChangesCursor, Limits], asyncio.Task[Slice | None]] = {}

    async def get(
        self,
        place: ChangesCursor,
        limits: Limits,
        run: Callable[..., Awaitable[Slice | None]],
    ) -> Slice | None:
        """The slice after *place*; None if the changes there were garbage-collected.

        Args:
            run: runs blocking work on a thread.
        """
        key = (place, limits)
        making = self._made.get(key)
        if making is None:

            async def make() -> Slice | None:
                return await run(self._read, place, limits)

            making = self._made[key] = asyncio.get_running_loop().create_task(make())
            if len(self._made) > _MOST_KEPT:
                del self._made[next(iter(self._made))]
        try:
            return await asyncio.shield(making)
        except BaseException:
            # Not cached, so that the next stream tries again.
            self._made.pop(key, None)
            raise

    def _read(self, place: ChangesCursor, limits: Limits) -> Slice | None:
        with self._node.database.read(self._node.clock.now()) as reading:
            if not revisions.is_available(reading, place):
                return None
            left = revisions.remaining(reading, place)
            most = left % _MOST_ROWS or _MOST_ROWS
            found = next(chunks(revisions.changes_after(reading, place, most)), [])
        frame = frames.encode(frames.pack(limits.of(found, self._node.clock.now())))
        if len(found) == left:
            return Slice(frame, None)
        table, key, _, revision = found[-1]
        return Slice(frame, ChangesCursor(place.to, revision, table, key))
