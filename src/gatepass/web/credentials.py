"""Requests with a password, for API and pages alike: sign-in, accepting invitations, resets.

Each is checked before it waits for password hashing, so that only plausible ones take a place in
the queue, and again when its turn comes.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from gatepass.core.errors import Busy, Conflict, Forbidden, SignInFailed, TooManyAttempts
from gatepass.core.networks import format_address
from gatepass.node.node import Node
from gatepass.registry.authentication import throttling
from gatepass.registry.authentication.sign_in import SignedIn
from gatepass.registry.authentication.sign_in import sign_in as sign_in_to
from gatepass.registry.membership import invitation_links, password_resets
from gatepass.registry.membership.invitation_links import Accepted, Offer
from gatepass.registry.membership.password_resets import Account
from gatepass.registry.storage.database import Reading
from gatepass.settings import Settings
from gatepass.verify.http.refusals import FORWARDING_UNREADABLE
from gatepass.web.caller import address_of, node_of
from gatepass.web.hashing_pool import Place, hashing

T = TypeVar("T")

_FAILURES = {SignInFailed: "credentials", TooManyAttempts: "throttled", Busy: "busy"}


async def sign_in(request: Request, email: str, password: str, code: str | None = None) -> SignedIn:
    """Sign the sender of *request* in.

    Raises:
        SignInFailed, TooManyAttempts: as ``registry.authentication.sign_in`` says.
        Forbidden: ``address_not_allowed``; the client address can't be determined.
        Busy: too many are signing in already.
    """
    node, address = node_of(request), address_text_of(request)
    work = partial(
        sign_in_to,
        node.database,
        node.encryption_key,
        email=email,
        password=password,
        code=code,
        address=address,
        user_agent=request.headers.get("user-agent"),
        now=node.clock.now,
        lifetime_ms=node.settings.login_lifetime * 1000,
        operators_only=node.settings.oidc_required,
    )
    try:
        attempt = await _read(node, throttling.begin, email, address)
        return await hashing(Place.of_attempt(attempt), work)
    except (SignInFailed, TooManyAttempts, Busy) as error:
        node.counters.sign_in_failures.add(_FAILURES[type(error)])
        raise


async def accept_invitation(
    request: Request, token: str, name: str, password: str, *, sign_in: bool = False
) -> Accepted:
    """Create the user of an invitation, and with *sign_in* sign them in.

    Raises:
        BrokenLink, InvalidInput, Forbidden: as ``invitation_links.accept`` says.
        Conflict: as ``look_invitation`` says.
        Busy: too many are waiting already.
    """
    settings = node_of(request).settings
    look = partial(look_invitation, settings)
    accept = partial(
        invitation_links.accept,
        name=name,
        password=password,
        login_ms=settings.login_lifetime * 1000 if sign_in else None,
        user_agent=request.headers.get("user-agent"),
    )
    return await _follow(request, token, look, accept)


def look_invitation(settings: Settings, reading: Reading, token: str, address: str | None) -> Offer:
    """What an invitation's link offers.

    Raises:
        BrokenLink, Forbidden: as ``invitation_links.look`` says.
        Conflict: ``oidc_required``: passwords aren't accepted.
    """
    offer = invitation_links.look(reading, token, address)
    if settings.oidc_required:
        # A user made here could neither sign in nor be linked.
        raise _passwords_refused()
    return offer


async def reset_password(request: Request, token: str, password: str) -> bool:
    """Set a new password by a reset link.

    Returns:
        Whether this node's copy already has the end of the user's sign-ins.

    Raises:
        BrokenLink, InvalidInput, Forbidden: as ``password_resets.complete`` says.
        Conflict: as ``look_reset`` says.
        Busy: too many are waiting already.
    """
    look = partial(look_reset, node_of(request).settings)
    complete = partial(password_resets.complete, password=password)
    return await _follow(request, token, look, complete)


def look_reset(settings: Settings, reading: Reading, token: str, address: str | None) -> Account:
    """The user whose password a link sets.

    Raises:
        BrokenLink, Forbidden: as ``password_resets.look`` says.
        Conflict: ``oidc_required``: the user isn't an operator, whose password alone is accepted.
    """
    account = password_resets.look(reading, token, address)
    if settings.oidc_required and not account.operator:
        raise _passwords_refused()
    return account


def _passwords_refused() -> Conflict:
    return Conflict(
        "This Gatepass doesn't accept passwords. Sign in with your company's account instead.",
        reason="oidc_required",
    )


async def _follow(
    request: Request,
    token: str,
    look: Callable[[Reading, str, str], Offer | Account],
    use: Callable[..., T],
) -> T:
    """*look* at the link with *token*, then *use* it when its turn to hash a password comes."""
    node, address = node_of(request), address_text_of(request)
    found = await _read(node, look, token, address)
    place = Place.of_link(found.email, address)
    used = partial(use, node.database, token=token, address=address, now=node.clock.now)
    return await hashing(place, used)


def address_text_of(request: Request) -> str:
    """The client address of *request* as text.

    Raises:
        Forbidden: ``address_not_allowed``; the address can't be determined.
    """
    address = address_of(request)
    if address is None:
        raise Forbidden(FORWARDING_UNREADABLE, reason="address_not_allowed")
    return format_address(address)


async def _read(node: Node, look: Callable[[Reading, str, str], T], about: str, address: str) -> T:
    """Run *look* in a read transaction on a thread."""

    def read() -> T:
        with node.database.read(node.clock.now()) as reading:
            return look(reading, about, address)

    return await run_in_threadpool(read)
