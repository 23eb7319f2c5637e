"""What has to be seen to when a process forks, as servers do that load first and fork later.

Nothing of SQLite may cross a fork, open or at work. Its locks belong to a process, but the
book-keeping about them is memory, which a fork inherits: the child's own connections would rely on
locks that nobody holds. Should its parent end, others would take the write-ahead log away from
under it, and it would read old rows for ever.
"""

import os
import threading
import weakref
from typing import Protocol


class Forking(Protocol):
    """Someone who has such things."""

    def before_fork(self) -> None:
        """Let go of them, and begin nothing new."""

    def after_fork(self) -> None:
        """Go on: called in the parent, and in the child too."""

    def forked(self) -> None:
        """Begin anew, where that is needed: called in the child alone."""


_known: "weakref.WeakSet[Forking]" = weakref.WeakSet()
_standing_still: list[Forking] = []
_one_fork_at_a_time = threading.Lock()


def see_to(forking: Forking) -> None:
    """Have *forking* told of every fork for as long as it lives."""
    _known.add(forking)


def _before() -> None:
    _one_fork_at_a_time.acquire()
    _standing_still.extend(_known)
    for each in _standing_still:
        each.before_fork()


def _after() -> None:
    for each in _standing_still:
        each.after_fork()
    _standing_still.clear()
    _one_fork_at_a_time.release()


def _in_child() -> None:
    children = list(_standing_still)
    _after()
    for each in children:
        each.forked()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
