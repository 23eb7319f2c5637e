"""Verification of ID tokens, logout tokens (OpenID Connect Core 3.1.3.7, Back-Channel 2.6) and
those that authenticate a global token revocation.

Each check refuses with a word for the log. No check is optional because a claim is missing.
"""

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gatepass.oidc.claims import Claims, read_id
from gatepass.oidc.errors import TokenRefused

#: Signature algorithms, each with the type and curve of its keys. All are asymmetric: with one that
#: isn't, a public key or the client's secret would be a signing key.
ALGORITHMS: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
#: How far the provider's clock may differ from ours.
SKEW_S = 60
#: A token is accepted for so long after it was issued.
FRESH_S = 600
LONGEST_TOKEN = 64 * 1024
_SHORTEST_RSA_BITS = 2048
_MOST_KEYS = 100
_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_PUBLIC_PARTS = {
    "RSA": ("kty", "n", "e"),
    "EC": ("kty", "crv", "x", "y"),
    "OKP": ("kty", "crv", "x"),
}

_Key = RSAKey | ECKey | OKPKey


class UnknownKey(Exception):
    """No key of the set fits a token: the set may be outdated."""


@dataclass(frozen=True, slots=True)
class Logout:
    """What a logout token says.

    Attributes:
        subject, session: at least one is given.
        token_id: of the token, which may be used once.
    """

    subject: str | None
    session: str | None
    token_id: str


def id_token_claims(
    text: str, keys: Sequence[Any], *, issuer: str, client: str, nonce: str, now_s: float
) -> Claims:
    """The claims of an ID token.

    Args:
        keys: of the provider's JWK set.
        nonce: of the request that the token answers.
        now_s: Unix time in seconds.

    Raises:
        UnknownKey: the token names a key that isn't in *keys*.
        TokenRefused: any check fails.
    """
    claims = _verified(text, keys, ("JWT", None))
    _check_common(claims, issuer, client, now_s)
    # Written so that NaN, which JSON parsers accept, fails.
    if not now_s - SKEW_S < _time(claims, "exp"):
        raise TokenRefused("expired")
    given = claims.get("nonce")
    if not isinstance(given, str) or not given.isascii():
        raise TokenRefused("nonce")
    if not hmac.compare_digest(given, nonce):
        raise TokenRefused("nonce")
    if read_id(claims, "sub") is None:
        raise TokenRefused("subject")
    return claims


def read_logout(
    text: str, keys: Sequence[Any], *, issuer: str, client: str, now_s: float
) -> Logout:
    """What a logout token says. The caller must see to it that it is used once.

    Raises:
        UnknownKey, TokenRefused: as ``id_token_claims`` says.
    """
    claims = _verified(text, keys, ("LOGOUT+JWT", "APPLICATION/LOGOUT+JWT"))
    _check_common(claims, issuer, client, now_s)
    if "exp" in claims and not now_s - SKEW_S < _time(claims, "exp"):
        raise TokenRefused("expired")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT_EVENT), dict):
        raise TokenRefused("events")
    if "nonce" in claims:
        # Else an ID token could be passed off as a logout token.
        raise TokenRefused("nonce")
    subject, session = read_id(claims, "sub"), read_id(claims, "sid")
    token_id = read_id(claims, "jti")
    if token_id is None:
        raise TokenRefused("jti")
    if subject is None and session is None:
        raise TokenRefused("subject")
    return Logout(subject, session, token_id)


def read_revocation(
    text: str, keys: Sequence[Any], *, issuer: str, endpoint: str, now_s: float
) -> str:
    """The id of a token that authenticates a global token revocation; it may be used once.

    Args:
        endpoint: the URL that must be its audience.

    Raises:
        UnknownKey, TokenRefused: as ``id_token_claims`` says.
    """
    claims = _verified(text, keys, ("GLOBAL-TOKEN-REVOCATION+JWT",))
    _check_common(claims, issuer, endpoint, now_s)
    if not now_s - SKEW_S < _time(claims, "exp"):
        raise TokenRefused("expired")
    token_id = read_id(claims, "jti")
    if token_id is None:
        raise TokenRefused("jti")
    return token_id


def _verified(text: str, keys: Sequence[Any], types: tuple[str | None, ...]) -> Claims:
    """The claims, after the signature was verified with one of the provider's keys."""
    if len(text) > LONGEST_TOKEN or not text.isascii():
        raise TokenRefused("malformed")
    try:
        token = jws.extract_compact(text.encode(), registry=_REGISTRY)
        header = token.headers()
    except (JoseError, ValueError, TypeError, RecursionError):
        raise TokenRefused("malformed") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused("algorithm")
    if "crit" in header or "b64" in header:
        # Extensions that change the meaning of a token; we implement none.
        raise TokenRefused("extension")
    kind = header.get("typ")
    if (kind.upper() if isinstance(kind, str) else kind) not in types:
        raise TokenRefused("type")
    candidates = _fitting(keys, algorithm, header.get("kid"))
    if not candidates:
        raise UnknownKey
    if not any(_signed(token, key, algorithm) for key in candidates):
        raise TokenRefused("signature")
    try:
        claims = json.loads(token.payload or b"")
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise TokenRefused("malformed")
    return claims


def _signed(token: jws.CompactSignature, key: _Key, algorithm: str) -> bool:
    try:
        return jws.validate_compact(token, key, algorithms=[algorithm], registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False


def _fitting(keys: Sequence[Any], algorithm: str, key_id: object) -> list[_Key]:
    """The keys that may have signed: of the right type, for signatures, with the token's id."""
    kind, curve = ALGORITHMS[algorithm]
    fitting = []
    for key in keys[:_MOST_KEYS]:
        if not isinstance(key, dict) or key.get("kty") != kind or key.get("crv") != curve:
            continue
        if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
            continue
        if key_id is not None and key.get("kid") != key_id:
            continue
        imported = _imported(key, kind)
        if imported is not None:
            fitting.append(imported)
    # Without an id, a token must leave no choice (OpenID Connect Core 10.1).
    return fitting if key_id is not None or len(fitting) == 1 else []


def _imported(key: dict[str, Any], kind: str) -> _Key | None:
    public = {name: key.get(name) for name in _PUBLIC_PARTS[kind]}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    try:
        if kind == "RSA":
            rsa = RSAKey.import_key(public)  # type: ignore[arg-type]
            return rsa if rsa.public_key.key_size >= _SHORTEST_RSA_BITS else None
        return (ECKey if kind == "EC" else OKPKey).import_key(public)  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError):
        return None


def _check_common(claims: Claims, issuer: str, client: str, now_s: float) -> None:
    if claims.get("iss") != issuer:
        raise TokenRefused("issuer")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client not in audiences:
        raise TokenRefused("audience")
    if claims.get("azp", client) != client or (len(audiences) > 1 and "azp" not in claims):
        # Issued to another client, though we are among its audiences.
        raise TokenRefused("authorized_party")
    issued = _time(claims, "iat")
    if not now_s - FRESH_S - SKEW_S < issued < now_s + SKEW_S:
        raise TokenRefused("issued_at")
    if "nbf" in claims and not _time(claims, "nbf") < now_s + SKEW_S:
        raise TokenRefused("not_before")


def _time(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused({"exp": "expired", "iat": "issued_at"}.get(name, name))
    return value


class _Registry(jws.JWSRegistry):
    """Header and algorithm rules: only ours apply, and sizes are bounded by ``LONGEST_TOKEN``."""

    max_header_length = 4096
    max_payload_length = LONGEST_TOKEN
    max_signature_length = 4096


_REGISTRY = _Registry(algorithms=list(ALGORITHMS), strict_check_header=False)
