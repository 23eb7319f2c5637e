"""CSS, scripts (minified) and images, at addresses that change with their content.

Browsers may therefore cache them forever, and never combine an old script with a new page. The
files are read once, at import, so that no path in a request reaches the file system.
"""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

import rjsmin
from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOREVER = "public, max-age=31536000, immutable"


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]


def _read() -> dict[str, bytes]:
    entries = sorted((files("gatepass.web.pages") / "static").iterdir(), key=lambda each: each.name)
    found = [each for each in entries if _suffix(each.name) in _MEDIA_TYPES]
    # password.js uses the server's own list.
    found.append(files("gatepass.registry.authentication") / "common-passwords.txt")
    return {each.name: _content(each) for each in found}


def _content(file: Traversable) -> bytes:
    if _suffix(file.name) == ".js":
        return bytes(rjsmin.jsmin(file.read_bytes()))
    return file.read_bytes()


_FILES = _read()
# One version for all files, so that modules can import each other by relative address.
_VERSION = hashlib.sha256(
    b"".join(name.encode() + b"\0" + content + b"\0" for name, content in _FILES.items())
).hexdigest()[:16]

router = APIRouter(include_in_schema=False)


def static(name: str) -> str:
    """The address of the file *name*.

    Raises:
        KeyError: there is no such file.
    """
    _ = _FILES[name]
    return f"/static/{_VERSION}/{name}"


@router.get("/static/{version}/{name}")
def static_file(version: str, name: str) -> Response:
    """One file. Under the address of another version, it must not be cached."""
    content = _FILES.get(name)
    if content is None:
        return Response("There is no such file.", 404, media_type="text/plain")
    return Response(
        content,
        media_type=_MEDIA_TYPES[_suffix(name)],
        headers={
            "Cache-Control": _FOREVER if version == _VERSION else "no-store",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        },
    )


@router.get("/favicon.ico")
def favicon() -> Response:
    """For clients that ignore the page's ``<link rel="icon">``."""
    return RedirectResponse(static("mark.svg"), 308)
