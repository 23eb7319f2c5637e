"""Calls made at the same time, for tests of what only one of them may do."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gatepass.core.errors import GatepassError


def concurrently(call: Callable[..., Any], *each: Iterable[Any]) -> list[Any]:
    """Call *call* in threads of its own that begin together, with arguments as for ``map``.

    Returns:
        What each call returned, or the reason of the GatepassError that it raised.
    """
    calls = list(zip(*each, strict=True))
    together = threading.Barrier(len(calls))

    def outcome(arguments: tuple[Any, ...]) -> Any:
        together.wait()
        try:
            return call(*arguments)
        except GatepassError as error:
            return error.reason

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))
