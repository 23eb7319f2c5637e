"""A token among the sub-protocols of a WebSocket's handshake.

It is the only header that a page can set there: ``new WebSocket(url, ["gatepass", text, "chat"])``.
The guard reads the token, hides it from the application, and selects a sub-protocol if the
application doesn't: a browser closes a connection whose server selects none.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gatepass.verify.http.request_credentials import SUBPROTOCOL

_NAME = b"sec-websocket-protocol"

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def offered_beside_token(scope: MutableMapping[str, Any]) -> list[str] | None:
    """The application's sub-protocols that a handshake offers; None if it carries no token."""
    names = [
        name.strip(" \t")
        for key, value in scope["headers"]
        if key.lower() == _NAME
        for name in value.decode("latin-1").split(",")
    ]
    return names[2:] if names[:1] == [SUBPROTOCOL] and len(names) > 1 else None


def without_token(scope: MutableMapping[str, Any], own: list[str]) -> dict[str, Any]:
    """The entries of *scope* that carry the token, without the token."""
    headers = [(key, value) for key, value in scope["headers"] if key.lower() != _NAME]
    if own:
        headers.append((_NAME, ", ".join(own).encode("latin-1")))
    return {"headers": headers, "subprotocols": own}


def accepting(send: Send, own: list[str]) -> Send:
    """*send*, which accepts a WebSocket with a sub-protocol.

    That is the application's choice, or else the first of *own*, or else ``gatepass``.
    """

    async def send_accepted(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": own[0] if own else SUBPROTOCOL}
        await send(message)

    return send_accepted
