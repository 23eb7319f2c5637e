"""CSS, scripts and images, at addresses that change with their content.

Browsers may therefore cache them forever, and never combine an old script with a new page. The
files are read once, at import, so that no path in a request reaches the file system.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from gatepass.web.compression import BEST, CODING, VARY, accepts_gzip, gzipped
from gatepass.web.static_sources import imported, served

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOREVER = "public, max-age=31536000, immutable"


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]


def _directories() -> dict[str, Traversable]:
    """The directory of each file."""
    own = files("gatepass.web.pages") / "static"
    names = sorted(each.name for each in own.iterdir())
    found = {name: own for name in names if _suffix(name) in _MEDIA_TYPES}
    # password.js uses the server's own list.
    return found | {"common-passwords.txt": files("gatepass.registry.authentication")}


_DIRECTORIES = _directories()
_FILES = served({name: (own / name).read_bytes() for name, own in _DIRECTORIES.items()})
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


def imported_by(scripts: Sequence[str]) -> list[str]:
    """The scripts that *scripts* import, directly or not, without *scripts* themselves.

    A page preloads them: the browser would learn of each only from the one that imports it.
    """
    waiting = list(scripts)
    seen = dict.fromkeys(waiting)
    for name in waiting:
        new = [one for one in dict.fromkeys(imported(_FILES[name])) if one not in seen]
        seen.update(dict.fromkeys(new))
        waiting += new
    return waiting[len(scripts) :]


@router.get("/static/{version}/{name}")
def static_file(request: Request, version: str, name: str) -> Response:
    """One file. Under the address of another version, it must not be cached."""
    content = _FILES.get(name)
    if content is None:
        return Response("There is no such file.", 404, media_type="text/plain")
    headers = {
        "Cache-Control": _FOREVER if version == _VERSION else "no-store",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": VARY,
    }
    if accepts_gzip(request.headers.getlist("accept-encoding")):
        content = _compressed(name)
        headers["Content-Encoding"] = CODING
    return Response(content, media_type=_MEDIA_TYPES[_suffix(name)], headers=headers)


@router.get("/favicon.ico")
def favicon() -> Response:
    """For clients that ignore the page's ``<link rel="icon">``."""
    return RedirectResponse(static("mark.svg"), 308)


@cache
def _compressed(name: str) -> bytes:
    # A wheel has it from its build (hatch_build.py), a checkout does not.
    built = _DIRECTORIES[name] / f"{name}.gz"
    return built.read_bytes() if built.is_file() else gzipped(_FILES[name], level=BEST)
