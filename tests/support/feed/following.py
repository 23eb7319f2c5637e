"""Verifiers that follow a feed."""

import threading
from collections.abc import Callable

from gatepass import Verifier

Follow = Callable[..., Verifier]


def at_work(before: set[threading.Thread]) -> list[threading.Thread]:
    """Gatepass's threads that were started since *before*."""
    now = set(threading.enumerate()) - before
    return [thread for thread in now if thread.name.startswith("gatepass_")]
