"""Polling for the effect of another thread or process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    found: Callable[[], T], said: Callable[[], object] = lambda: "", *, seconds: float = 30
) -> T:
    """Call *found* until it returns a true value; that value.

    Args:
        said: the explanation of a failure.
        seconds: a guard against a hang; no promise of speed.
    """
    deadline = time.monotonic() + seconds
    while not (it := found()):
        assert time.monotonic() < deadline, said()
        time.sleep(0.01)
    return it
