"""Which path the guarded application will route on, or that this can't be told.

The way round a guard is a path that guard and application read differently. A server hands over the
path decoded, which applications route on, and mostly as it came, too, which shows what was encoded.
Only where the two say the same thing is there a path to match.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes


def asgi_path(scope: Mapping[str, Any]) -> str | None:
    """The path of an ASGI request below its ``root_path``, as :func:`path_below` says."""
    path: str = scope["path"]
    raw: bytes | None = scope.get("raw_path")
    root: str = scope.get("root_path", "")
    if root and path.startswith(root):
        path = path[len(root) :]
    else:
        # Servers differ in whether the path contains the root; frameworks look, as here.
        root = ""
    return path_below(root, path, None if raw is None else raw.decode("latin-1"))


def wsgi_path(environ: Mapping[str, Any]) -> str | None:
    """The path of a WSGI request below its ``SCRIPT_NAME``, as :func:`path_below` says."""
    try:
        # PEP 3333: bytes, each written as the character of that number.
        root = environ.get("SCRIPT_NAME", "").encode("latin-1").decode("utf-8")
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
    return path_below(root, path, wsgi_target(environ))


def wsgi_target(environ: Mapping[str, Any]) -> str | None:
    """The request's target as it came, if the server tells it.

    WSGI itself keeps only the decoded path. Gunicorn tells the target as ``RAW_URI``, uWSGI and
    mod_wsgi as ``REQUEST_URI``. Both names lie outside of what a client's headers can set.
    """
    target: str | None = environ.get("RAW_URI")
    return environ.get("REQUEST_URI") if target is None else target


def path_below(root: str, path: str, target: str | None) -> str | None:
    """The path to match, percent-encoded as it came, for ``Routes.match``.

    Args:
        root: where the application is mounted; may be part of *target*, or was left out before.
        path: what the application routes on: below the root, decoded.
        target: path and query as they came; None where that can't be told. What the application
            sees is all there is to match then. So ``/a%2Fb`` is ``/a/b`` for both.

    Returns:
        None where *path* and *target* don't say the same thing (an encoded slash, a server or proxy
        that folds or rewrites, a target with scheme and host), or the root ends within a segment.
    """
    if path[:1] != "/":
        return None
    if target is None:
        return quote(path, errors="surrogatepass")
    encoded = target.partition("?")[0]
    decoded = unquote_to_bytes(encoded)
    for mount in {"", root}:
        whole = mount + path
        # An encoded slash makes the two fall into segments differently.
        if decoded == _bytes(whole) and encoded.count("/") == whole.count("/"):
            return "/" + encoded.split("/", mount.count("/") + 1)[-1]
    return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
