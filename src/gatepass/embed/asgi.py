"""Middleware that lets an ASGI application see permitted calls only.

::

    app = GatepassMiddleware(
        api,
        open_verifier("/var/lib/gatepass/gatepass.db"),
        permissions={"GET /charges/{id}": "charges:get", "POST /charges": "charges:create"},
    )

It fails closed throughout. A route that nobody named is refused (``route_unknown``), and so is a
path that the application might read differently from us (``path_ambiguous``). The application finds
the decision in ``scope["gatepass"]``.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from gatepass.core.catalogue import Catalogue, parse_catalogue
from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.core.networks import Network, Networks, parse_address, parse_network
from gatepass.core.permissions import is_permission
from gatepass.core.routes import Routes
from gatepass.embed.cors import answer_preflight, is_preflight, readable_by_any_page
from gatepass.embed.refusal import Refusal
from gatepass.embed.routed_path import routed_path
from gatepass.verify.client_address import client_address
from gatepass.verify.presented import read_credential, read_single
from gatepass.verify.verifier import Verifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Stands in the routes where a permission would; no permission is spelt so.
_EXEMPT = "no permission needed"


class GatepassMiddleware:
    """Guards *app*. HTTP and WebSocket alike; a WebSocket's handshake is a GET.

    Args:
        app: the application.
        verifier: decides (``open_verifier``).
        permissions: the permission that each route needs, as ``{"GET /charges/{id}":
            "charges:get"}``. Paths are those the application itself routes on: where it is mounted
            under a prefix, without it.
        catalogue: instead of *permissions*, a catalogue, or the path of its file; its routes count.
        exempt: routes that anybody may call without a token, such as ``GET /health``.
        trusted_proxies: networks whose X-Forwarded-For is believed. Nobody's, unless said.
        cors: let pages of any origin call and read the answers, refusals included: which pages a
            token may be used on, its domains say. Preflights are then answered here. Otherwise a
            preflight is refused like any call without a token; put your own CORS middleware
            *around* this one, or exempt ``OPTIONS`` routes.

    Raises:
        Misconfigured: not exactly one of *permissions* and *catalogue*, or the file can't be read.
        CatalogueError, RouteError, InvalidNetwork: what was given can't be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier,
        *,
        permissions: Mapping[str, str] | None = None,
        catalogue: Catalogue | str | Path | None = None,
        exempt: Iterable[str] = (),
        trusted_proxies: Iterable[str | Network] = (),
        cors: bool = False,
    ) -> None:
        self._app = app
        self._verifier = verifier
        pairs = [*_pairs(permissions, catalogue), *((route, _EXEMPT) for route in exempt)]
        self._routes = Routes(pairs)
        self._trusted = Networks.of(
            parse_network(network) if isinstance(network, str) else network
            for network in trusted_proxies
        )
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection: refuse it, or hand it to the application with its decision."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            # What can't be guarded isn't passed on.
            raise ValueError(f"an ASGI connection of type {kind!r} can't be guarded")
        if self._cors and kind == "http":
            if is_preflight(scope):
                await answer_preflight(send)
                return
            send = readable_by_any_page(send)
        method = scope["method"] if kind == "http" else "GET"
        path = routed_path(scope)
        route = Reason.path_ambiguous if path is None else self._routes.match(method, path)
        if route == _EXEMPT:
            await self._app({**scope, "gatepass": None}, receive, send)
            return
        try:
            decision = self._decide(scope, route)
        except Unavailable as error:
            await Refusal.of_outage(error).send(scope, receive, send)
            return
        if decision.allowed:
            await self._app({**scope, "gatepass": decision}, receive, send)
        else:
            await Refusal.of_decision(decision).send(scope, receive, send)

    def _decide(self, scope: Scope, route: str | Reason) -> Decision:
        lines = _Lines(scope)
        client = scope.get("client")
        address = peer = None if client is None else parse_address(client[0])
        garbage = False
        if peer is not None:
            address = client_address(peer, lines("x-forwarded-for"), self._trusted)
            garbage = address is None
        decision, _ = self._verifier.judge(
            read_credential(lines("authorization"), lines("x-access-token")),
            route=route,
            address=address,
            origin=read_single(lines("origin")),
            referer=read_single(lines("referer")),
            address_garbage=garbage,
        )
        return decision


class _Lines:
    """Reads a request's header lines by their lower-case name; None for bytes outside ASCII."""

    def __init__(self, scope: Scope) -> None:
        self._headers: Iterable[tuple[bytes, bytes]] = scope["headers"]

    def __call__(self, name: str) -> list[str | None]:
        wanted = name.encode()
        return [
            value.decode("ascii") if value.isascii() else None
            for key, value in self._headers
            if key.lower() == wanted
        ]


def _pairs(
    permissions: Mapping[str, str] | None, catalogue: Catalogue | str | Path | None
) -> list[tuple[str, str]]:
    if (permissions is None) == (catalogue is None):
        raise Misconfigured("name the routes' permissions, or a catalogue, and not both")
    if permissions is not None:
        for name in permissions.values():
            if not is_permission(name):
                raise Misconfigured(f"{name!r} is not a permission such as charges:create")
        return list(permissions.items())
    if not isinstance(catalogue, Catalogue):
        assert catalogue is not None
        catalogue = read_catalogue(catalogue)
    return [
        (route, permission.name)
        for permission in catalogue.permissions
        for route in permission.routes
    ]


def read_catalogue(path: str | Path) -> Catalogue:
    """Read a catalogue file.

    Raises:
        Misconfigured: the file can't be read.
        CatalogueError: what it says can't be used.
    """
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise Misconfigured(f"the catalogue {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"the catalogue {path} isn't UTF-8 text") from error
    return parse_catalogue(text)
