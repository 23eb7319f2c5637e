"""Where a request, of whatever framework, becomes a call that is decided.

All adapters read credential, address, origin and path here and nowhere else, so that what one of
them refuses, none of them lets through.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from gatepass.core.catalogue import Catalogue
from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.core.networks import Network
from gatepass.core.permissions import is_permission
from gatepass.core.routes import Routes
from gatepass.embed.refusal import Refusal
from gatepass.verify.catalogue import read_catalogue
from gatepass.verify.first_copy import arrives, wait_for
from gatepass.verify.http.client_address import TrustedProxies, client_address, read_address
from gatepass.verify.http.request_credentials import read_credential, read_origin
from gatepass.verify.verifier import Verifier

#: The values of one header's lines, by its lower-case name, in order; None for a line with bytes
#: outside ASCII.
Lines = Callable[[str], Sequence[str | None]]

# A peer on a Unix socket, as servers tell it: Uvicorn and Hypercorn not at all, Granian and
# Gunicorn as "", uWSGI as 0.0.0.0, Waitress as localhost, Werkzeug as <local>. No peer over TCP has
# one of these for an address.
_UNIX_PEERS = frozenset((None, "", "unix:", "0.0.0.0", "localhost", "<local>"))  # noqa: S104

# Methods that pages may use where views, not routes, say what a call needs.
_COMMON_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_Outcome = TypeVar("_Outcome")

#: Stands in the routes where a permission would; no permission is spelt so.
_EXEMPT = "no permission needed"


class Gate:
    """Has calls decided.

    Args:
        verifier: decides.
        trusted_proxies: networks whose X-Forwarded-For is believed, and ``unix:`` for a peer on a
            Unix socket. Nobody's, unless said.

    Attributes:
        methods: those that a preflight is told of.

    Raises:
        InvalidNetwork: one of *trusted_proxies* is none.
    """

    methods: tuple[str, ...] = _COMMON_METHODS

    def __init__(self, verifier: Verifier, trusted_proxies: Iterable[str | Network] = ()) -> None:
        self._verifier = verifier
        self._trusted = TrustedProxies.of(trusted_proxies)

    def judge(
        self,
        lines: Lines,
        peer: str | None,
        *,
        permission: str | None = None,
        route: str | Reason | None = None,
        handshake: bool = False,
    ) -> Decision | Refusal:
        """Decide one call.

        Args:
            lines: reads the request's headers.
            peer: the socket peer's address as the server tells it; None where it tells none.
                Anything unreadable fails every list of addresses.
            permission: the permission asked for by name.
            route: what the routes say of method and path.
            handshake: whether the request opens a WebSocket, whose sub-protocols may carry the
                token.

        Returns:
            The decision where it is "allowed". Everything else is the refusal to answer with, an
            outage too: a caller can't mistake one for the other.
        """
        packed = None if peer in _UNIX_PEERS else read_address(peer or "")
        address, garbage = packed, False
        if packed is not None or peer in _UNIX_PEERS:
            address, garbage = client_address(packed, lines("x-forwarded-for"), self._trusted)
        origin, referer = read_origin(lines, "host")
        presented = read_credential(
            lines("authorization"),
            lines("x-access-token"),
            lines("sec-websocket-protocol") if handshake else (),
        )
        try:
            decision, _ = self._verifier.judge(
                presented, permission, route, address, origin, referer, garbage
            )
        except Unavailable as error:
            return Refusal.of_outage(error)
        return decision if decision.allowed else Refusal.of_decision(decision)

    def patiently(self, decide: Callable[[], _Outcome]) -> _Outcome:
        """*decide*, again if need be once the first copy of the grants is there."""
        outcome = decide()
        if _is_outage(outcome) and wait_for(self._verifier):
            outcome = decide()
        return outcome

    async def patiently_async(self, decide: Callable[[], _Outcome]) -> _Outcome:
        """:meth:`patiently`, which lets the event loop serve others meanwhile."""
        outcome = decide()
        if _is_outage(outcome) and await self.first_copy_arrives():
            outcome = decide()
        return outcome

    async def first_copy_arrives(self) -> bool:
        """Wait for the first copy of the grants; whether it is worth deciding again."""
        return await arrives(self._verifier)


class RouteGate(Gate):
    """Has calls decided by method and path.

    Args:
        verifier: decides.
        permissions: the permission that each route needs, as ``{"GET /charges/{id}":
            "charges:get"}``.
        catalogue: instead of *permissions*, a catalogue, or the path of its file.
        exempt: routes that anybody may call without a token.
        trusted_proxies: as for :class:`Gate`.

    Raises:
        Misconfigured: not exactly one of *permissions* and *catalogue*, or the file can't be read.
        CatalogueError, RouteError, InvalidNetwork: what was given can't be used.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        permissions: Mapping[str, str] | None = None,
        catalogue: Catalogue | str | Path | None = None,
        exempt: Iterable[str] = (),
        trusted_proxies: Iterable[str | Network] = (),
    ) -> None:
        super().__init__(verifier, trusted_proxies)
        pairs = [*_pairs(permissions, catalogue), *((route, _EXEMPT) for route in exempt)]
        self._routes = Routes(pairs)
        self.methods = _methods_of(route for route, _ in pairs)

    def admit(
        self,
        method: str,
        path: str | None,
        lines: Lines,
        peer: str | None,
        *,
        handshake: bool = False,
    ) -> Decision | Refusal | None:
        """Decide one call.

        Args:
            method: as it came; it is compared exactly.
            path: as ``embed.paths`` says, None where the application might read another one.

        Returns:
            As ``Gate.judge``; None for an exempt route.
        """
        route = Reason.path_ambiguous if path is None else self._routes.match(method, path)
        if route == _EXEMPT:
            return None
        return self.judge(lines, peer, route=route, handshake=handshake)


def _is_outage(outcome: object) -> bool:
    return isinstance(outcome, Refusal) and outcome.status == 503


def named(permission: str) -> str:
    """*permission*, if it is one.

    Raises:
        Misconfigured: it isn't spelt ``resource:action``, so no token could ever hold it.
    """
    if not is_permission(permission):
        raise Misconfigured(f"{permission!r} is not a permission such as charges:create")
    return permission


def _pairs(
    permissions: Mapping[str, str] | None, catalogue: Catalogue | str | Path | None
) -> list[tuple[str, str]]:
    if (permissions is None) == (catalogue is None):
        raise Misconfigured("name the routes' permissions, or a catalogue, and not both")
    if permissions is not None:
        return [(route, named(permission)) for route, permission in permissions.items()]
    if not isinstance(catalogue, Catalogue):
        assert catalogue is not None
        catalogue = read_catalogue(catalogue)
    return [
        (route, permission.name)
        for permission in catalogue.permissions
        for route in permission.routes
    ]


def _methods_of(routes: Iterable[str]) -> tuple[str, ...]:
    """The routes' methods; HEAD counts as GET."""
    methods = sorted({route.partition(" ")[0] for route in routes})
    return tuple(each for one in methods for each in ((one, "HEAD") if one == "GET" else (one,)))
