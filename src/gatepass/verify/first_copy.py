"""Waiting for the first copy of the grants, in the process's first seconds.

``Verifier.follow`` returns at once, so that importing an application never waits for a server.
The first checks wait instead, and only while there is something to wait for: until the copy is
there, until the server is found to be away, or for FIRST_COPY_SECONDS.
"""

import sys
import time
from contextlib import suppress
from typing import Protocol

from gatepass.core.errors import Unavailable
from gatepass.verify.grant_file import GrantFile

FIRST_COPY_SECONDS = 10.0
_POLL_SECONDS = 0.01


class Awaiting(Protocol):
    """A decider whose first copy may be yet to come.

    Attributes:
        first_copy_by: until when (``time.monotonic``) it is worth waiting for.
    """

    file: GrantFile
    first_copy_by: float

    def fresh(self) -> bool: ...


def decides(decider: Awaiting) -> bool:
    """Whether the copy counts, and is limited as it was asked to be."""
    if decider.fresh():
        with suppress(Unavailable):
            decider.file.record("grants", "")
            return True
    return False


def wait_for(decider: Awaiting) -> bool:
    """Wait for the first copy; whether it is worth asking again.

    Never on an event loop, which has to serve others meanwhile.
    """
    if not _loading(decider) or _on_a_loop():
        return False
    while not decides(decider):
        if not _loading(decider):
            return False
        time.sleep(_POLL_SECONDS)
    return True


async def arrives(decider: Awaiting) -> bool:
    """Wait for the first copy as :func:`wait_for` does, on asyncio's event loop."""
    if not _loading(decider) or not _on_a_loop():
        # Another kind of loop than asyncio's isn't waited on.
        return False
    from asyncio import sleep

    while not decides(decider):
        if not _loading(decider):
            return False
        await sleep(_POLL_SECONDS)
    return True


def _loading(decider: Awaiting) -> bool:
    return time.monotonic() < decider.first_copy_by


def _on_a_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
