"""What a client may try at a gateway, as data: each request, and what must come of it.

In headers, ``{token}`` stands for the text of a token that may make all calls of ``CATALOGUE``, and
other names in braces for others of ``TOKENS``. Clients are at ``CLIENT``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Not a trusted proxy, unlike the gateway.
CLIENT: Final = "127.0.0.2"
#: What forged headers say; nothing that reaches the API may have it.
FORGED: Final = "forged"
ELSEWHERE: Final = "203.0.113.9"

CATALOGUE: Final = """
permissions:
  charges:create:   {routes: ["POST /v1/charges"]}
  charges:get:      {routes: ["GET /v1/charges/{id}"]}
  charges:search:   {routes: ["GET /v1/charges"]}
  charges:discover: {routes: ["OPTIONS /v1/discovery"]}
"""
#: Fields of the tokens.
TOKENS: Final[Mapping[str, Mapping[str, Any]]] = {
    "token": {},
    "narrow": {"permissions": ["charges:search"]},
    "here": {"networks": [f"{CLIENT}/32"]},
    "elsewhere": {"networks": [f"{ELSEWHERE}/32"]},
    "ui": {"kind": "ui", "domains": ["shop.example.com"]},
    "deactivated": {},
}
IDENTITY: Final = ("token", "company", "user", "owner", "external", "kind", "permissions")

#: The call reaches the API once, as it was sent, with the caller's identity alone.
ALLOWED: Final = "allowed"
#: Not by Gatepass or not for one reason: any 4xx.
REFUSED: Final = "refused"
#: One of both: what reaches the API is ``GET /v1/charges`` in some spelling.
DECIDED: Final = "refused, or decided as the API reads it"
#: The gateway answers a preflight itself.
PREFLIGHT: Final = "preflight"

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Probe:
    """A request of a client.

    Attributes:
        outcome: one of the above, or the reason of Gatepass's refusal.
        token: of ``TOKENS``, sent as a bearer; "" sends none.
    """

    name: str
    outcome: str
    token: str = "token"
    headers: Headers = ()
    method: str = "GET"
    target: str = "/v1/charges"
    body: bytes = b""


def _forged(*spellings: str) -> Headers:
    """Our own headers in the *spellings* of ``X-Gatepass-``."""
    return tuple(
        (spelling.format(name), FORGED)
        for spelling in spellings
        for name in (*IDENTITY, "reason", "help")
    )


#: Every gateway's sources of the call, naming one that the narrow token may make.
_SOURCES: Final[Headers] = (
    ("X-Original-URI", "/v1/charges"),
    ("X-Original-URL", "http://a.example/v1/charges"),
    ("X-Original-Method", "GET"),
    ("X-Forwarded-Uri", "/v1/charges"),
    ("X-Forwarded-Method", "GET"),
)
#: Likewise, naming one that it may not make.
_OTHER_SOURCES: Final[Headers] = tuple(
    (name, value.replace("/v1/charges", "/v1/refunds").replace("GET", "DELETE"))
    for name, value in _SOURCES
)
_UNDERSCORED: Final = tuple((name.replace("-", "_"), value) for name, value in _SOURCES)
#: All that a name may have besides letters, digits, hyphens, underscores and dots (RFC 9110).
_ODD: Final = "!#$%&'*+^`|~"
_ORIGIN: Final = ("Origin", "https://shop.example.com")
_ASKS: Final = ("Access-Control-Request-Method", "DELETE")
#: What frameworks read as another method or path.
_OVERRIDES: Final[Headers] = (
    *(
        (name, "DELETE")
        for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method")
    ),
    *(("X_HTTP_Method_Override", "DELETE"), ("X-HTTP.Method-Override", "DELETE")),
    *((name, f"/{FORGED}") for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix")),
    *(("X-Script-Name", f"/{FORGED}"), ("SCRIPT_NAME", f"/{FORGED}")),
)

PROBES: Final = (
    Probe("a GET", ALLOWED),
    Probe("a query", ALLOWED, target="/v1/charges?a=b&c=%2F..%2F&c="),
    Probe("a HEAD", ALLOWED, method="HEAD"),
    Probe("a POST with a body", ALLOWED, method="POST", body=b"a body"),
    Probe("the token in its own header", ALLOWED, "", (("x-access-token", "{token}"),)),
    Probe("no token", "token_missing", ""),
    Probe("rubbish for a token", "token_invalid", "", (("Authorization", "Bearer rubbish"),)),
    Probe("two tokens", REFUSED, headers=(("Authorization", "Bearer {narrow}"),)),
    Probe("a deactivated token", "token_deactivated", "deactivated"),
    Probe("no permission", "permission_missing", "narrow", target="/v1/charges/1"),
    Probe("no permission for the method", "permission_missing", "narrow", method="POST"),
    Probe("no route", "route_unknown", target="/v1/nothing"),
    Probe("a method without a route", "route_unknown", method="DELETE"),
    Probe("the client's network", ALLOWED, "here"),
    Probe("another network", "address_not_allowed", "elsewhere"),
    Probe("a claimed address", "address_not_allowed", "elsewhere", (
        ("X-Forwarded-For", ELSEWHERE), ("X-Real-IP", ELSEWHERE), ("Forwarded", f"for={ELSEWHERE}"),
    )),
    Probe("a claimed address, underscored", "address_not_allowed", "elsewhere",
          (("X_Forwarded_For", ELSEWHERE),)),
    Probe("a claimed address on an allowed call", ALLOWED, "here", (
        ("X-Forwarded-For", ELSEWHERE), ("X-Forwarded-For", ELSEWHERE),
        ("X_Forwarded_For", ELSEWHERE), ("X.Forwarded.For", ELSEWHERE),
    )),
    Probe("a page's origin", ALLOWED, "ui", (_ORIGIN,)),
    Probe("a foreign origin", "origin_not_allowed", "ui", (("Origin", "https://evil.example"),)),
    Probe("no origin", "origin_missing", "ui"),
    Probe("a claimed host of its own", REFUSED, "ui", (
        ("Sec-Fetch-Site", "same-origin"), ("X-Forwarded-Host", "shop.example.com"),
    )),
    Probe("all sources, for another call", ALLOWED, "narrow", _OTHER_SOURCES),
    Probe("all sources", "permission_missing", "narrow", _SOURCES, target="/v1/charges/1"),
    Probe("all sources, another method", "permission_missing", "narrow", _SOURCES, "POST"),
    Probe("all sources twice", "permission_missing", "narrow", _SOURCES * 2, "POST"),
    Probe("all sources with underscores", "permission_missing", "narrow", _UNDERSCORED, "POST"),
    Probe("all sources listed in Connection", "permission_missing", "narrow", (
        *_SOURCES, ("Connection", ", ".join(name for name, _ in _SOURCES)),
    ), "POST"),
    Probe("the gateway's own headers listed in Connection", DECIDED, headers=(
        ("Connection", "X-Forwarded-For, X-Original-URI, X-Forwarded-Uri, X-Forwarded-Method"),
    )),
    Probe("the caller listed in Connection", DECIDED, headers=(
        ("Connection", ", ".join(f"X-Gatepass-{name}" for name in IDENTITY)),
    )),
    Probe("the token listed in Connection", DECIDED, headers=(("Connection", "Authorization"),)),
    Probe("a forged caller", ALLOWED, headers=_forged("X-Gatepass-{}", "x-GATEPASS-{}")),
    Probe("a forged caller with underscores", ALLOWED,
          headers=_forged("X_Gatepass_{}", "X-Gatepass_{}", "x_GATEPASS-{}")),
    Probe("a forged caller with dots", ALLOWED,
          headers=_forged("X.Gatepass.{}", "X-Gatepass.{}", "x.GATEPASS-{}")),
    Probe("a forged caller with other separators", ALLOWED, headers=tuple(
        (f"X{one}Gatepass{each}User", FORGED) for each in _ODD for one in (each, "-")
    )),
    Probe("another method or path for a framework", ALLOWED, headers=_OVERRIDES),
    Probe("the token under other names", ALLOWED, headers=(
        ("X_Access_Token", "{token}"), ("X.Access-Token", "{token}"),
    )),
    Probe("Gatepass's own endpoints", REFUSED, "narrow", _SOURCES, target="/authz/nginx"),
    Probe("Gatepass's own endpoints, behind dots", REFUSED, "narrow", _SOURCES,
          target="/v1/../authz/forward"),
    Probe("a preflight", PREFLIGHT, "", (_ORIGIN, _ASKS)),
    Probe("a preflight with a forged caller", PREFLIGHT, "",
          (_ORIGIN, _ASKS, *_forged("X-Gatepass-{}"))),
    Probe("an OPTIONS without Origin", "token_missing", "", (_ASKS,), "OPTIONS"),
    Probe("an OPTIONS that asks for no method", "token_missing", "", (_ORIGIN,), "OPTIONS"),
    Probe("an OPTIONS with a route", ALLOWED, method="OPTIONS", target="/v1/discovery"),
    *(
        Probe(f"the path {target}", DECIDED, "narrow", target=target)
        for target in (
            "/v1/charges/", "/v1//charges", "//v1/charges", "/v1/./charges", "/v1/%63harges",
            "/v1/charges/1/../../charges", "/v1/refunds/../charges", "/v1/charges/../refunds",
            "/v1/refunds/%2e%2e/charges", "/v1/charges/%2e%2e/refunds",
            "/v1/refunds%2F..%2Fcharges", "/v1/charges%2F..%2Frefunds",
            "/v1%2Fcharges", "/v1/charges;a=/../refunds",
            "/v1/refunds;/../charges", "/v1/charges%3Fa", "/v1/charges%23", "/v1/charges%00",
            "/v1\\charges", "/v1/refunds/..\\charges", "/v1/charges%252F..", "/../v1/charges",
            "http://a.example/v1/charges", "http://a.example/v1/refunds",
        )
    ),
)  # fmt: skip
