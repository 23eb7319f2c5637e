"""Polling for the effect of another thread or process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: A guard against a hang, for all waits: only a failure reaches it. No promise of speed.
LIMIT_S = 60.0


def until(
    found: Callable[[], T], said: Callable[[], object] = lambda: "", *, seconds: float = LIMIT_S
) -> T:
    """Call *found* until it returns a true value; that value.

    Args:
        said: the explanation of a failure.
        seconds: the limit.
    """
    deadline = time.monotonic() + seconds
    while not (it := found()):
        assert time.monotonic() < deadline, said()
        time.sleep(0.01)
    return it
