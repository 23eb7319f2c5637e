"""Verifiers that follow a feed."""

import threading
from collections.abc import Callable

from gatepass import Verifier
from gatepass.verify.clock import Clock
from tests.support.grants.grant_fixtures import reason
from tests.support.waiting import until

Follow = Callable[..., Verifier]


def allowed_while_fresh(verifier: Verifier, text: str) -> None:
    """Require that *text* is allowed until the lease ends, and wait for that."""
    clock = Clock()

    def ended() -> bool:
        decided = reason(verifier, text)
        fresh = verifier.file.shared.is_fresh(clock.boot_ns(), clock.wall_ms())
        assert decided == "allowed" or not fresh
        return not fresh

    until(ended, lambda: "the lease goes on")


def at_work(before: set[threading.Thread]) -> list[threading.Thread]:
    """Gatepass's threads that were started since *before*."""
    now = set(threading.enumerate()) - before
    return [thread for thread in now if thread.name.startswith("gatepass_")]
