"""Slashes in external ids: ``%2F`` in such a path doesn't separate segments."""

from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

# What the paths begin with that may hold external ids.
_WITH_EXTERNAL_IDS = ("/v1/companies/", "/v1/service-accounts/")
# Stands for an encoded slash until the endpoint reads its parameter; no external id has a control.
_SLASH = "\x1f"
_OTHER_CONTROL = "\x1e"


class EncodedSlashes:
    """Lets *app* route such paths by their segments as they were sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["path"].startswith(_WITH_EXTERNAL_IDS):
            raw = (scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
            if "%" in raw:
                scope = {**scope, "path": "/".join(map(_decoded, raw.split("/")))}
        await self._app(scope, receive, send)


def with_slashes(parameter: str) -> str:
    """A path parameter, with the slashes that were encoded."""
    return parameter.replace(_SLASH, "/")


def _decoded(segment: str) -> str:
    try:
        text = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        # Two ids must not become one; a control is none.
        return _OTHER_CONTROL
    return text.replace(_SLASH, _OTHER_CONTROL).replace("/", _SLASH)
