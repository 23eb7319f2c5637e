"""An OIDC provider in this process, which can be made to lie in every way."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from gatepass.log_limit import LogLimit
from gatepass.oidc.fetching import Fetching
from gatepass.oidc.provider import Provider
from gatepass.settings import RoleMapping

ISSUER = "https://login.example.com"
CLIENT = "gatepass"
SECRET = "the client's secret"
SECRET_ENCODED = "the+client%27s+secret"
SETTINGS: dict[str, Any] = {
    "oidc_issuer": ISSUER,
    "oidc_client_id": CLIENT,
    "oidc_client_secret": SECRET,
    "oidc_company": "analytical ENGINES",
    "oidc_role_claim": "groups",
    "oidc_roles": (RoleMapping("boss", "Admin"), RoleMapping("staff", "Manager")),
}
EVENT = "http://schemas.openid.net/event/backchannel-logout"

Claims = dict[str, Any]
Sign = Callable[[Claims], str]


@cache
def rsa_key(name: str, bits: int = 2048) -> RSAKey:
    """A key, generated once."""
    return RSAKey.generate_key(bits, {"kid": name, "use": "sig"})


@cache
def ec_key(name: str) -> ECKey:
    """A key, generated once."""
    return ECKey.generate_key("P-256", {"kid": name, "use": "sig"})


def signed(claims: Claims, key: Any, algorithm: str = "RS256", **header: Any) -> str:
    """A token; header members with the value None are left out."""
    protected = {"alg": algorithm, "kid": getattr(key, "kid", None), "typ": "JWT"} | header
    protected = {name: value for name, value in protected.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jws.serialize_compact(
        protected, json.dumps(claims), key, algorithms=[algorithm], registry=registry
    )


def unsigned(claims: Claims) -> str:
    """A token without a signature, of the algorithm ``none``."""
    return _input({"alg": "none", "typ": "JWT"}, claims) + "."


def with_hmac(claims: Claims, secret: bytes) -> str:
    """A token of HS256, by hand: the library refuses a public key as the secret."""
    text = _input({"alg": "HS256", "kid": "one", "typ": "JWT"}, claims)
    return f"{text}.{_base64(hmac.digest(secret, text.encode(), 'sha256'))}"


def with_header(claims: Claims, key: RSAKey, **header: Any) -> str:
    """A token with header members that the library refuses to write."""
    text = _input({"alg": "RS256", "kid": "one", "typ": "JWT"} | header, claims)
    private = key.private_key
    assert private is not None
    return f"{text}.{_base64(private.sign(text.encode(), PKCS1v15(), SHA256()))}"


def _input(header: Claims, claims: Claims) -> str:
    return f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class ProviderDouble:
    """The provider.

    Attributes:
        claims: of the user who signs in.
        metadata: changes of the metadata; None removes a member.
        answer: extra parameters of the authorization response.
        keys: the published keys.
        sign: makes ID tokens.
        respond: answers requests in its place, if it returns a response.
        asked: the paths of all requests.
        checks_challenge: whether it insists on PKCE.
    """

    def __init__(self) -> None:
        self.now: Callable[[], float] = time.time
        self.claims: Claims = {
            "sub": "sub-grace",
            "email": "grace@example.com",
            "email_verified": True,
            "name": "Grace Hopper",
            "groups": ["staff"],
            "sid": "session-1",
        }
        self.metadata: Claims = {}
        self.answer: dict[str, str | None] = {}
        self.keys: list[Any] = [rsa_key("one").as_dict(private=False)]
        self.sign: Sign = lambda claims: signed(claims, rsa_key("one"))
        self.respond: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.asked: list[str] = []
        self.checks_challenge = True
        self._served: Provider | None = None
        self._codes: dict[str, dict[str, str]] = {}

    def serve(self, provider: Provider | None) -> None:
        """Answer all requests of *provider*."""
        assert provider is not None
        self._served = provider
        provider._fetching = Fetching(httpx.MockTransport(self._sent))

    def log_again(self) -> None:
        """Let the provider log what it has logged within this minute."""
        assert self._served is not None
        self._served.log_limit = LogLimit()

    def authorize(self, url: str) -> str:
        """What a browser gets that opens *url* and whose user signs in: the callback's path."""
        query = dict(parse_qsl(urlsplit(url).query))
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["client_id"] == CLIENT
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        given = {"code": code, "state": query["state"], "iss": ISSUER} | self.answer
        parameters = {name: value for name, value in given.items() if value is not None}
        return f"{urlsplit(query['redirect_uri']).path}?{urlencode(parameters)}"

    def id_claims(self, nonce: str, **changes: Any) -> Claims:
        """The claims of an ID token; those with the value None are left out."""
        now = int(self.now())
        claims = {"iss": ISSUER, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        claims |= self.claims | changes
        return {name: value for name, value in claims.items() if value is not None}

    def logout_token(self, *, key: Any = None, header: Any = None, **changes: Any) -> str:
        """A logout token; claims with the value None are left out."""
        now = int(self.now())
        claims = {
            "iss": ISSUER,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_hex(8),
            "events": {EVENT: {}},
            "sub": "sub-grace",
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        more = {"typ": "logout+jwt"} | (header or {})
        return signed(claims, key or rsa_key("one"), **more)

    def revocation_token(self, *, key: Any = None, header: Any = None, **changes: Any) -> str:
        """A token for a global token revocation; claims with the value None are left out."""
        now = int(self.now())
        claims = {
            "iss": ISSUER,
            "aud": "http://127.0.0.1:8787/v1/oidc/global-token-revocation",
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
            "sub": CLIENT,
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        more = {"typ": "global-token-revocation+jwt"} | (header or {})
        return signed(claims, key or rsa_key("one"), **more)

    def _sent(self, request: httpx.Request) -> httpx.Response:
        """The answer as it comes from a network: not read yet."""
        made = self._handle(request)
        if not made.is_stream_consumed:
            return made
        body = httpx.ByteStream(made.content)
        return httpx.Response(made.status_code, headers=made.headers, stream=body)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        instead = self.respond(request)
        if instead is not None:
            return instead
        if path == "/.well-known/openid-configuration":
            metadata = {
                "issuer": ISSUER,
                "authorization_endpoint": f"{ISSUER}/authorize",
                "token_endpoint": f"{ISSUER}/token",
                "jwks_uri": f"{ISSUER}/keys",
                "authorization_response_iss_parameter_supported": True,
            } | self.metadata
            return httpx.Response(200, json={k: v for k, v in metadata.items() if v is not None})
        if path == "/keys":
            return httpx.Response(200, json={"keys": self.keys})
        assert path == "/token"
        return self._token(request)

    def _token(self, request: httpx.Request) -> httpx.Response:
        fields = {name: value for name, (value,) in parse_qs(request.content.decode()).items()}
        basic = base64.b64encode(f"{CLIENT}:{SECRET_ENCODED}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return httpx.Response(401, json={"error": "invalid_client"})
        asked = self._codes.pop(fields["code"], None)
        verifier = hashlib.sha256(fields["code_verifier"].encode()).digest()
        challenge = _base64(verifier)
        pkce = not self.checks_challenge or (asked and asked["code_challenge"] == challenge)
        if asked is None or not pkce:
            return httpx.Response(400, json={"error": "invalid_grant"})
        assert fields["redirect_uri"] == asked["redirect_uri"]
        token = self.sign(self.id_claims(asked["nonce"]))
        return httpx.Response(200, json={"id_token": token, "access_token": "x"})
