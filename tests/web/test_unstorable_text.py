"""NUL, which PostgreSQL can't store, and unpaired surrogates, which UTF-8 can't encode: never
a server error, wherever they are sent.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from tests.support.apps.all_routes import operations, page_routes, queries, routes
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Page

#: As text, and as bytes of an URL.
NUL, HALF = "a\0b", "a\ud800b"
IN_URL = ("%00", "a%00b", "%ED%A0%80", "a%ED%A0%80b")

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/authentications"): {"email": "ada@example.com", "password": PASSWORD},
    ("POST", "/v1/access-tokens"): {
        "label": "x",
        "kind": "ui",
        "permissions": ["charges:get"],
        "expires_at": "2100-01-01T00:00:00Z",
        "networks": ["10.0.0.0/8"],
        "domains": ["shop.example.com"],
    },
    ("PATCH", "/v1/access-tokens/{id}"): {
        "label": "x",
        "permissions": ["charges:get"],
        "expires_at": "2100-01-01T00:00:00Z",
        "networks": ["127.0.0.0/8"],
    },
    ("PUT", "/v1/company/allowlist"): {"entries": [{"network": "127.0.0.0/8", "note": "x"}]},
    ("POST", "/v1/company/allowlist/preview"): {
        "entries": [{"network": "127.0.0.0/8", "note": "x"}]
    },
    ("POST", "/v1/invitations"): {"email": "eve@example.com", "role": "admin"},
    ("POST", "/v1/invitations/accept"): {"token": "gpiv_x", "name": "x", "password": PASSWORD},
    ("PATCH", "/v1/users/{id}"): {"role": "manager"},
    ("POST", "/v1/users/{id}/deactivate"): {"access_tokens": "keep"},
    ("POST", "/v1/roles"): {"name": "x", "permissions": ["charges:get"]},
    ("PATCH", "/v1/roles/{id}"): {"name": "x", "permissions": ["charges:get"]},
    ("PATCH", "/v1/company"): {"name": "x"},
    ("POST", "/v1/service-accounts"): {"name": "x", "role": "customer-service"},
    ("PATCH", "/v1/service-accounts/{id}"): {"name": "x", "role": "customer-service"},
    ("POST", "/v1/verifier-keys"): {"label": "x", "companies": ["com_x"]},
    ("POST", "/v1/admin-keys"): {
        "label": "x",
        "company": "com_x",
        "permissions": ["tokens"],
        "networks": ["10.0.0.0/8"],
        "expires_at": "2100-01-01T00:00:00Z",
    },
    ("PUT", "/v1/companies/by-external-id/{external_id}"): {"name": "x"},
    ("PATCH", "/v1/companies/{id}"): {"name": "x"},
    ("POST", "/v1/verify"): {
        "token": "gpat_x",
        "permission": "charges:get",
        "method": "GET",
        "path": "/v1/charges/1",
        "address": "10.0.0.1",
        "origin": "https://shop.example.com",
        "referer": "https://shop.example.com/",
    },
}


class Surface:
    """An installation on PostgreSQL with one record of each kind."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.client = installation.signed_in()
        role = self.client.post("/v1/roles", json={"name": "r", "permissions": ["charges:get"]})
        invited = self.client.post(
            "/v1/invitations", json={"email": "i@x.example", "role": "admin"}
        )
        user = installation.new_user("bob@example.com").id
        token = installation.access_token("charges:get")[:21]
        signed_in = self.client.get("/v1/authentications").json()["items"][0]["id"]
        self.ids = {
            "access-tokens": token,
            "authentications": signed_in,
            "roles": role.json()["id"],
            "invitations": invited.json()["id"],
            "users": user,
        }

    def path(self, template: str) -> str:
        """*template* with ids of existing records."""
        kind = re.findall(r"([a-z-]+)/\{", template)
        return re.sub(r"\{\w+\}", self.ids.get(kind[-1] if kind else "", "x"), template)


@pytest.fixture(scope="module")
def surface(postgresql_installation: Installation) -> Surface:
    return Surface(postgresql_installation)


def spoilt(value: Any, bad: str) -> Iterator[Any]:
    """*value* with each string, then with each name, replaced by *bad*."""
    if isinstance(value, str):
        yield bad
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in spoilt(item, bad))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from ({**value, name: other} for other in spoilt(item, bad))
        yield {**value, bad: "x"}


def fine(answer: httpx.Response) -> None:
    asked = f"{answer.request.method} {answer.request.url} {answer.request.content!r}"
    assert answer.status_code < 500, asked


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_bodies_cause_no_server_error(surface: Surface, method: str, path: str) -> None:
    """422 with the field's name, or the answer for an unknown record."""
    key = surface.installation.verifier_key()
    client = surface.installation.client(key) if path == "/v1/verify" else surface.client
    for bad in (NUL, HALF):
        for body in spoilt(BODIES[method, path], bad):
            answer = client.request(
                method,
                surface.path(path),
                content=json_ascii(body),
                headers={"Content-Type": "application/json"},
            )
            fine(answer)
            # /v1/verify decides about any text; a sign-in doesn't say what was wrong.
            assert answer.status_code >= 400 or path == "/v1/verify", body


def json_ascii(value: Any) -> bytes:
    return json.dumps(value).encode("ascii")


OPERATIONS = [
    pytest.param(method, path, operation, id=f"{method} {path}")
    for method, path, operation in operations()
    if operation.get("parameters") and path != "/v1/feed"
]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_parameters_of_operations_cause_no_server_error(
    surface: Surface, method: str, path: str, operation: dict[str, Any]
) -> None:
    for parameter in operation["parameters"]:
        for bad in IN_URL:
            headers = {"Content-Type": "application/json"}
            where = surface.path(path)
            if parameter["in"] == "path":
                where = path.replace(f"{{{parameter['name']}}}", bad)
            elif parameter["in"] == "query":
                where += f"?{quote(parameter['name'])}={bad}"
            else:
                headers[parameter["name"]] = f'"{bad}"'
            body = BODIES.get((method, path), {})
            sent = None if method in ("GET", "DELETE") else json_ascii(body)
            fine(surface.client.request(method, where, content=sent, headers=headers))


READ = [path for method, path in page_routes() if method == "GET" and "static" not in path]


@pytest.mark.parametrize("path", READ)
def test_paths_and_queries_of_pages_cause_no_server_error(surface: Surface, path: str) -> None:
    names = {name for route in routes() if route.path == path for name in queries(route)}
    for bad in IN_URL:
        if "{" in path:
            fine(surface.client.get(re.sub(r"\{\w+\}", bad, path), follow_redirects=False))
        # Pages read `q` and `next` without declaring them.
        for name in names | {"q", "next", "cursor", "replaces", "user"}:
            where = f"{surface.path(path)}?{name}={bad}"
            fine(surface.client.get(where, follow_redirects=False))


@pytest.mark.parametrize("path", [*READ, "/sign-in (signed out)", "/password-resets (signed out)"])
def test_fields_of_forms_cause_no_server_error(surface: Surface, path: str) -> None:
    """Hidden fields and buttons included."""
    client = surface.client
    if "signed out" in path:
        path, client = path.partition(" ")[0], surface.installation.client()
    for form in Page(client.get(surface.path(path))).forms:
        if form.method != "post" or form.action == "/sign-out":
            continue
        buttons = form.buttons or [("", "")]
        for at in range(len(form.fields) + 1):
            for bad in IN_URL[:1] + IN_URL[2:3]:
                fields = list(form.fields)
                if at < len(fields):
                    fields[at] = (fields[at][0], "BAD")
                for button in buttons if at < len(fields) else [(buttons[0][0], "BAD")]:
                    body = urlencode([*fields, *([button] if button[0] else [])])
                    answer = client.post(
                        form.action or surface.path(path),
                        content=body.replace("BAD", f"a{bad}b"),
                        headers={"Content-Type": "application/x-www-form-urlencoded"},
                        follow_redirects=False,
                    )
                    fine(answer)


@pytest.mark.parametrize("name", ["user-agent", "origin", "referer", "x-forwarded-for", "cookie"])
def test_stored_headers_cause_no_server_error(surface: Surface, name: str) -> None:
    """Invalid bytes are replaced; the HTTP parser refuses NUL."""
    said = {"email": "ada@example.com", "password": PASSWORD}
    for bad in (b"\xed\xa0\x80", b"\xff\xfe", "é".encode(), b"a\tb"):
        fine(
            surface.installation.client().post(
                "/v1/authentications", json=said, headers={name.encode(): bad}
            )
        )
