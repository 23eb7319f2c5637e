"""Decides requests of every framework.

All adapters read credential, address, origin and path here and nowhere else, so that all of them
refuse the same requests.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from gatepass.core.catalogue import Catalogue
from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.core.networks import Network, parse_address
from gatepass.core.permissions import is_permission
from gatepass.core.routes import CatalogueRoute, Routes
from gatepass.embed.refusal import Refusal
from gatepass.verify.catalogue import read_catalogue
from gatepass.verify.first_copy import wait_for_copy, wait_for_copy_async
from gatepass.verify.http.client_address import TrustedProxies, client_address
from gatepass.verify.http.header_lines import Lines
from gatepass.verify.http.request_credentials import read_credential, read_origin
from gatepass.verify.verifier import Verifier

# A peer on a Unix socket, as servers pass it: None (Uvicorn, Hypercorn), "" (Granian, Gunicorn),
# 0.0.0.0 (uWSGI), localhost (Waitress), <local> (Werkzeug). No TCP peer has one of these addresses.
_UNIX_PEERS = frozenset((None, "", "unix:", "0.0.0.0", "localhost", "<local>"))  # noqa: S104

# Methods for preflights where views, not routes, name the permissions.
_COMMON_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

#: What guards take: a verifier, or a function that opens one.
VerifierSource = Verifier | Callable[[], Verifier]

_Outcome = TypeVar("_Outcome")

#: In the routes instead of a permission; no permission is spelt so.
_EXEMPT = "no permission needed"


class Gate:
    """Decides calls by permission.

    Args:
        verifier: decides; or a function that opens it, called once, when it is first needed.
        trusted_proxies: networks whose X-Forwarded-For is trusted, and ``unix:`` for a peer on a
            Unix socket. None by default.

    Attributes:
        methods: for the answer to a preflight.

    Raises:
        InvalidNetwork: one of *trusted_proxies* is invalid.
    """

    methods: tuple[str, ...] = _COMMON_METHODS

    def __init__(
        self, verifier: VerifierSource, trusted_proxies: Iterable[str | Network] = ()
    ) -> None:
        self._source = verifier
        self._opened: Verifier | None = None
        self._opening = threading.Lock()
        self._trusted = TrustedProxies.of(trusted_proxies)

    @property
    def verifier(self) -> Verifier:
        """The verifier, opened if it isn't yet."""
        if self._opened is None:
            with self._opening:
                if self._opened is None:
                    source = self._source
                    self._opened = source if isinstance(source, Verifier) else source()
        return self._opened

    @verifier.setter
    def verifier(self, verifier: Verifier) -> None:
        self._opened = verifier

    def judge(
        self,
        lines: Lines,
        peer: str | None,
        *,
        permission: str | None = None,
        route: CatalogueRoute | Reason | None = None,
        handshake: bool = False,
    ) -> Decision | Refusal:
        """Decide one call.

        Args:
            lines: the request's header lines.
            peer: the socket peer's address as the server passes it, or None. An unreadable one
                fails every list of addresses.
            permission: the permission asked for by name.
            route: the result of ``Routes.match``.
            handshake: whether the request opens a WebSocket, whose sub-protocols may carry the
                token.

        Returns:
            The decision if it is "allowed". Anything else, also an outage, is the refusal to answer
            with, so that an adapter can't mistake one for the other.
        """
        packed = None if peer in _UNIX_PEERS else parse_address(peer or "")
        address, garbage = packed, False
        if packed is not None or peer in _UNIX_PEERS:
            address, garbage = client_address(packed, lines("x-forwarded-for"), self._trusted)
        origin, referer = read_origin(lines, "host")
        credential = read_credential(
            lines("authorization"),
            lines("x-access-token"),
            lines("sec-websocket-protocol") if handshake else (),
        )
        try:
            verifier = self._opened or self.verifier
            decision, _ = verifier.judge(
                credential, permission, route, address, origin, referer, garbage
            )
        except Unavailable as error:
            return Refusal.of_outage(error)
        if decision.allowed:
            return decision
        return Refusal.of_decision(decision, verifier.help(decision))

    def retry(self, decide: Callable[[], _Outcome]) -> _Outcome:
        """Call *decide*; after an outage retry once the first copy of the grants is complete."""
        outcome = decide()
        if _is_outage(outcome) and wait_for_copy(self.verifier):
            outcome = decide()
        return outcome

    async def retry_async(self, decide: Callable[[], _Outcome]) -> _Outcome:
        """:meth:`retry` without blocking the event loop."""
        outcome = decide()
        if _is_outage(outcome) and await self.wait_for_copy():
            outcome = decide()
        return outcome

    async def wait_for_copy(self) -> bool:
        """Wait for the first copy of the grants; whether a retry is worthwhile."""
        return await wait_for_copy_async(self.verifier)


class RouteGate(Gate):
    """Decides calls by method and path.

    Args:
        verifier: as for :class:`Gate`.
        permissions: the permission that each route needs, as ``{"GET /charges/{id}":
            "charges:get"}``.
        catalogue: instead of *permissions*, a catalogue, or the path of its file.
        exempt: routes that need no token.
        trusted_proxies: as for :class:`Gate`.

    Raises:
        Misconfigured: not exactly one of *permissions* and *catalogue*, or the file can't be read.
        CatalogueError, RouteError, InvalidNetwork: an argument is invalid.
    """

    def __init__(
        self,
        verifier: VerifierSource,
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
            method: as received; compared exactly.
            path: from ``embed.paths``; None where the application might parse another one.

        Returns:
            As ``Gate.judge``; None for an exempt route.
        """
        route = Reason.path_ambiguous if path is None else self._routes.match(method, path)
        if type(route) is CatalogueRoute and route.permission == _EXEMPT:
            return None
        return self.judge(lines, peer, route=route, handshake=handshake)


def _is_outage(outcome: object) -> bool:
    return isinstance(outcome, Refusal) and outcome.status == 503


def require_permission(permission: str) -> str:
    """*permission*, if it is well-formed.

    Raises:
        Misconfigured: it isn't ``resource:action``, so no token could ever hold it.
    """
    if not is_permission(permission):
        raise Misconfigured(f"{permission!r} must be a permission such as charges:create")
    return permission


def _pairs(
    permissions: Mapping[str, str] | None, catalogue: Catalogue | str | Path | None
) -> list[tuple[str, str]]:
    if (permissions is None) == (catalogue is None):
        raise Misconfigured("exactly one of permissions and catalogue must name the routes")
    if permissions is not None:
        return [
            (route, require_permission(permission)) for route, permission in permissions.items()
        ]
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
