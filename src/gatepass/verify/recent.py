"""A bounded cache that forgets what wasn't used recently, a few entries at a time.

Emptying a full cache at once, or freeing half of it, keeps every other request waiting for
milliseconds. And an entry that is never used costs more than it could save: it is written to cold
memory, and displaces another. So a full cache accepts a key only at its second sight.
"""

import gc
from contextlib import suppress
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: Keys that a full cache knows to have seen, at most: a byte each, placed by their hash.
_SEEN = 1 << 16
#: The collector counts what is allocated less what is freed. While a cache frees as much as it
#: adds, new tuples would gather by the ten thousand, and then be visited in one go.
_COLLECTED_AT_ONCE = 64


class RecentCache(Generic[_Key, _Value]):
    """Keeps the last *size* entries used, and at most twice as many.

    Entries are in two generations. When the recent one is full it becomes the older one, and what
    was in that and not used since is freed two entries at a time, as new ones come. Safe with
    threads: a race loses entries at worst.

    Args:
        size: of a generation.

    Attributes:
        recent: the recent generation. Look here first, then ask ``revive``.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.recent: dict[_Key, _Value] = {}
        self._older: dict[_Key, _Value] = {}
        self._forgotten: dict[_Key, _Value] = {}
        self._seen = bytearray(_SEEN)
        self._uncollected = 0

    def revive(self, key: _Key) -> _Value | None:
        """The value of a *key* that isn't in ``recent``, or None."""
        found = self._older.pop(key, None)
        if found is not None:
            self.put(key, found)
        return found

    def accepts(self, key: _Key) -> bool:
        """Whether a *key* that has no entry is worth one: the cache isn't full, or has seen it.

        A question counts as a sight. Another key's is taken for it once in 256 times, at most.
        """
        if not self._older:
            return True
        number = hash(key)
        at, mark = number % _SEEN, number // _SEEN % 256
        if self._seen[at] == mark:
            return True
        self._seen[at] = mark
        return False

    def put(self, key: _Key, value: _Value) -> None:
        """Add or replace an entry."""
        if self._forgotten:
            with suppress(KeyError):
                self._forgotten.popitem()
                self._forgotten.popitem()
        if len(self.recent) >= self._size:
            self._forgotten, self._older, self.recent = self._older, self.recent, {}
        self.recent[key] = value
        self._uncollected += 1
        if self._uncollected >= _COLLECTED_AT_ONCE:
            self._uncollected = 0
            # An application that embeds this may have reasons to have none.
            if gc.isenabled():
                gc.collect(0)

    def __len__(self) -> int:
        return len(self.recent) + len(self._older)
