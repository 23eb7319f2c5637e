"""The public face of the data plane: a decider, and what keeps it current in the background."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from gatepass.verify.decider import Decider

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext


class Upkeep(Protocol):
    """Who looks after a verifier in the background."""

    def close(self) -> None: ...


class Verifier(Decider):
    """Decides from the local grant file.

    Made by :meth:`follow` where Gatepass runs elsewhere, by ``gatepass.open_verifier`` on its own
    machine. The arguments are those of ``Decider``.
    """

    upkeep: Upkeep | None = None

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
        """A verifier whose grants are kept current over HTTP, for the life of the process and of
        its forks.

        Every process of a service calls this with the same directory. One of them follows, all
        decide; if that one dies, another follows within two seconds. A deactivation counts here
        within a second; a copy that hasn't been vouched for within MAX_STALENESS decides nothing.

        Args:
            url: of the installation, such as ``https://gatepass.internal``.
            key: a verifier key's text (``gpvk_…``).
            directory: where the copy lies: digests, never secrets. Made if absent, for this user
                alone; not shared with another service.
            catalogue: a catalogue file, if ``check`` is to be asked by method and path.
            companies, permissions: limit the copy to the tokens of these companies, and to those
                that may do one of these permissions. Any other token is then unknown.
            wait: seconds to wait here for the first copy, as a script may want to. By default
                this returns at once, and the first checks of the process wait: ten seconds at
                most, never on an event loop, and not while the server is away. With a number they
                don't. ``check`` raises Unavailable (``stale``) until the copy is there.
            cafile: certificates to trust instead of the system's, as a PEM file.
            ssl_context: how to prove the server instead.
            allow_http: show the key to another machine without TLS, in a network of one's own.

        Raises:
            Misconfigured: the URL or the key isn't one; the directory can't be used; or the clock
                is behind the latest time seen here.
            CatalogueError: the catalogue can't be used.
        """
        from gatepass.verify.replica.following import follow

        verifier, upkeep = follow(
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
        verifier.upkeep = upkeep
        return verifier

    def close(self) -> None:
        """End what looks after this verifier in the background, and spool what was counted. A copy
        then counts until its stamp runs out, unless another process goes on following."""
        if self.upkeep is not None:
            self.upkeep.close()
