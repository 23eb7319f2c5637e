"""Compression of answers (gzip), for clients that accept it.

This module imports nothing but the standard library: the build of the wheel loads it by itself.
"""

import gzip
from collections.abc import Iterable

#: Added to every answer that is compressed for some clients and not for others.
VARY = "Accept-Encoding"
CODING = "gzip"
#: Levels: for what is compressed once, and for each answer.
BEST, QUICK = 9, 6


def accepts_gzip(lines: Iterable[str]) -> bool:
    """Whether a client accepts gzip, by the values of its ``Accept-Encoding`` headers (RFC 9110,
    12.5.3); not without any."""
    weights: dict[str, bool] = {}
    for item in ",".join(lines).split(","):
        coding, *parameters = (part.strip(" \t").lower() for part in item.split(";"))
        weights[coding] = not any(map(_is_zero, parameters))
    return weights.get(CODING, weights.get("*", False))


def gzipped(content: bytes, *, level: int) -> bytes:
    """*content*, compressed; the same bytes each time."""
    return gzip.compress(content, level, mtime=0)


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name == "q" and not value.strip("0.")
