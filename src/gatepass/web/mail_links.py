"""Following a link from a mail, as API and pages share it."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from gatepass.core.errors import Forbidden
from gatepass.core.networks import format_address
from gatepass.node.node import Node
from gatepass.registry.directory.users import User
from gatepass.registry.membership import invitation_links, password_resets
from gatepass.registry.storage.database import Committed, Reading
from gatepass.verify.http.refusals import FORWARDING_UNREADABLE
from gatepass.web.caller import address_of, node_of
from gatepass.web.hashing_pool import Place, hashing

T = TypeVar("T")


def address_text_of(request: Request) -> str:
    """Where *request* comes from.

    Raises:
        Forbidden: ``address_not_allowed``; that can't be told, so it counts as nowhere.
    """
    address = address_of(request)
    if address is None:
        raise Forbidden(FORWARDING_UNREADABLE, reason="address_not_allowed")
    return format_address(address)


async def accept_invitation(
    request: Request, token: str, name: str, password: str
) -> Committed[User]:
    """Make the user that an invitation is for.

    Raises:
        BrokenLink, InvalidInput, Forbidden: as ``invitation_links.accept`` says.
        Unavailable: too many are waiting already.
    """
    node, address = node_of(request), address_text_of(request)
    # Looked at before it waits among others: only a good link has a place there.
    offer = await run_in_threadpool(_look, node, invitation_links.look, token, address)
    return await hashing(
        Place.of_link(offer.email, address),
        partial(
            invitation_links.accept,
            node.database,
            token=token,
            name=name,
            password=password,
            address=address,
            now=node.clock.now,
        ),
    )


async def reset_password(request: Request, token: str, password: str) -> bool:
    """Set the new password of whoever a password reset is for; whether this node decides by the
    end of their sign-ins already.

    Raises:
        BrokenLink, InvalidInput, Forbidden: as ``password_resets.complete`` says.
        Unavailable: too many are waiting already.
    """
    node, address = node_of(request), address_text_of(request)
    account = await run_in_threadpool(_look, node, password_resets.look, token, address)
    return await hashing(
        Place.of_link(account.email, address),
        partial(
            password_resets.complete,
            node.database,
            token=token,
            password=password,
            address=address,
            now=node.clock.now,
        ),
    )


def _look(node: Node, look: Callable[[Reading, str, str], T], token: str, address: str) -> T:
    with node.database.read(node.clock.now()) as reading:
        return look(reading, token, address)
