"""Cross-origin calls from browsers (the Fetch standard's CORS), where the middleware sees to them.

``*`` is right here, and nothing narrower would protect anyone: no cookie or other ambient
credential ever counts, a page must bring a token itself, and where a token may be used its domains
say, call by call. Refusals are readable too, so that a page can show why.
"""

from collections.abc import Iterable

from gatepass.embed.gate import Lines

_ALLOW_ORIGIN = "access-control-allow-origin"
_ANY_ORIGIN = (_ALLOW_ORIGIN, "*")

#: A preflight's answer, 204: the call may be made; the call itself is what gets decided.
PREFLIGHT = (
    _ANY_ORIGIN,
    ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
    # A wildcard would not cover Authorization.
    ("access-control-allow-headers", "authorization, x-access-token, content-type"),
    ("access-control-max-age", "600"),
)


def is_preflight(method: str, lines: Lines) -> bool:
    """Whether a browser asks if it may make a call. Carries no token by design."""
    return method == "OPTIONS" and all(
        len(lines(name)) for name in ("origin", "access-control-request-method")
    )


def readable_by_any_page(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """What to add to an answer's headers so that a page can read it; *names* are those it has.

    Nothing where the application already says who may.
    """
    if any(name.lower() == _ALLOW_ORIGIN for name in names):
        return ()
    return (_ANY_ORIGIN, ("access-control-expose-headers", "www-authenticate"))
