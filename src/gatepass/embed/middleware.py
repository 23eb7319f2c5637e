"""The constructor of the ASGI and WSGI middleware."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from gatepass.core.catalogue import Catalogue
from gatepass.core.networks import Network
from gatepass.embed.gate import RouteGate, VerifierSource
from gatepass.verify.verifier import Verifier

_App = TypeVar("_App")


class RouteMiddleware(Generic[_App]):
    """Guards *app* by method and path.

    Args:
        app: the application.
        verifier: decides (``open_verifier``, ``Verifier.follow``); or a function that opens it,
            called once, when it is first needed.
        permissions: the permission that each route needs, as ``{"GET /charges/{id}":
            "charges:get"}``. Paths are those that the application itself routes on: without the
            prefix under which it is mounted.
        catalogue: instead of *permissions*, a catalogue, or the path of its file; its routes count.
        exempt: routes that need no token, such as ``GET /health``.
        trusted_proxies: networks whose X-Forwarded-For is trusted, and ``unix:`` for a peer on a
            Unix socket. None by default.
        cors: allow pages of any origin to call and to read the answers, refusals included; a
            token's domains say on which pages it may be used. The middleware then answers
            preflights, with the headers that they ask for and the methods of the routes. Otherwise
            a preflight is refused like any call without a token: put your own CORS middleware
            *around* this one.

    Raises:
        Misconfigured: not exactly one of *permissions* and *catalogue*, or the file can't be read.
        CatalogueError, RouteError, InvalidNetwork: an argument is invalid.
    """

    def __init__(
        self,
        app: _App,
        verifier: VerifierSource,
        *,
        permissions: Mapping[str, str] | None = None,
        catalogue: Catalogue | str | Path | None = None,
        exempt: Iterable[str] = (),
        trusted_proxies: Iterable[str | Network] = (),
        cors: bool = False,
    ) -> None:
        self._app = app
        self._gate = RouteGate(
            verifier,
            permissions=permissions,
            catalogue=catalogue,
            exempt=exempt,
            trusted_proxies=trusted_proxies,
        )
        self._cors = cors

    @property
    def verifier(self) -> Verifier:
        """The verifier, opened if it isn't yet. Tests may set another."""
        return self._gate.verifier

    @verifier.setter
    def verifier(self, verifier: Verifier) -> None:
        self._gate.verifier = verifier
