"""Fork safety, for servers that load an application first and fork later.

No SQLite connection may cross a fork, idle or busy. SQLite's file locks belong to a process, but
its bookkeeping of them is memory, which a fork inherits: the child's own connections would rely on
locks that the child doesn't hold. If the parent then ends, other processes remove the write-ahead
log that the child reads, and the child reads old rows for ever.

Some programs fork without calling Python's hooks. uWSGI's forks are known beforehand: until uWSGI
has forked, nothing starts and nothing is read. Any other such child is recognised when it first
reads, and is refused.
"""

import logging
import os
import threading
import weakref
from typing import Protocol

from gatepass.core.errors import Unavailable
from gatepass.verify import uwsgi


class ForkAware(Protocol):
    """An object with connections or threads that must not cross a fork."""

    def before_fork(self) -> None:
        """Close what must not be inherited, and open nothing until ``after_fork``."""

    def after_fork(self) -> None:
        """Continue. Called in the parent and in the child."""

    def after_fork_in_child(self) -> None:
        """Start again where needed. Called in a child only."""


#: The process that may read: readers compare it with their own id. 0 in a process that uWSGI has
#: yet to fork, where nothing starts.
owner_pid = 0

_registered: "weakref.WeakSet[ForkAware]" = weakref.WeakSet()
_paused: list[ForkAware] = []
_fork_lock = threading.Lock()
_start_lock = threading.Lock()
_logged = False

_log = logging.getLogger("gatepass.forks")


def register(each: ForkAware) -> None:
    """Call *each* around every fork for as long as it lives."""
    _registered.add(each)


def may_start() -> bool:
    """Whether background work may start in this process.

    If not, ``after_fork_in_child`` starts it once it may.
    """
    return owner_pid == os.getpid()


def require_owner() -> None:
    """Prepare a process that *owner_pid* doesn't name, before its first read.

    Raises:
        Unavailable: this process must not read: uWSGI has yet to fork, or the process was forked
            without Python's hooks from one that had read.
    """
    global owner_pid, _logged
    if owner_pid == 0 and not uwsgi.will_fork():
        with _start_lock:
            if owner_pid == 0:
                owner_pid = os.getpid()
                for each in list(_registered):
                    each.after_fork_in_child()
        return
    if may_start():
        return
    if owner_pid == 0:
        raise Unavailable("nothing is decided before uWSGI has forked its workers")
    if not _logged:
        _logged = True
        _log.error(
            "process %d was forked without Python's knowledge and decides nothing; load the "
            "application after the fork (uWSGI: lazy-apps = true)",
            os.getpid(),
        )
    raise Unavailable("the process was forked without Python's knowledge")


def _before() -> None:
    _fork_lock.acquire()
    _paused.extend(_registered)
    for each in _paused:
        each.before_fork()


def _after() -> None:
    for each in _paused:
        each.after_fork()
    _paused.clear()
    _fork_lock.release()


def _in_child() -> None:
    global owner_pid
    if not _fork_lock.locked():
        # uWSGI's py-call-osafterfork calls this hook alone, without _before. The first read in the
        # child prepares it.
        return
    children = list(_paused)
    _after()
    owner_pid = os.getpid()
    for each in children:
        each.after_fork_in_child()


def _after_fork_of_uwsgi() -> None:
    if not may_start() and owner_pid == 0:
        require_owner()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
if uwsgi.will_fork():
    uwsgi.call_after_fork(_after_fork_of_uwsgi)
else:
    owner_pid = os.getpid()
