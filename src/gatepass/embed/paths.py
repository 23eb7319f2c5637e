"""The path that the guarded application routes on, or None where that is ambiguous.

A path that guard and application parse differently bypasses the guard. A server passes the path
decoded, which applications route on, and mostly also as received, which shows what was encoded.
There is a path to match only where the two agree.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes


def asgi_path(scope: Mapping[str, Any]) -> str | None:
    """The path of an ASGI request below its ``root_path``; see :func:`path_below`."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root):
        path = path[len(root) :]
    else:
        # Servers differ in whether the path contains the root; frameworks check it as well.
        root = ""
    return path_below(root, path, asgi_target(scope))


def asgi_target(scope: Mapping[str, Any]) -> str | None:
    """The path of an ASGI request as received; None where the server doesn't pass it."""
    raw: bytes | None = scope.get("raw_path")
    return None if raw is None else raw.decode("latin-1")


def wsgi_path(environ: Mapping[str, Any]) -> str | None:
    """The path of a WSGI request below its ``SCRIPT_NAME``; see :func:`path_below`."""
    try:
        # PEP 3333: the bytes, decoded as Latin-1.
        root = environ.get("SCRIPT_NAME", "").encode("latin-1").decode("utf-8")
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
    return path_below(root, path, wsgi_target(environ))


def wsgi_target(environ: Mapping[str, Any]) -> str | None:
    """The target of a WSGI request as received; None where the server doesn't pass it.

    WSGI itself has only the decoded path. Gunicorn passes the target as ``RAW_URI``, uWSGI and
    mod_wsgi as ``REQUEST_URI``. A client's headers can't set either name.
    """
    target: str | None = environ.get("RAW_URI")
    return environ.get("REQUEST_URI") if target is None else target


def path_below(root: str, path: str, target: str | None) -> str | None:
    """The path to match, percent-encoded as received, for ``Routes.match``.

    Args:
        root: the prefix under which the application is mounted; *target* may include it or not.
        path: that the application routes on: below the root, decoded.
        target: path and query as received, or None. Without it, guard and application both see the
            decoded path alone: ``/a%2Fb`` is ``/a/b`` for both.

    Returns:
        None where *path* and *target* differ (an encoded slash, a server or proxy that folds or
        rewrites paths, a target with scheme and host), or the root ends within a segment.
    """
    if path[:1] != "/":
        return None
    if target is None:
        return quote(path, errors="surrogatepass")
    encoded = target.partition("?")[0]
    decoded = unquote_to_bytes(encoded)
    for mount in {"", root}:
        whole = mount + path
        # An encoded slash would give the two different segments.
        if decoded == _bytes(whole) and encoded.count("/") == whole.count("/"):
            return "/" + encoded.split("/", mount.count("/") + 1)[-1]
    return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
