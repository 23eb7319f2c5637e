"""The public API of the data plane: a decider with its background tasks."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from gatepass.verify.decider import Decider

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext


class BackgroundTasks(Protocol):
    """The background tasks of a verifier."""

    def close(self) -> None: ...


class Verifier(Decider):
    """Decides from the local grant file.

    Created by :meth:`follow` where Gatepass runs elsewhere, by ``gatepass.open_verifier`` on its
    own machine. The arguments are those of ``Decider``.
    """

    background: BackgroundTasks | None = None

    @classmethod
    def follow(
        cls,
        url: str,
        *,
        key: str,
        directory: "str | Path",
        catalogue: "str | Path | None" = None,
        companies: Collection[str] = (),
        permissions: Collection[str] = (),
        wait: float | None = None,
        cafile: "str | Path | None" = None,
        ssl_context: "SSLContext | None" = None,
        allow_http: bool = False,
    ) -> "Verifier":
        """A verifier that keeps a copy of the grants current over HTTP, in this process and its
        forks.

        Every process of a service calls this with the same directory. One of them follows, all
        decide; if that one dies, another follows within two seconds. A deactivation takes effect
        here within a second. A copy whose lease wasn't renewed within MAX_STALENESS decides
        nothing.

        Args:
            url: of the installation, such as ``https://gatepass.internal``.
            key: a verifier key's text (``gpvk_…``).
            directory: of the copy, which holds digests, never secrets. Created if absent, readable
                by this user alone; not shared with another service.
            catalogue: a catalogue file, whose routes count for calls by method and path; by
                default those of the installation's catalogue, as it is at any time.
            companies, permissions: limit the copy to the tokens of these companies, and to tokens
                that hold one of these permissions. Any other token is then unknown.
            wait: seconds to wait here for the first copy, for scripts. By default this returns at
                once and the process's first checks wait instead: ten seconds at most, never on an
                event loop, and not while the server is unreachable. With a number they don't wait.
                ``check`` raises Unavailable (``stale``) until the copy is complete.
            cafile: certificates to trust instead of the system's, as a PEM file.
            ssl_context: replaces the default context that authenticates the server.
            allow_http: send the key to another machine without TLS, in a trusted network.

        Raises:
            Misconfigured: the URL or the key is malformed, the directory can't be used, or the
                clock is behind the latest time seen here.
            CatalogueError: the catalogue is invalid.
        """
        from gatepass.verify.replica.following import follow

        verifier, background = follow(
            cls,
            url,
            key=key,
            directory=directory,
            catalogue=catalogue,
            companies=companies,
            permissions=permissions,
            wait=wait,
            cafile=cafile,
            ssl_context=ssl_context,
            allow_http=allow_http,
        )
        verifier.background = background
        return verifier

    def close(self) -> None:
        """Stop the background tasks and spool the use counts.

        A copy is then fresh until its lease ends, unless another process follows on.
        """
        if self.background is not None:
            self.background.close()
