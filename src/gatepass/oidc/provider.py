"""The configured sign-in provider: metadata and keys (cached), the code flow, logout tokens.

Never call it inside a database transaction: it waits for another server.
"""

import base64
import hashlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

from gatepass.log_limit import LogLimit
from gatepass.oidc import tokens
from gatepass.oidc.callback import CALLBACK
from gatepass.oidc.claims import Claims
from gatepass.oidc.errors import ProviderUnavailable, TokenRefused
from gatepass.oidc.fetching import Fetching
from gatepass.oidc.flow_encryption import FlowEncryption
from gatepass.oidc.tokens import Logout, UnknownKey
from gatepass.settings import Settings, is_https_or_loopback

#: How long metadata and keys are used before they are fetched again.
CACHED_S = 3600.0
#: After a failure, or for a token with an unknown key, the provider is asked again no sooner.
AGAIN_AFTER_S = 30.0
FAILED_FOR_S = 5.0
REVOCATION = "/v1/oidc/global-token-revocation"
_METADATA = "/.well-known/openid-configuration"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_SCOPES = ("openid", "email", "profile")

_log = logging.getLogger("gatepass.oidc")
T = TypeVar("T")


class Provider:
    """One per process.

    Args:
        settings: with an ``oidc_issuer``.
        now: returns the node's time in Unix ms.
        fetching: replaces the network in tests.
        monotonic: a clock in seconds, for the cache.

    Attributes:
        issuer: the URL that identifies the provider.
        flows: encrypts what a browser keeps of a flow.
        log_limit: of lines about the provider and its tokens.
    """

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], int],
        *,
        fetching: Fetching | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        assert settings.oidc_issuer
        assert settings.oidc_client_id
        assert settings.oidc_client_secret
        self.issuer = settings.oidc_issuer
        self._client = settings.oidc_client_id
        self._secret = settings.oidc_client_secret
        self.flows = FlowEncryption(issuer=self.issuer, client=self._client, secret=self._secret)
        self._role_claim = settings.oidc_role_claim
        self._redirect_uri = settings.public_url + CALLBACK
        self._revocation_endpoint = settings.public_url + REVOCATION
        self._now = now
        self._fetching = fetching or Fetching()
        self._monotonic = monotonic
        self._metadata = _Cached[dict[str, Any]]()
        self._keys = _Cached[list[Any]]()
        self.log_limit = LogLimit()

    @property
    def name(self) -> str:
        """The provider's name for people: its host."""
        return urlsplit(self.issuer).hostname or self.issuer

    async def authorization_url(
        self, *, state: str, nonce: str, verifier: str, silent: bool = True
    ) -> str:
        """The URL at which the provider signs the user in.

        Args:
            state, nonce: bind the answer and its token to this browser.
            verifier: of PKCE (RFC 7636); only its SHA-256 goes along.
            silent: whether the provider may answer at once if it remembers a user.

        Raises:
            ProviderUnavailable: its metadata can't be had.
        """
        metadata = await self._current_metadata()
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self._scopes(metadata)),
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        if not silent:
            query["prompt"] = "login"
        endpoint: str = metadata["authorization_endpoint"]
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def check_issuer(self, given: str | None) -> None:
        """Require that an answer at the callback comes from this provider (RFC 9207).

        Raises:
            TokenRefused: it names another issuer, or none although this provider always does.
            ProviderUnavailable: its metadata can't be had.
        """
        metadata = await self._current_metadata()
        always = metadata.get("authorization_response_iss_parameter_supported") is True
        if given != self.issuer and (always or given is not None):
            raise TokenRefused("issuer")

    async def redeem(self, *, code: str, verifier: str, nonce: str) -> Claims:
        """The claims of the ID token that the provider gives for *code*.

        Raises:
            TokenRefused: it refuses the code, or the token isn't accepted.
            ProviderUnavailable: it can't be reached, or its answer isn't OpenID Connect.
        """
        metadata = await self._current_metadata()
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic = None
        if isinstance(methods, list) and "client_secret_basic" in methods:
            # RFC 6749, 2.3.1: both are form-encoded first.
            basic = quote_plus(self._client), quote_plus(self._secret)
        else:
            fields |= {"client_id": self._client, "client_secret": self._secret}
        status, answer = await self._noted(
            self._fetching.post(metadata["token_endpoint"], fields, basic)
        )
        if status >= 400:
            if answer.get("error") == "invalid_client":
                raise TokenRefused("client_refused")
            raise TokenRefused("code_refused")
        text = answer.get("id_token")
        if not isinstance(text, str):
            raise TokenRefused("no_id_token")

        def read(keys: list[Any]) -> Claims:
            return tokens.id_token_claims(
                text,
                keys,
                issuer=self.issuer,
                client=self._client,
                nonce=nonce,
                now_s=self._now() / 1000,
            )

        return await self._with_keys(read)

    async def read_logout(self, text: str) -> Logout:
        """What a logout token says.

        Raises:
            TokenRefused: it isn't accepted.
            ProviderUnavailable: the provider's keys can't be had.
        """

        def read(keys: list[Any]) -> Logout:
            return tokens.read_logout(
                text, keys, issuer=self.issuer, client=self._client, now_s=self._now() / 1000
            )

        return await self._with_keys(read)

    async def read_revocation(self, text: str) -> str:
        """The id of a token that authenticates a global token revocation.

        Raises:
            TokenRefused, ProviderUnavailable: as ``read_logout`` says.
        """

        def read(keys: list[Any]) -> str:
            return tokens.read_revocation(
                text,
                keys,
                issuer=self.issuer,
                endpoint=self._revocation_endpoint,
                now_s=self._now() / 1000,
            )

        return await self._with_keys(read)

    async def _with_keys(self, read: Callable[[list[Any]], T]) -> T:
        """What *read* returns with the provider's keys, fetched again if it lacks one."""
        try:
            return read(await self._current_keys())
        except UnknownKey:
            # Bounded: anyone can send tokens that name unknown keys.
            if self._monotonic() - self._keys.asked_at < AGAIN_AFTER_S:
                raise TokenRefused("unknown_key") from None
        try:
            return read(await self._fetch_keys())
        except UnknownKey:
            raise TokenRefused("unknown_key") from None

    async def _current_metadata(self) -> dict[str, Any]:
        cached = self._metadata.current(self._monotonic())
        if cached is not None:
            return cached
        self._metadata.asked_at = self._monotonic()
        url = self.issuer.removesuffix("/") + _METADATA
        try:
            metadata = await self._noted(self._fetching.get(url))
            self._check_metadata(metadata)
        except ProviderUnavailable:
            self._metadata.failed_at = self._monotonic()
            raise
        return self._metadata.keep(metadata, self._monotonic())

    async def _current_keys(self) -> list[Any]:
        cached = self._keys.current(self._monotonic())
        return await self._fetch_keys() if cached is None else cached

    async def _fetch_keys(self) -> list[Any]:
        metadata = await self._current_metadata()
        self._keys.asked_at = self._monotonic()
        try:
            keys = (await self._noted(self._fetching.get(metadata["jwks_uri"]))).get("keys")
            if not isinstance(keys, list):
                raise self._unusable("its key set has no keys")
        except ProviderUnavailable:
            self._keys.failed_at = self._monotonic()
            raise
        return self._keys.keep(keys, self._monotonic())

    def _check_metadata(self, metadata: Mapping[str, Any]) -> None:
        if metadata.get("issuer") != self.issuer:
            raise self._unusable("its metadata names another issuer than GATEPASS_OIDC_ISSUER")
        for name in _ENDPOINTS:
            url = metadata.get(name)
            try:
                usable = isinstance(url, str) and self._is_usable(url)
            except ValueError:
                usable = False
            if not usable:
                raise self._unusable(f"{name} must be an https URL")

    def _is_usable(self, url: str) -> bool:
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and " " not in url
        # http is for a provider on this machine; another one mustn't reach what listens here.
        secure = parts.scheme == "https" or self.issuer.startswith("http:")
        named = parts.hostname and "@" not in parts.netloc
        return bool(plain and secure and named) and is_https_or_loopback(url)

    def _scopes(self, metadata: Mapping[str, Any]) -> tuple[str, ...]:
        """The scopes to ask for. Some providers give groups only to those who ask for them."""
        supported = metadata.get("scopes_supported")
        if self._role_claim == "groups" and isinstance(supported, list) and "groups" in supported:
            return (*_SCOPES, "groups")
        return _SCOPES

    async def _noted(self, answer: Any) -> Any:
        try:
            return await answer
        except ProviderUnavailable as error:
            self._log(error.why)
            raise

    def _unusable(self, why: str) -> ProviderUnavailable:
        self._log(why)
        return ProviderUnavailable(why)

    def _log(self, why: str) -> None:
        if self.log_limit.left_out(why) is not None:
            _log.error("the sign-in provider %s can't be used: %s", self.name, why)


class _Cached(Generic[T]):
    """A fetched value, and when it was asked for (seconds of a monotonic clock)."""

    def __init__(self) -> None:
        self.asked_at = -math.inf
        self.failed_at = -math.inf
        self._fetched_at = -math.inf
        self._value: T | None = None

    def current(self, now: float) -> T | None:
        """The value; None if it must be fetched.

        Raises:
            ProviderUnavailable: fetching it failed a moment ago.
        """
        if self._value is not None and now - self._fetched_at < CACHED_S:
            return self._value
        if now - self.failed_at < FAILED_FOR_S:
            raise ProviderUnavailable("it failed a moment ago")
        return None

    def keep(self, value: T, now: float) -> T:
        """Keep a value that was fetched."""
        self._value, self._fetched_at = value, now
        return value
