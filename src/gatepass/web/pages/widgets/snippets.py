"""Code examples that use a token: shell, Python, JavaScript and nginx."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request
from starlette.routing import Match

from gatepass.core.catalogue import Catalogue
from gatepass.core.permissions import covers
from gatepass.registry.tokens.records import AccessToken
from gatepass.settings import Settings

#: A placeholder for the address of the protected API, which Gatepass doesn't know.
_SOME_API = "https://api.example.com"
_ANY_TOKEN = "GET /v1/me"  # noqa: S105 - a route that every token opens
_OWN_ROUTES = {
    "access-tokens:search": "GET /v1/access-tokens",
    "audit:get": "GET /v1/audit-events",
}


@dataclass(frozen=True)
class Snippet:
    """One example. ``secret``: it contains the token's text, which is cleared with the page."""

    name: str
    text: str
    secret: bool = False


def snippets(
    token: AccessToken,
    text: str | None,
    *,
    catalogue: Catalogue,
    settings: Settings,
    serves: Callable[[str, str], bool],
) -> list[Snippet]:
    """Examples of a call that *token* allows.

    Args:
        text: the token's text while it is shown; None for a placeholder.
        serves: whether this server itself answers a method and path, as the demo's does.
    """
    method, path = _example_call(token, catalogue).split(" ", 1)
    path = path.replace("{", "").replace("}", "")
    url = (settings.public_url if serves(method, path) else _SOME_API) + path
    origin = _example_origin(token)
    made = [
        Snippet("curl", _curl(method, url, origin, text or f"{token.id}…"), secret=bool(text)),
        Snippet("Python", _python(method, url, origin)),
        Snippet("nginx", _nginx(settings)),
    ]
    if token.kind == "ui":
        code = _javascript(method, url, text or f"{token.id}…")
        made.insert(0, Snippet("JavaScript", code, secret=bool(text)))
    return made


def serves(request: Request) -> Callable[[str, str], bool]:
    """A check whether this server also answers a method and path."""

    def check(method: str, path: str) -> bool:
        if any(
            path == prefix or path.startswith(prefix + "/") for prefix in request.app.state.beside
        ):
            return True
        scope = {**request.scope, "method": method, "path": path}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return check


def _example_call(token: AccessToken, catalogue: Catalogue) -> str:
    """The simplest call that *token* allows: a read without parameters, if there is one."""
    routes = [
        route
        for permission in catalogue.permissions
        if covers(token.effective_permissions, permission.name)
        for route in permission.routes
    ]
    routes += [
        route for name, route in _OWN_ROUTES.items() if covers(token.effective_permissions, name)
    ]
    return min(routes, key=_effort, default=_ANY_TOKEN)


def _effort(route: str) -> tuple[bool, bool]:
    return ("{" in route, not route.startswith("GET "))


def _example_origin(token: AccessToken) -> str | None:
    if token.kind != "ui":
        return None
    domain = token.domains[0] if token.domains else "shop.example.com"
    if "://" in domain:
        return domain
    domain = domain.replace("*.", "www.")
    scheme = "http" if domain.partition(":")[0] == "localhost" else "https"
    return f"{scheme}://{domain}"


def _curl(method: str, url: str, origin: str | None, text: str) -> str:
    lines = [
        f"export GATEPASS_TOKEN='{text}'",
        f"curl {'' if method == 'GET' else f'-X {method} '}{url} \\",
        '  -H "Authorization: Bearer $GATEPASS_TOKEN"',
    ]
    if origin:
        lines[-1] += " \\"
        lines.append(f'  -H "Origin: {origin}"')
    if method in ("POST", "PUT", "PATCH"):
        lines[-1] += " \\"
        lines.append("  --json '{}'")
    return "\n".join(lines)


def _python(method: str, url: str, origin: str | None) -> str:
    headers = ['"Authorization": f"Bearer {os.environ[\'GATEPASS_TOKEN\']}"']
    if origin:
        headers.append(f'"Origin": "{origin}"')
    body = ""
    if method in ("POST", "PUT", "PATCH"):
        headers.append('"Content-Type": "application/json"')
        body = '\n    data=b"{}",'
    return f"""\
import os
import urllib.request

request = urllib.request.Request(
    "{url}",
    method="{method}",
    headers={{{", ".join(headers)}}},{body}
)
with urllib.request.urlopen(request) as response:
    print(response.read().decode())"""


def _javascript(method: str, url: str, text: str) -> str:
    headers = ["Authorization: `Bearer ${token}`"]
    body = ""
    if method in ("POST", "PUT", "PATCH"):
        headers.append('"Content-Type": "application/json"')
        body = '\n  body: "{}",'
    return f"""\
// In the page. Everyone who opens it can read the token: that is what its domains are for.
const token = "{text}";
const response = await fetch("{url}", {{
  method: "{method}",
  headers: {{ {", ".join(headers)} }},{body}
}});
console.log(await response.json());"""


def _nginx(settings: Settings) -> str:
    port = settings.verify_port or settings.port
    return f"""\
# In the server that stands before the API: nginx asks Gatepass before it passes a call on.
# What else belongs there (who called, refusals that say why, browsers, WebSockets):
# docs/how-to/gateways/nginx.md.
auth_request /_gatepass;
location / {{
    proxy_pass http://api;
    proxy_set_header Authorization "";
    proxy_set_header X-Access-Token "";
    proxy_set_header X-HTTP-Method-Override "";
    proxy_set_header X-Method-Override "";
    proxy_set_header X-HTTP-Method "";
    # Set these from the answer (docs/how-to/gateways/nginx.md) before the API believes them.
    proxy_set_header X-Gatepass-Token "";
    proxy_set_header X-Gatepass-Company "";
    proxy_set_header X-Gatepass-User "";
    proxy_set_header X-Gatepass-Owner "";
    proxy_set_header X-Gatepass-External "";
    proxy_set_header X-Gatepass-Kind "";
    proxy_set_header X-Gatepass-Permissions "";
    proxy_set_header X-Gatepass-Reason "";
    proxy_set_header X-Gatepass-Help "";
}}
location = /_gatepass {{
    internal;
    auth_request off;
    proxy_pass http://127.0.0.1:{port}/authz/nginx;
    proxy_pass_request_body off;
    proxy_pass_request_headers off;
    proxy_set_header Authorization $http_authorization;
    proxy_set_header X-Access-Token $http_x_access_token;
    proxy_set_header Origin $http_origin;
    proxy_set_header Referer $http_referer;
    proxy_set_header X-Original-URI $request_uri;
    proxy_set_header X-Original-Method $request_method;
    proxy_set_header X-Forwarded-For $remote_addr;
}}"""
