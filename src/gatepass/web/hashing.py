"""Work that hashes passwords, off the event loop and on threads of its own.

Hashing a password takes a fraction of a second of a whole core. On the threads that everything else
runs on, a flood of sign-ins would leave none for anyone who is signed in already.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from gatepass.core.errors import Unavailable

T = TypeVar("T")

# One more than hash at once, so that the database's share of the work doesn't keep hashing waiting.
_THREADS = 3
# Each takes up to half a second where there are few processors; nobody waits for a minute.
_MOST_WAITING = 50

_pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="gatepass_hashing")
_lock = Lock()
_waiting = 0


async def hashing(work: Callable[[], T]) -> T:
    """Do *work*, which hashes or checks a password, when it is its turn.

    Raises:
        Unavailable: too many are waiting already.
    """
    _enter()
    try:
        return await asyncio.get_running_loop().run_in_executor(_pool, work)
    finally:
        _leave()


def _enter() -> None:
    global _waiting
    with _lock:
        if _waiting >= _MOST_WAITING:
            raise Unavailable("Too many people are signing in at once. Try again in a moment.")
        _waiting += 1


def _leave() -> None:
    global _waiting
    with _lock:
        _waiting -= 1
