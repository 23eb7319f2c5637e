"""Cross-origin calls from browsers (the Fetch standard's CORS), where the middleware sees to them.

``*`` is right here, and nothing narrower would protect anyone: no cookie or other ambient
credential ever counts, a page must bring a token itself, and where a token may be used its domains
say, call by call. Refusals are readable too, so that a page can show why.
"""

import re
from collections.abc import Iterable, Sequence

from gatepass.embed.gate import Lines

_ALLOW_ORIGIN = "access-control-allow-origin"
_ANY_ORIGIN = (_ALLOW_ORIGIN, "*")
# A wildcard would not cover Authorization.
_ALWAYS_ALLOWED = ("authorization", "x-access-token", "content-type")
_LONGEST_LIST = 4_096

# RFC 9110, 5.6.2: what a method and a header's name consist of.
_token = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
# Visible ASCII; a comma would be a second origin, joined to the first.
_one_origin = re.compile(r"[!-+.-~-]+").fullmatch


def preflight_answer(
    method: str, lines: Lines, methods: Sequence[str]
) -> list[tuple[str, str]] | None:
    """The headers of a preflight's answer, 204; None for any other call.

    A browser asks without a token whether it may make a call. The call itself is what gets decided.
    Whatever else comes as OPTIONS is decided like any call: nobody may choose a method that isn't.

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


def readable_by_any_page(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """What to add to an answer's headers so that a page can read it; *names* are those it has.

    Nothing where the application already says who may.
    """
    if any(name.lower() == _ALLOW_ORIGIN for name in names):
        return ()
    return (_ANY_ORIGIN, ("access-control-expose-headers", "www-authenticate"))


def _names(lines: Sequence[str | None]) -> list[str] | None:
    """The header names that a page asks for, in lower case; None if one of them is no name."""
    if sum(len(line or "") for line in lines) > _LONGEST_LIST:
        return None
    names = []
    for line in lines:
        for name in (part.strip(" \t") for part in (line or "\0").split(",")):
            if name and not _token(name):
                return None
            names.append(name.lower())
    return [name for name in names if name]
