"""Header lines of a request, read from an ASGI scope or a WSGI environ."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

#: The values of a header's lines in order, by its lower-case name. A line with bytes outside ASCII
#: is None: garbage, and never "absent".
Lines = Callable[[str], Sequence[str | None]]


def asgi_lines(scope: Mapping[str, Any]) -> Lines:
    """The header lines of an ASGI connection."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]

    def lines(name: str) -> list[str | None]:
        wanted = name.encode()
        return [
            value.decode("ascii") if value.isascii() else None
            for key, value in headers
            if key.lower() == wanted
        ]

    return lines


def wsgi_lines(environ: Mapping[str, Any]) -> Lines:
    """The header lines of a WSGI request; servers join repeated lines, so at most one each."""

    def lines(name: str) -> list[str | None]:
        value: str | None = environ.get("HTTP_" + name.upper().replace("-", "_"))
        if value is None:
            return []
        return [value if value.isascii() else None]

    return lines
