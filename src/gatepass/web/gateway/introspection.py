"""``POST /v1/introspect``: OAuth 2.0 Token Introspection (RFC 7662), for resource servers that
speak it already.

It says whether a token is valid here and now (checks 1 to 8), not whether it may do something; that
is ``/v1/verify``. A token that is introspected isn't used: it is neither counted nor observed.
"""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from gatepass.core.decision import introspect
from gatepass.core.networks import parse_address
from gatepass.core.reason import Reason
from gatepass.verify.verifier import Verifier
from gatepass.web.gateway.reply import JSON, Reply
from gatepass.web.problems import Problem

INTROSPECT: Final = "/v1/introspect"

_FIELDS: Final = ("token", "address", "origin", "referer")
_MOST_FIELDS = 100
_INACTIVE: Final = b'{"active":false}'


def answer(verifier: Verifier, body: bytes, companies: frozenset[str] | None) -> Reply:
    """Answer a request whose verifier key has been checked.

    Args:
        body: the form.
        companies: the ids of those that the key is limited to; None is no limit.

    Raises:
        Unavailable: no decision is possible now.
    """
    fields = _read(body)
    if fields is None:
        detail = "Must be a form with one token, and address, origin and referer at most once."
        return Reply.of(Problem(400, "invalid_request", detail))
    token, address, origin, referer = fields
    decision, _ = verifier.judge(
        token or Reason.token_invalid,
        address=None if address is None else parse_address(address),
        origin=origin,
        referer=referer,
        rule=partial(introspect, companies),
        counted=False,
    )
    grant = decision.grant
    reason = decision.reason.value
    if not decision.allowed or grant is None:
        return Reply(200, JSON, _INACTIVE, None if grant is None else grant.id, reason)
    members: dict[str, Any] = {
        "active": True,
        "scope": " ".join(decision.effective),
        "client_id": grant.id,
        "sub": grant.user,
        "token_type": "Bearer",
        "kind": grant.kind,
        "company": grant.company,
    }
    if grant.issued_at is not None:
        members["iat"] = grant.issued_at
    if grant.expires_at is not None:
        members["exp"] = grant.expires_at // 1000
    return Reply(200, JSON, msgspec.json.encode(members), grant.id, reason)


def bearer_of_basic(authorization: Sequence[str | None]) -> Sequence[str | None]:
    """Header lines in which the password of each ``Basic`` is a bearer.

    Resource servers send their credential so, form-encoded or as it is (RFC 6749, 2.3.1); the user
    name doesn't matter.
    """
    return [value and _bearer(value) for value in authorization]


def _bearer(value: str) -> str | None:
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return value
    try:
        text = b64decode(encoded.strip(" "), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    # Keys have an underscore, which some clients encode, and nothing that decoding would change.
    return f"Bearer {unquote_plus(text.partition(':')[2])}"


def _read(body: bytes) -> tuple[str | None, ...] | None:
    """The fields of a form; None if it can't be read in one way only."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        return None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found and name in _FIELDS:
            return None
        found[name] = value
    return tuple(map(found.get, _FIELDS)) if "token" in found else None
