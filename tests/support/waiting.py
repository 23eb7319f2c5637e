"""Waits for what another thread or process brings about."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    found: Callable[[], T], said: Callable[[], object] = lambda: "", *, seconds: float = 30
) -> T:
    """Call *found* again and again until it returns something true; that.

    Args:
        said: what explains a failure.
        seconds: guards against a hang, and claims nothing about speed.
    """
    deadline = time.monotonic() + seconds
    while not (it := found()):
        assert time.monotonic() < deadline, said()
        time.sleep(0.01)
    return it
