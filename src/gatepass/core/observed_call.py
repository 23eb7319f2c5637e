"""What is kept of a call whose token's secret matched, and the id of a refusal."""

import hmac
import re
from functools import lru_cache
from typing import Final

import msgspec

from gatepass.core.credentials import ACCESS_TOKEN, base62
from gatepass.core.decision import Decision
from gatepass.core.domains import origin_of_referer, parse_origin
from gatepass.core.imported_keys import IMPORTED_KEY
from gatepass.core.networks import format_address
from gatepass.core.permissions import is_permission
from gatepass.core.reason import Reason
from gatepass.core.routes import CatalogueRoute

DAY_MS = 86_400_000
#: Longer ones are left out.
LONGEST_ORIGIN = 255
LONGEST_ROUTE = 500
LONGEST_PERMISSION = 200
#: How the ids of tokens begin whose calls are kept; of sign-ins and portal sessions none are.
OBSERVED: Final = (ACCESS_TOKEN, IMPORTED_KEY)

_ID_PREFIX = "dec_"
_ID_CHARACTERS = 22
_VERSION = "1"
#: Whether a text has the form of a refusal's id.
is_decision_id = re.compile(f"{_ID_PREFIX}[0-9A-Za-z]{{{_ID_CHARACTERS}}}").fullmatch

_ORIGINS_KEPT = 1_024
_NEEDED_KEPT = 1_024
_IDS_KEPT = 4_096
_LONGEST_KEPT = 512


class ObservedCall(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is kept of a call.

    Attributes:
        reason: of the decision.
        needed: the permissions that the call needed, the one asked for by name first.
        route, method: of the catalogue's route that matched, such as ``/v1/charges/{id}`` and GET;
            None without one. The path itself is never kept.
        address: in its canonical spelling.
        origin: of the Origin header, or of the Referer where there is none, in its canonical
            spelling; None where there is neither, or no origin can be read.
    """

    reason: str
    needed: tuple[str, ...]
    route: str | None
    method: str | None
    address: str | None
    origin: str | None


class CountedCall(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Equal calls of a token.

    Attributes:
        call: None for those that were over a bound.
        count: how many.
        first_at, last_at: of the first and the last of them, in Unix ms.
    """

    token: str
    allowed: bool
    call: ObservedCall | None
    count: int
    first_at: int
    last_at: int


def observe(
    reason: Reason,
    names: tuple[str, ...],
    route: CatalogueRoute | None,
    address: str | None,
    origin: str | None,
) -> ObservedCall:
    """What is kept of a call.

    Args:
        names: as ``needed`` returned them.
        route: the catalogue's that matched.
        address: in its canonical spelling.
        origin: as ``observed_origin`` returned it.
    """
    if route is None or len(route.text) > LONGEST_ROUTE:
        return ObservedCall(reason._value_, names, None, None, address, origin)
    return ObservedCall(reason._value_, names, route.path, route.method, address, origin)


@lru_cache(_NEEDED_KEPT)
def needed(permission: str | None, of_route: str | None) -> tuple[str, ...]:
    """The permissions that a call needed, without malformed ones.

    Args:
        permission: the one asked for by name, which comes first.
        of_route: that of the route.
    """
    # A dictionary, because both may be the same.
    named = dict.fromkeys((permission, of_route))
    return tuple(
        name
        for name in named
        if name is not None and len(name) <= LONGEST_PERMISSION and is_permission(name)
    )


def observed_origin(origin: object, referer: object) -> str | None:
    """The canonical origin of a call, from its headers; None if there is none to be read.

    Args:
        origin, referer: the headers' values; None where the header is absent.
    """
    text = referer if origin is None else origin
    if not isinstance(text, str):
        return None
    # Bounded in number and in size: callers choose the texts.
    read = _kept_origin if len(text) <= _LONGEST_KEPT else _read_origin
    return read(text, origin is None)


def refusal_id(decision: Decision) -> str | None:
    """The id of a refused call; None unless the secret of an access token matched.

    Equal to the one that the registry makes of the call as it was counted.
    """
    grant, call = decision.grant, decision.call
    if grant is None or decision.reason is Reason.allowed or not grant.id.startswith(OBSERVED):
        return None
    permission = call.permission
    if permission is not None and len(permission) > LONGEST_PERMISSION:
        permission = None
    return _kept_id(
        grant.digest,
        decision.reason,
        permission,
        call.route if type(call.route) is CatalogueRoute else None,
        call.address,
        observed_origin(call.origin, call.referer),
        decision.at // DAY_MS,
    )


# A caller that is refused repeats itself. All parts are bounded in size.
@lru_cache(_IDS_KEPT)
def _kept_id(
    digest: bytes,
    reason: Reason,
    permission: str | None,
    route: CatalogueRoute | None,
    address: bytes | None,
    origin: str | None,
    day: int,
) -> str:
    names = needed(permission, None if route is None else route.permission)
    text = None if address is None else format_address(address)
    return decision_id(digest, observe(reason, names, route, text, origin), day * DAY_MS)


def decision_id(digest: bytes, call: ObservedCall, at: int) -> str:
    """The id of the refusal of a call: the same on every node and embedded verifier that day.

    It is a name, no credential: it opens nothing, and only who knows the digest can make it.

    Args:
        digest: of the token, as stored.
        at: when the call was refused, in Unix ms.
    """
    fields = (
        _VERSION,
        call.reason,
        " ".join(call.needed),
        call.route or "",
        call.method or "",
        call.address or "",
        call.origin or "",
        str(at // DAY_MS),
    )
    message = b"".join(
        len(field).to_bytes(4, "big") + field for field in (text.encode() for text in fields)
    )
    number = int.from_bytes(hmac.digest(digest, message, "sha256"), "big")
    return _ID_PREFIX + base62(number % 62**_ID_CHARACTERS, _ID_CHARACTERS)


def _read_origin(text: str, of_referer: bool) -> str | None:
    if of_referer:
        found = origin_of_referer(text)
    else:
        parsed = parse_origin(text)
        found = None if parsed is None else str(parsed)
    return None if found is None or len(found) > LONGEST_ORIGIN else found


_kept_origin = lru_cache(_ORIGINS_KEPT)(_read_origin)
