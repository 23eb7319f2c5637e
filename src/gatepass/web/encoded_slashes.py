"""Slashes in external ids: ``%2F`` in a path of ``/v1/companies`` doesn't separate segments."""

from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_UNDER = "/v1/companies/"
# Stands for an encoded slash until the endpoint reads its parameter; no external id has a control.
_SLASH = "\x1f"


class EncodedSlashes:
    """Lets *app* route such paths by their segments as they were sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["path"].startswith(_UNDER):
            raw = (scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
            if "%2f" in raw.lower() and _SLASH not in scope["path"]:
                segments = (unquote(segment).replace("/", _SLASH) for segment in raw.split("/"))
                scope = {**scope, "path": "/".join(segments)}
        await self._app(scope, receive, send)


def with_slashes(parameter: str) -> str:
    """A path parameter, with the slashes that were encoded."""
    return parameter.replace(_SLASH, "/")
