"""Signing in, as API and pages share it."""

from functools import partial

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from gatepass.core.errors import Forbidden
from gatepass.core.networks import format_address
from gatepass.node.node import Node
from gatepass.registry.authentication import throttling
from gatepass.registry.authentication.sign_in import SignedIn
from gatepass.registry.authentication.sign_in import sign_in as sign_in_to
from gatepass.verify.http.refusals import FORWARDING_UNREADABLE
from gatepass.web.caller import address_of, node_of
from gatepass.web.hashing_pool import Place, hashing


async def sign_in(request: Request, email: str, password: str, code: str | None = None) -> SignedIn:
    """Sign in whoever sent *request*; API and pages alike.

    Raises:
        SignInFailed, TooManyAttempts: as ``registry.authentication.sign_in`` says.
        Forbidden: ``address_not_allowed``; where the request comes from can't be told.
        Unavailable: too many are signing in already.
    """
    address = address_of(request)
    if address is None:
        raise Forbidden(FORWARDING_UNREADABLE, reason="address_not_allowed")
    node, source = node_of(request), format_address(address)
    # Looked at before it waits among others, and again when its turn has come.
    attempt = await run_in_threadpool(_begin, node, email, source)
    return await hashing(
        Place.of_attempt(attempt),
        partial(
            sign_in_to,
            node.database,
            node.encryption_key,
            email=email,
            password=password,
            code=code,
            address=source,
            user_agent=request.headers.get("user-agent"),
            now=node.clock.now,
            lifetime_ms=node.settings.login_lifetime * 1000,
        ),
    )


def _begin(node: Node, email: str, address: str) -> throttling.Attempt:
    with node.database.read(node.clock.now()) as reading:
        return throttling.begin(reading, email, address)
