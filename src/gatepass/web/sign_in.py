"""Signing in, off the event loop and on threads of its own.

Hashing a password takes a fraction of a second of a whole core. On the threads that everything else
runs on, a flood of sign-ins would leave none for anyone who is signed in already.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock

from fastapi import Request

from gatepass.core.errors import Forbidden, Unavailable
from gatepass.core.networks import format_address
from gatepass.registry.authentications import Authentication
from gatepass.registry.sign_in import sign_in as sign_in_to
from gatepass.web.deps import address_of, node_of
from gatepass.web.problems import SENTENCES

# One more than hash at once, so that the database's share of the work doesn't keep hashing waiting.
_THREADS = 3
_MOST_WAITING = 100

_pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="gatepass_sign_in")
_lock = Lock()
_waiting = 0


async def sign_in(
    request: Request, email: str, password: str, code: str | None = None
) -> tuple[Authentication, str]:
    """Sign in whoever sent *request*; API and pages alike.

    Returns:
        The authentication, and the login token's text.

    Raises:
        SignInFailed, TooManyAttempts: as ``registry.sign_in`` says.
        Forbidden: ``address_not_allowed``; where the request comes from can't be told.
        Unavailable: too many are signing in already.
    """
    address = address_of(request)
    if address is None:
        raise Forbidden(SENTENCES["address_not_allowed"], reason="address_not_allowed")
    node = node_of(request)
    attempt = partial(
        sign_in_to,
        node.database,
        email=email,
        password=password,
        code=code,
        address=format_address(address),
        user_agent=request.headers.get("user-agent"),
        now=node.clock.now,
        lifetime_ms=node.settings.login_lifetime * 1000,
    )
    _enter()
    try:
        return await asyncio.get_running_loop().run_in_executor(_pool, attempt)
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
