"""HTTP Strict Transport Security (RFC 6797): browsers come back by https alone.

Only where ``GATEPASS_PUBLIC_URL`` is https; over http the header means nothing, and promising https
there would shut people out.
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A year, counted anew with each answer. Not for sub-domains, which are other people's servers and
# may know no https; and not for browsers' built-in lists, where a name stays for good: both are for
# whoever owns the domain to promise, at the proxy.
_HEADER: Final = (b"strict-transport-security", b"max-age=31536000")


class TransportSecurity:
    """Wraps the main port's application, and adds the header to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], _HEADER]}
            await send(message)

        await self._app(scope, receive, send_with_header)


def promises_https(public_url: str) -> bool:
    """Whether browsers may be told so. The promise is about a host with all its ports, and on
    ``localhost`` others listen as well."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    local = host == "localhost" or host.endswith(".localhost")
    return parts.scheme == "https" and not local
