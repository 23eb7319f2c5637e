"""Which path the guarded application will route on, or that this can't be told.

The way round a guard is a path that guard and application read differently. An ASGI server hands
over the path decoded (``path``, which applications route on) and mostly as it came (``raw_path``,
which shows what was encoded); a mount says which beginning of it to leave out (``root_path``).
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes


def routed_path(scope: Mapping[str, Any]) -> str | None:
    """The path below ``root_path``, percent-encoded as it came, for ``Routes.match``.

    Returns:
        None where raw and decoded path don't say the same thing, or the root ends within a segment.
    """
    path: str = scope["path"]
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        # What was encoded can't be told; what the application sees then is all there is to match.
        encoded = quote(path, errors="surrogatepass")
    else:
        encoded = raw.partition(b"?")[0].decode("latin-1")
        # An encoded slash makes the two fall into segments differently.
        if unquote_to_bytes(encoded) != path.encode("utf-8", "surrogatepass") or (
            encoded.count("/") != path.count("/")
        ):
            return None
    root: str = scope.get("root_path", "")
    if not root or not path.startswith(root):
        # Servers differ in whether the path contains the root; frameworks look, as here.
        return encoded
    below = path[len(root) :]
    if below[:1] != "/":
        return None
    return "/" + encoded.split("/", root.count("/") + 1)[-1]
