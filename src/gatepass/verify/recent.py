"""A bounded cache that forgets what wasn't used recently, a few entries at a time.

Emptying a full cache at once, or freeing half of it, keeps every other request waiting for
milliseconds.
"""

from contextlib import suppress
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class RecentCache(Generic[_Key, _Value]):
    """Keeps the last *size* entries used, and at most twice as many.

    Entries are in two generations. When the recent one is full it becomes the older one, and what
    was in that and not used since is freed two entries at a time, as new ones come. Safe with
    threads: a race loses entries at worst.

    Args:
        size: of a generation.

    Attributes:
        recent: the recent generation. A reader for which every call counts may look here first.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.recent: dict[_Key, _Value] = {}
        self._older: dict[_Key, _Value] = {}
        self._forgotten: dict[_Key, _Value] = {}

    def get(self, key: _Key) -> _Value | None:
        """The value of *key*, or None."""
        found = self.recent.get(key)
        if found is None:
            found = self._older.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: _Key, value: _Value) -> None:
        """Add or replace an entry."""
        if self._forgotten:
            with suppress(KeyError):
                self._forgotten.popitem()
                self._forgotten.popitem()
        if len(self.recent) >= self._size:
            self._forgotten, self._older, self.recent = self._older, self.recent, {}
        self.recent[key] = value

    def __len__(self) -> int:
        return len(self.recent) + len(self._older)
