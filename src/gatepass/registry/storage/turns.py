"""Turns of a process's threads at writing, in the order in which they ask."""

import threading
from collections import deque


class Turns:
    """A fair lock whose holder can hand it to the next in line.

    ``threading.Lock`` isn't fair: a thread could wait behind all that come after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[_Waiting] = deque()

    def take(self, timeout_s: float, *, joins: bool) -> bool:
        """Wait for the turn; False if it takes longer than *timeout_s*.

        Args:
            joins: whether this thread can continue an open transaction of the holder before it.
        """
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            waiting = _Waiting(joins)
            self._waiting.append(waiting)
        if waiting.called.acquire(timeout=timeout_s):
            return True
        with self._lock:
            # It may have been called since the timeout.
            if waiting not in self._waiting:
                return True
            self._waiting.remove(waiting)
            return False

    def hand_over(self) -> bool:
        """Give the turn to the next in line if that one joins; whether it did."""
        with self._lock:
            if not self._waiting or not self._waiting[0].joins:
                return False
            self._waiting.popleft().called.release()
            return True

    def release(self) -> None:
        """Give the turn to the next in line, if there is one."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().called.release()
            else:
                self._taken = False


class _Waiting:
    """A thread in line.

    Attributes:
        joins: as for ``Turns.take``.
        called: released when it is this thread's turn.
    """

    def __init__(self, joins: bool) -> None:
        self.joins = joins
        self.called = threading.Lock()
        self.called.acquire()
