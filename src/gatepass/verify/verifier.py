"""The public API of the data plane: a decider with its background tasks."""

from collections.abc import Callable, Collection
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from gatepass.core.decision import Decision
from gatepass.verify.decider import Decider
from gatepass.verify.watching import Watch, Watching

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

    def watch(self, decision: Decision, callback: Callable[[str], object]) -> Watch:
        """Watch a call that goes on after its decision, such as a stream of the application's own.

        The guards do this for WebSockets and streaming answers.

        The call is decided again whenever the grants change, at the next moment at which time alone
        may change the answer, and while nothing can be decided: 0.05 seconds after the change is
        known here, and half a second with ten thousand watched tokens. That is no use of the token,
        and a rehearsal refuses no call that goes on.

        Args:
            decision: about the call, as ``check`` returned it.
            callback: called once, with the reason, as soon as the call would no longer be allowed
                (``token_deactivated``, ``stale``, …): on a thread of the verifier, which it must
                not keep. Not called any more after ``cancel``.

        Returns:
            The watch; ``cancel()`` it when the call is over.
        """
        return self._watching.add(decision, callback)

    @cached_property
    def _watching(self) -> Watching:
        return Watching(self)

    def close(self) -> None:
        """Stop the background tasks and spool the use counts.

        A copy is then fresh until its lease ends, unless another process follows on.
        """
        if self.background is not None:
            self.background.close()
