"""Credential and origin of a request.

The credential is ``Authorization: Bearer T`` (RFC 6750) or ``x-access-token: T``. Both, or one
repeated, are accepted if the values are equal. Values that differ are refused, because a proxy in
between may have checked another one. A browser can set neither header in a WebSocket's handshake,
only sub-protocols; there the first two may be ``gatepass, T``. No credential is read from a URL.
"""

from collections.abc import Callable, Sequence

from gatepass.core.decision import Reason

#: The sub-protocol before the one that is the token, in a WebSocket's handshake.
SUBPROTOCOL = "gatepass"

_SITES = frozenset(("cross-site", "none", "same-origin", "same-site"))


def read_credential(
    authorization: Sequence[str | None],
    x_access_token: Sequence[str | None],
    subprotocols: Sequence[str | None] = (),
) -> str | Reason:
    """The token's text, or why there is none.

    Args:
        authorization, x_access_token: the values of those headers' lines, in order; None for a line
            with unreadable bytes, which is garbage and never "absent".
        subprotocols: likewise of ``Sec-WebSocket-Protocol``, only in a WebSocket's handshake. Read
            only if the other headers have no credential.

    Returns:
        The text; ``token_missing`` if no line has a Gatepass credential (another scheme or an empty
        value is none); ``token_invalid`` for garbage or for two that differ.
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
    """The credential in the lines of ``Sec-WebSocket-Protocol``."""
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
    """The value of a header that may occur once, Origin or Referer; None only if it is absent.

    Garbage or a repeated header is "", which is no origin and so refused: a proxy in between may
    have checked another one of the values.
    """
    if not values:
        return None
    return (values[0] or "") if len(values) == 1 else ""


def read_origin(
    lines: Callable[[str], Sequence[str | None]], host: str
) -> tuple[str | None, str | None]:
    """The call's origin or, without one, its referer.

    A browser sends neither with a page's GET to its own host if the page forbids the Referer. But
    it sends ``Sec-Fetch-Site: same-origin``, which no page can set, so the Host is the page's own.
    The scheme is https, because browsers send that header to no other host (except ``localhost``).

    Args:
        lines: the request's header lines by lower-case name; None for a line with unreadable bytes.
        host: the header with the host: ``host``, or the one that a gateway sets instead.

    Returns:
        None only for an absent header. Garbage is "", which is no origin and so refused.
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
