"""Wait for the first copy of the grants, in a process's first seconds.

``Verifier.follow`` returns at once, so that importing an application never waits for a server. The
first checks wait instead: until the copy is complete, until the server is found to be unreachable,
or for FIRST_COPY_SECONDS.
"""

import sys
import time
from contextlib import suppress
from typing import Protocol

from gatepass.core.errors import Unavailable
from gatepass.verify.grant_file import GrantFile

FIRST_COPY_SECONDS = 10.0
_POLL_SECONDS = 0.01


class CopyReader(Protocol):
    """A decider whose first copy may still be loading.

    Attributes:
        first_copy_by: until when (``time.monotonic``) checks wait for it.
    """

    file: GrantFile
    first_copy_by: float

    def fresh(self) -> bool: ...


def has_copy(decider: CopyReader) -> bool:
    """Whether the copy is fresh, and limited as the decider asked."""
    if decider.fresh():
        with suppress(Unavailable):
            decider.file.record("grants", "")
            return True
    return False


def wait_for_copy(decider: CopyReader) -> bool:
    """Wait for the first copy; whether a retry is worthwhile.

    Never waits on an event loop, which must serve other requests meanwhile.
    """
    if not _loading(decider) or _on_a_loop():
        return False
    while not has_copy(decider):
        if not _loading(decider):
            return False
        time.sleep(_POLL_SECONDS)
    return True


async def wait_for_copy_async(decider: CopyReader) -> bool:
    """Wait for the first copy as :func:`wait_for_copy` does, on asyncio's event loop."""
    if not _loading(decider) or not _on_a_loop():
        # Event loops other than asyncio's are not supported: don't wait.
        return False
    from asyncio import sleep

    while not has_copy(decider):
        if not _loading(decider):
            return False
        await sleep(_POLL_SECONDS)
    return True


def _loading(decider: CopyReader) -> bool:
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
