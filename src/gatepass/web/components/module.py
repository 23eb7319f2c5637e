"""``/components/access-tokens.js``: ``<gatepass-access-tokens>`` as one module of JavaScript.

Its source is a module for each concept. A host page gets them joined and minified: one request, and
one address in its Content-Security-Policy.
"""

import hashlib
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from starlette.responses import Response

from gatepass.web.compression import BEST, CODING, VARY, accepts_gzip, gzipped
from gatepass.web.static_sources import minified

ENTRY = "access-tokens.js"

# The source writes each import on one line of its own.
_import = re.compile(r'^import \{[^}]*\} from "\./([\w.-]+)";\n', re.MULTILINE)
_export = re.compile(r"^export (?=(?:async )?(?:function|class|const)\b)", re.MULTILINE)

router = APIRouter(include_in_schema=False)


def joined() -> str:
    """The module: each source module once, after those that it imports.

    They share one scope, so no two may define the same name: browsers refuse such a module.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        if name in parts:
            return
        text = _source(name).read_text("utf-8")
        parts[name] = ""
        for imported in _import.findall(text):
            add(imported)
        text = _import.sub("", text)
        # Moved behind what it imports.
        del parts[name]
        parts[name] = text if name == ENTRY else _export.sub("", text)

    add(ENTRY)
    return "\n".join(parts.values())


def _source(name: str) -> Traversable:
    own = files("gatepass.web.components") / "static" / name
    # The dashboard's pages read and draw networks, too.
    return own if own.is_file() else files("gatepass.web.pages") / "static" / name


_MODULE = minified(ENTRY, joined().encode())
_HASH = hashlib.sha256(_MODULE).hexdigest()[:32]
_ETAG, _COMPRESSED_ETAG = f'"{_HASH}"', f'"{_HASH}-{CODING}"'
_HEADERS = {
    # Browsers load modules of other origins with CORS alone. It is the same for everyone.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    # The address stays the same in later releases, so browsers ask each time whether it changed.
    "Cache-Control": "public, no-cache",
    "X-Content-Type-Options": "nosniff",
    "Vary": VARY,
}


@router.get("/components/" + ENTRY)
def module(request: Request) -> Response:
    """The module; 304 if the browser has it."""
    compress = accepts_gzip(request.headers.getlist("accept-encoding"))
    etag = _COMPRESSED_ETAG if compress else _ETAG
    headers = {**_HEADERS, "ETag": etag}
    known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or f"W/{etag}" in known:
        return Response(status_code=304, headers=headers)
    if compress:
        headers["Content-Encoding"] = CODING
    content = _compressed() if compress else _MODULE
    return Response(content, media_type="text/javascript; charset=utf-8", headers=headers)


@cache
def _compressed() -> bytes:
    return gzipped(_MODULE, level=BEST)
