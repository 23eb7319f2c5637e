"""Which calls a rehearsal refuses: a fixed share, chosen by a digest of the call and the second.

A retry within the same second is refused again, one in the next second most likely not. So a
client that retries notices little, and one that doesn't is found before the token is gone.
"""

from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from gatepass.core.grants import Grant, Rehearsal

_encode = msgspec.msgpack.Encoder().encode


def refuses(
    rehearsal: Rehearsal,
    token: str,
    now: int,
    *,
    address: bytes | None,
    permission: str | None,
    route: str | None,
) -> bool:
    """Whether the rehearsal of a token refuses this call.

    Args:
        token: the token's id.
        now: Unix time in milliseconds.
        address: packed (``core.networks``); None if absent or unreadable.
        permission: the one asked for by name.
        route: the catalogue's that matched, such as ``GET /v1/charges/{id}``.
    """
    if not now < rehearsal.until:
        return False
    # MessagePack separates the parts, so that no two calls have the same bytes.
    call = _encode((token, rehearsal.start, now // 1000, address, permission, route))
    return int.from_bytes(blake2b(call).digest()[:8], "big") % 100 < rehearsal.share


def unrehearsed(grant: Grant) -> Grant:
    """*grant* as it is without its rehearsal, which deactivates nothing."""
    if grant.rehearsal is None or grant.pending:
        return grant
    return replace(grant, deactivated=False, rehearsal=None)
