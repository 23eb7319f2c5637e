"""Where a gateway's question names the call: each endpoint reads one source and no other.

A client can send any header. A gateway replaces those that it sends itself, and passes the others
on. So an endpoint that fell back to another gateway's headers would let the client choose the call
that is decided.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from gatepass.verify.http.header_lines import Lines

# Strict: a client chooses the Host, and must not end the authority where it likes.
_url = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(/.*)").fullmatch


class Source(msgspec.Struct, frozen=True, gc=False):
    """What an endpoint reads.

    Attributes:
        endpoint: its path.
        uri, method: the names of the headers with the call's path and method.
        whole_url: the first of them has a whole http or https URL.
        own: in place of headers, the request's own method, and its path behind the endpoint's.
        allowed: the status for "allowed".
        peer_may_call: without X-Forwarded-For, the call's address is the peer's. Otherwise it has
            none, and every list of addresses refuses it.
    """

    endpoint: str
    uri: str
    method: str
    whole_url: bool = False
    own: bool = False
    allowed: int = 204
    peer_may_call: bool = False

    def read(self, lines: Lines, own: "OwnCall | None") -> "tuple[_Values, _Values]":
        """The values of path and method: one each, if the gateway is set up well.

        A value that can't be read is None.
        """
        if not self.own:
            return lines(self.uri.lower()), lines(self.method.lower())
        if own is None or not own.target.startswith("/"):
            return (), ("",)
        target = own.target if own.target.isascii() else None
        return (target,), (own.method,)

    def unsent(self, uri: "_Values", method: "_Values") -> str:
        """Names of what the gateway must send exactly once and didn't."""
        sent = ((self.uri, uri), (self.method, method))
        return " and ".join(
            name for name, values in sent if name and (len(values) != 1 or values[0] == "")
        )


class OwnCall(msgspec.Struct, frozen=True, gc=False):
    """A request's own method, and its target behind the endpoint's path."""

    method: str
    target: str


_Values = Sequence[str | None]

NGINX: Final = Source("/authz/nginx", "X-Original-URI", "X-Original-Method", peer_may_call=True)
FORWARD: Final = Source("/authz/forward", "X-Forwarded-Uri", "X-Forwarded-Method")
INGRESS_NGINX: Final = Source(
    "/authz/ingress-nginx", "X-Original-URL", "X-Original-Method", whole_url=True
)
ENVOY: Final = Source("/authz/envoy", "a path behind /authz/envoy", "", own=True, allowed=200)
SOURCES: Final = (NGINX, FORWARD, INGRESS_NGINX, ENVOY)

_BY_ENDPOINT: Final = {source.endpoint.encode(): source for source in SOURCES}
_ANY: Final = b"/authz/"
_OWN: Final = ENVOY.endpoint.encode() + b"/"


def source_of(target: bytes) -> Source | None:
    """The source of the endpoint that a request's *target* names; None if it names none."""
    if not target.startswith(_ANY):
        return None
    if target.startswith(_OWN):
        return ENVOY
    return _BY_ENDPOINT.get(target.partition(b"?")[0])


def own_call(method: bytes, target: bytes) -> OwnCall:
    """The call that a request to ``ENVOY`` is itself about."""
    behind = target[len(ENVOY.endpoint) :]
    return OwnCall(method.decode("latin-1"), behind.decode("latin-1"))


def path_in(url: str) -> str | None:
    """The path and query of a whole http or https URL; None for anything else."""
    found = _url(url)
    return None if found is None else found[1]
