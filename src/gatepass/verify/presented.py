"""What a request presents: its credential, one in one of two headers; its origin, in one line.

``Authorization: Bearer T`` (RFC 6750) or ``x-access-token: T``. Both, or one repeated, is fine if
they say the same; if they differ nobody can tell which one a proxy in between looked at, so it is
refused. Nothing is ever read from a URL.
"""

from collections.abc import Sequence

from gatepass.core.decision import Reason


def read_credential(
    authorization: Sequence[str | None], x_access_token: Sequence[str | None]
) -> str | Reason:
    """The token's text, or why there is none.

    Args:
        authorization, x_access_token: the values of those headers' lines, in order; None for one
            whose bytes couldn't be read, which is garbage and never "absent".

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
    return found or Reason.token_missing


def read_single(values: Sequence[str | None]) -> str | None:
    """A header that may be there once, Origin or Referer; None only where it is absent.

    Garbage, or a repetition (which one did the proxy in between look at?), is "", which is no
    origin and so refused.
    """
    if not values:
        return None
    return (values[0] or "") if len(values) == 1 else ""
