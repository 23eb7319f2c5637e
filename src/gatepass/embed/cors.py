"""Cross-origin calls from browsers (CORS, by the Fetch standard), where the middleware allows them.

Any origin (``*``) is safe: no cookie or other ambient credential ever counts, a page must send a
token itself, and each call is checked against the token's domains. Pages can read refusals, too, to
show the reason.
"""

import re
from collections.abc import Iterable, Sequence

from gatepass.verify.http.header_lines import Lines

_ALLOW_ORIGIN = "access-control-allow-origin"
_ANY_ORIGIN = (_ALLOW_ORIGIN, "*")
# A wildcard would not cover Authorization.
_ALWAYS_ALLOWED = ("authorization", "x-access-token", "content-type")
_LONGEST_LIST = 4_096

# RFC 9110, 5.6.2: a method or a header's name.
_token = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
# Visible ASCII without the comma, which would join a second origin.
_one_origin = re.compile(r"[!-+.-~-]+").fullmatch


def preflight_answer(
    method: str, lines: Lines, methods: Sequence[str]
) -> list[tuple[str, str]] | None:
    """The headers of the answer to a preflight, 204; None for any other call.

    A browser sends a preflight without a token. The call that follows is the one to decide. Any
    other OPTIONS request is decided like any call, so that no method bypasses the decision.

    Args:
        methods: the methods that pages may use.
    """
    if method != "OPTIONS":
        return None
    origin, wanted = lines("origin"), lines("access-control-request-method")
    if len(origin) != 1 or not _one_origin(origin[0] or ""):
        return None
    if len(wanted) != 1 or not _token(wanted[0] or ""):
        return None
    names = _names(lines("access-control-request-headers"))
    if names is None:
        return None
    return [
        _ANY_ORIGIN,
        ("access-control-allow-methods", ", ".join(methods)),
        ("access-control-allow-headers", ", ".join(dict.fromkeys((*_ALWAYS_ALLOWED, *names)))),
        ("access-control-max-age", "600"),
        ("vary", "access-control-request-headers"),
    ]


def cors_headers(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Headers to add to an answer so that any page can read it; *names* are those it has.

    None where the application has set its own.
    """
    if any(name.lower() == _ALLOW_ORIGIN for name in names):
        return ()
    return (_ANY_ORIGIN, ("access-control-expose-headers", "www-authenticate"))


def _names(lines: Sequence[str | None]) -> list[str] | None:
    """The header names that a page asks for, in lower case; None if one of them is malformed."""
    if sum(len(line or "") for line in lines) > _LONGEST_LIST:
        return None
    names = []
    for line in lines:
        for name in (part.strip(" \t") for part in (line or "\0").split(",")):
            if name and not _token(name):
                return None
            names.append(name.lower())
    return [name for name in names if name]
