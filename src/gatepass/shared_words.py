"""Memory that the processes of a node share: a shard of 64-bit words for each process.

A process writes to its own shard alone, so no two processes race for a word. The sum of a word over
all shards is a counter of the node. A process that replaces a dead one takes over its shard, words
and all, so a sum of counters never falls while the node runs.
"""

import mmap
import os
import tempfile
from typing import Final, Self

_WORDS: Final = 32_768
_SHARD_BYTES: Final = 8 * _WORDS


class Area:
    """The same few words of every shard.

    Attributes:
        own: those of this process's shard.
    """

    __slots__ = ("_all", "own")

    def __init__(self, own: memoryview, every: list[memoryview]) -> None:
        self.own = own
        self._all = every

    def sums(self, words: int) -> list[int]:
        """Each of the first *words*, added up over the shards."""
        every = (shard[:words].tolist() for shard in self._all)
        # Most areas are used by processes of one kind: the others' needn't be added up.
        used = [each for each in every if any(each)]
        return [sum(word) for word in zip(*used, strict=True)] if used else [0] * words

    def values(self, at: int) -> list[int]:
        """One of the words, of each shard."""
        return [shard[at] for shard in self._all]


class SharedWords:
    """The shards of a node, from the point of view of one of its processes.

    Memory is used for the pages that were written or read, not for all of a shard.

    Args:
        descriptor: of the memory (``create``); None for a shard that isn't shared.
        shard: the number of this process's own.
    """

    def __init__(self, descriptor: int | None = None, shard: int = 0) -> None:
        size = _SHARD_BYTES if descriptor is None else os.fstat(descriptor).st_size
        memory = mmap.mmap(-1 if descriptor is None else descriptor, size)
        words = memoryview(memory).cast("Q")
        self._shards = [words[start : start + _WORDS] for start in range(0, len(words), _WORDS)]
        self._own = self._shards[shard]
        self._taken = 0

    @classmethod
    def create(cls, shards: int) -> tuple[Self, int]:
        """New memory, all zero, seen from shard 0; and its descriptor, for other processes."""
        # Not a file of the data directory: a write to a page that is being written to disk waits.
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("gatepass-counters")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, shards * _SHARD_BYTES)
        return cls(descriptor), descriptor

    def take(self, words: int) -> Area:
        """The next *words* of the shards. All processes take the same areas in the same order."""
        start, self._taken = self._taken, self._taken + words
        if self._taken > _WORDS:
            raise ValueError("a shard has fewer words")
        end = self._taken
        return Area(self._own[start:end], [shard[start:end] for shard in self._shards])
