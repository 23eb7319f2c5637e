"""Signing in, as API and pages share it."""

from functools import partial

from fastapi import Request

from gatepass.core.errors import Forbidden
from gatepass.core.networks import format_address
from gatepass.registry.sign_in import SignedIn
from gatepass.registry.sign_in import sign_in as sign_in_to
from gatepass.verify.refusals import FORWARDING_UNREADABLE
from gatepass.web.deps import address_of, node_of
from gatepass.web.hashing import hashing


async def sign_in(request: Request, email: str, password: str, code: str | None = None) -> SignedIn:
    """Sign in whoever sent *request*; API and pages alike.

    Raises:
        SignInFailed, TooManyAttempts: as ``registry.sign_in`` says.
        Forbidden: ``address_not_allowed``; where the request comes from can't be told.
        Unavailable: too many are signing in already.
    """
    address = address_of(request)
    if address is None:
        raise Forbidden(FORWARDING_UNREADABLE, reason="address_not_allowed")
    node = node_of(request)
    return await hashing(
        partial(
            sign_in_to,
            node.database,
            node.sealing,
            email=email,
            password=password,
            code=code,
            address=format_address(address),
            user_agent=request.headers.get("user-agent"),
            now=node.clock.now,
            lifetime_ms=node.settings.login_lifetime * 1000,
        )
    )
