"""Claims of the provider's tokens."""

from collections.abc import Mapping
from typing import Any

from gatepass.oidc.errors import TokenRefused

Claims = Mapping[str, Any]

_LONGEST_ID = 255


def read_id(claims: Claims, name: str) -> str | None:
    """A claim that identifies something, compared exactly; None if it is missing or no such text.

    Raises:
        TokenRefused: it is there, and isn't 1–255 printable characters.
    """
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_ID or not value.isprintable():
        raise TokenRefused(name)
    return value
