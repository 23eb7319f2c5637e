"""What has to be seen to when a process forks, as servers do that load first and fork later.

Nothing of SQLite may cross a fork, open or at work. Its locks belong to a process, but the
book-keeping about them is memory, which a fork inherits: the child's own connections would rely on
locks that nobody holds. Should its parent end, others would take the write-ahead log away from
under it, and it would read old rows for ever.

Some forks are made without a word to Python. uWSGI's are known beforehand: until it has forked,
nothing begins, and nothing is read. Any other such child is recognised when it first reads, and
never reads.
"""

import logging
import os
import threading
import weakref
from typing import Protocol

from gatepass.core.errors import Unavailable
from gatepass.verify import uwsgi


class Forking(Protocol):
    """Someone who has such things."""

    def before_fork(self) -> None:
        """Let go of them, and begin nothing new."""

    def after_fork(self) -> None:
        """Go on: called in the parent, and in the child too."""

    def forked(self) -> None:
        """Begin anew, where that is needed: called in the child alone."""


#: The process that has been seen to: readers compare it with their own. 0 in one that is to fork
#: before anything begins.
home = 0

_known: "weakref.WeakSet[Forking]" = weakref.WeakSet()
_standing_still: list[Forking] = []
_one_fork_at_a_time = threading.Lock()
_beginning = threading.Lock()
_told = False

_log = logging.getLogger("gatepass.forks")


def see_to(forking: Forking) -> None:
    """Have *forking* told of every fork for as long as it lives."""
    _known.add(forking)


def begun() -> bool:
    """Whether what runs in the background may begin in this process. If not, ``forked`` begins it
    once it may."""
    return home == os.getpid()


def arrive() -> None:
    """See to a process that *home* doesn't name, before anything is read in it.

    Raises:
        Unavailable: nothing can be read here: uWSGI has yet to fork, or has a process forked that
            had read before.
    """
    global home, _told
    if home == 0 and not uwsgi.is_to_fork():
        with _beginning:
            if home == 0:
                home = os.getpid()
                for each in list(_known):
                    each.forked()
        return
    if begun():
        return
    if home == 0:
        raise Unavailable("nothing is decided before uWSGI has forked its workers")
    if not _told:
        _told = True
        _log.error(
            "process %d was forked without Python's knowledge and decides nothing; load the "
            "application after the fork (uWSGI: lazy-apps = true)",
            os.getpid(),
        )
    raise Unavailable("the process was forked without Python's knowledge")


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
    global home
    if not _one_fork_at_a_time.locked():
        # uWSGI's py-call-osafterfork: nobody was told before. Whoever reads first finds out.
        return
    children = list(_standing_still)
    _after()
    home = os.getpid()
    for each in children:
        each.forked()


def _after_fork_of_uwsgi() -> None:
    if not begun() and home == 0:
        arrive()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
if uwsgi.is_to_fork():
    uwsgi.call_after_fork(_after_fork_of_uwsgi)
else:
    home = os.getpid()
