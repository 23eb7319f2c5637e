"""What a request presents: its credential and its origin.

``Authorization: Bearer T`` (RFC 6750) or ``x-access-token: T``. Both, or one repeated, is fine if
they say the same; if they differ nobody can tell which one a proxy in between looked at, so it is
refused. A browser can set neither in a WebSocket's handshake, only sub-protocols; the first two may
be ``gatepass, T`` there. Nothing is ever read from a URL.
"""

from collections.abc import Callable, Sequence

from gatepass.core.decision import Reason

#: The sub-protocol that announces a token's text as the next one, in a WebSocket's handshake.
SUBPROTOCOL = "gatepass"

_SITES = frozenset(("cross-site", "none", "same-origin", "same-site"))


def read_credential(
    authorization: Sequence[str | None],
    x_access_token: Sequence[str | None],
    subprotocols: Sequence[str | None] = (),
) -> str | Reason:
    """The token's text, or why there is none.

    Args:
        authorization, x_access_token: the values of those headers' lines, in order; None for one
            whose bytes couldn't be read, which is garbage and never "absent".
        subprotocols: likewise of ``Sec-WebSocket-Protocol``, in a WebSocket's handshake alone.
            Looked at only where the others carry no credential.

    Returns:
        The text; ``token_missing`` if no line carries a Gatepass credential (another scheme, or an
        empty value, is none); ``token_invalid`` for garbage or for two that differ.
    """
    found: str | None = None
    for value in x_access_token:
        if value is None or (found and value and value != found):
            return Reason.token_invalid
        found = value or found
    for value in authorization:
        if value is None:
            return Reason.token_invalid
        scheme, _, text = value.partition(" ")
        if scheme.lower() != "bearer":
            continue
        text = text.strip(" ")
        if found and text and text != found:
            return Reason.token_invalid
        found = text or found
    return found or _among(subprotocols)


def _among(subprotocols: Sequence[str | None]) -> str | Reason:
    """The credential that the lines of ``Sec-WebSocket-Protocol`` carry."""
    names: list[str] = []
    for line in subprotocols:
        if line is None:
            return Reason.token_invalid
        # RFC 6455, 11.3.4: several lines are one list.
        names += [name.strip(" \t") for name in line.split(",", 2)]
    if names[:1] != [SUBPROTOCOL] or len(names) < 2 or not names[1]:
        return Reason.token_missing
    return names[1]


def read_single(values: Sequence[str | None]) -> str | None:
    """A header that may be there once, Origin or Referer; None only where it is absent.

    Garbage, or a repetition (which one did the proxy in between look at?), is "", which is no
    origin and so refused.
    """
    if not values:
        return None
    return (values[0] or "") if len(values) == 1 else ""


def read_origin(
    lines: Callable[[str], Sequence[str | None]], host: str
) -> tuple[str | None, str | None]:
    """The call's origin, and where it has none, its referer.

    A browser sends neither along with a page's GET to its own host where the page forbids the
    Referer. But it says ``Sec-Fetch-Site: same-origin``, which no page can set, and the Host it
    calls is then the page's; over https, for it says so to no other (but ``localhost``).

    Args:
        lines: reads a header's lines by its lower-case name; None for a line whose bytes couldn't
            be read.
        host: the name of the header that names the host: ``host``, or what a gateway sets instead.

    Returns:
        None for what is absent and nothing else. Garbage is "", which is no origin and so refused.
    """
    origin = read_single(lines("origin"))
    if origin is not None:
        return origin, None
    referer = read_single(lines("referer"))
    if referer is not None:
        return None, referer
    site = read_single(lines("sec-fetch-site"))
    if site is None:
        return None, None
    if site != "same-origin":
        return (None if site in _SITES else ""), None
    named = read_single(lines(host))
    return (f"https://{named}" if named else named), None
