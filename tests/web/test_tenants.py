"""Tenant isolation: records of another company are 404 on every route and page.

The routes come from the application. A route with an unknown kind of id fails this test.
"""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gatepass.registry.actor import Actor
from gatepass.registry.directory import admin_keys, owners
from gatepass.registry.directory.companies import Company
from gatepass.web.api.request_body import body_model
from tests.support.apps.all_routes import api_routes, operations, page_routes, queries, routes
from tests.support.apps.installation import Installation
from tests.support.apps.refusals import refused
from tests.support.apps.stored import everything

#: Part of every name in the other company.
WORD = "Zebedee"
#: Paths whose parameters aren't ids: files, and links with a secret.
NO_IDS = {
    *("/static/{version}/{name}", "/invitations/{token}", "/password-resets/{token}"),
    "/email-changes/{token}",
    # An external id is chosen by the caller, who must be an operator.
    "/v1/companies/by-external-id/{external_id}",
    # It reads no credential, and says nothing of a session: tests/pages/portal/test_session.py
    "/portal/{id}",
}
#: Routes that name a second record, too; its own company's don't find a made-up one.
SECOND_IDS = {
    "/v1/webhooks/{id}/deliveries/{delivery}/resend",
    "/company/webhooks/{id}/resend",
    "/v1/access-tokens/{id}/exceptions/{permission}",
    "/access-tokens/{id}/exceptions/{permission}/end",
}
#: Records of the installation: 403 unless the user is an operator.
OPERATORS = ("verifier-keys", "admin-keys", "companies", "catalogue", "versions")
#: Bodies that are valid for a record of the caller's own company.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "/v1/access-tokens/{id}"): {"label": "Taken over"},
    ("POST", "/v1/access-tokens/{id}/impact"): {"change": {}},
    ("POST", "/v1/access-tokens/{id}/rehearse"): {"minutes": 5, "share": 10},
    ("POST", "/v1/access-tokens/{id}/rotate"): {"close": "after", "after": 60},
    ("POST", "/v1/access-requests/{id}/approve"): {"seconds": 60},
    ("PATCH", "/v1/users/{id}"): {"role": "reporting"},
    ("POST", "/v1/users/{id}/email"): {"email": "taken.over@example.com"},
    ("PATCH", "/v1/roles/{id}"): {"name": "Taken over"},
    ("POST", "/v1/roles/{id}/preview"): {"permissions": ["charges:get"]},
    ("PATCH", "/v1/service-accounts/{id}"): {"name": "Taken over"},
    ("PATCH", "/v1/webhooks/{id}"): {"paused": False},
}
#: Fields of bodies that hold ids.
ID_FIELDS = {"role"}
OTHER_FIELDS = frozenset(
    (
        *("after", "close", "silent_for"),
        # Of another company's token: tests/web/api/tokens/test_decisions.py
        *("access_token", "at", "change"),
        *("access_tokens", "address", "calls", "code", "confirm", "credentials"),
        *("domains", "email", "entries"),
        # For the OIDC provider, whose token names it.
        "sub_id",
        # Other programs' names, and ids and filters of tokens:
        # tests/registry/tokens/ending/test_bulk.py
        *("expect", "external_id", "filter", "ids", "metadata", "minutes", "share"),
        # For operators.
        *("companies", "company", "expires_in", "origins", "type"),
        *("expires_at", "kind", "label", "method", "name", "networks", "origin", "password"),
        # Of token policies.
        *(
            "approval_required",
            "longest_life_days",
            "networks_required",
            "unused_days",
            "warn_days",
        ),
        # Another company's owner: tests/web/api/my_company/test_service_accounts.py
        "owner",
        # Another company's user, and tokens of others: tests/registry/tokens/test_hand_over.py
        *("to", "tokens"),
        # Of access requests; the id of a refusal is any text.
        *("always", "decision", "justification", "seconds"),
        # Of the catalogue.
        *("note", "text"),
        # Of webhooks.
        *("events", "paused", "url"),
        *("path", "permission", "permissions", "referer", "second_factor_required", "token"),
    )
)


class Tenant:
    """A company with one record of each kind, and its administrator, who isn't an operator."""

    def __init__(self, installation: Installation, name: str) -> None:
        self.installation = installation
        self.name = name
        self.company: Company = installation.new_company(f"{name} Works")
        self.email = f"{name}@example.com".lower()
        installation.new_user(self.email, f"{name} the Boss", company=self.company)
        self.login = installation.sign_in(self.email)
        self.client = installation.client(self.login)
        self.ids = {resource: make(self) for resource, make in MAKERS.items()}

    def post(self, path: str, body: dict[str, Any]) -> str:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made

    def external_owner(self) -> str:
        node = self.installation.node
        with node.database.write(node.clock.now()) as change:
            owner, _ = owners.put(
                change,
                Actor.command_line(),
                self.company.id,
                f"{self.name} customer",
                catalogue=node.catalogue,
                type="external",
                name=f"{self.name} customer",
                role="customer-service",
            )
        return owner.id

    def refusal(self) -> str:
        text = self.installation.access_token("charges:get", maker=self.email, label=self.name)
        call = {"permission": "charges:create"}
        return refused(self.installation, text, maker=self.email, **call)

    def access_request(self) -> str:
        text = self.installation.access_token(
            "charges:get", maker=self.email, label=f"{self.name} agent"
        )
        answer = self.installation.client(text).post(
            "/v1/access-requests", json={"permission": "charges:create"}
        )
        assert answer.status_code == 202, answer.text
        made: str = answer.json()["id"]
        return made

    def colleague(self) -> str:
        email = f"desk@{self.name}.example".lower()
        return self.installation.new_user(email, f"{self.name} Desk", company=self.company).id


MAKERS: dict[str, Callable[[Tenant], str]] = {
    "access-tokens": lambda tenant: tenant.post(
        "/v1/access-tokens",
        {"label": f"{tenant.name} token", "kind": "api", "permissions": ["charges:get"]},
    ),
    "authentications": lambda tenant: tenant.installation.sign_in(tenant.email)[:21],
    "users": Tenant.colleague,
    "roles": lambda tenant: tenant.post(
        "/v1/roles", {"name": f"{tenant.name} role", "permissions": ["charges:get"]}
    ),
    "invitations": lambda tenant: tenant.post(
        "/v1/invitations", {"email": f"new@{tenant.name}.example".lower(), "role": "reporting"}
    ),
    "external-owners": lambda tenant: tenant.external_owner(),
    "service-accounts": lambda tenant: tenant.post(
        "/v1/service-accounts", {"name": f"{tenant.name} jobs", "role": "customer-service"}
    ),
    "verifier-keys": lambda tenant: tenant.installation.verifier_key()[:21],
    "admin-keys": lambda tenant: (
        tenant.installation.do(admin_keys.create, Actor.command_line(), label=tenant.name)[0].id
    ),
    "companies": lambda tenant: tenant.company.id,
    # Of the catalogue, on pages and over REST.
    "catalogue": lambda tenant: "1",
    "versions": lambda tenant: "1",
    "access-requests": lambda tenant: tenant.access_request(),
    "webhooks": lambda tenant: tenant.post(
        "/v1/webhooks",
        {"url": f"https://{tenant.name}.example/".lower(), "events": ["access_token.*"]},
    ),
    "decisions": lambda tenant: tenant.refusal(),
}


@pytest.fixture
def walker(installation: Installation) -> Tenant:
    return Tenant(installation, "Walker")


@pytest.fixture
def other(installation: Installation) -> Tenant:
    return Tenant(installation, WORD)


def with_parameters() -> list[tuple[str, str]]:
    found = [(method, path) for method, path, _ in operations()] + page_routes()
    return [each for each in found if "{" in each[1] and each[1] not in NO_IDS]


def resource(path: str) -> str:
    """The kind of record that the id in *path* names."""
    if path.startswith("/v1/companies/{id}/"):
        # A company's records, too, are for operators and admin keys alone.
        return "companies"
    only = path.replace("/{delivery}", "").replace("/{permission}", "")
    before, _, after = only.partition("/{id}")
    assert "{" not in before + after, f"teach this test what {path} takes"
    kind = before.rpartition("/")[2]
    assert kind in MAKERS, f"teach this test to make one of the {kind} of {path}"
    return kind


def call(client: httpx.Client, method: str, path: str, id_: str, template: str) -> httpx.Response:
    where = re.sub("{\\w+}", id_, path)
    if path.startswith("/v1/"):
        body = None if method == "GET" else BODIES.get((method, template), {})
        return client.request(method, where, json=body)
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
    if method == "GET":
        return client.get(where, headers=headers, follow_redirects=False)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return client.request(method, where, content="", headers=headers, follow_redirects=False)


def test_every_id_of_another_company_is_404(
    installation: Installation, walker: Tenant, other: Tenant
) -> None:
    whole = ["access-tokens:*", "audit:*", "company:*", "invitations:*", "roles:*", "users:*"]
    known = {each for each in whole if installation.node.catalogue.knows(each)}
    made = walker.client.post(
        "/v1/access-tokens",
        json={"label": "All of it", "kind": "api", "permissions": sorted(known)},
    )
    before = everything(installation)
    found = with_parameters()
    assert ("GET", "/v1/access-tokens/{id}") in found
    assert ("POST", "/access-tokens/{id}/edit") in found
    for method, path in found:
        kind = resource(path)
        answer = call(walker.client, method, path, other.ids[kind], path)
        wanted = (403, "operator_required") if kind in OPERATORS else (404, "not_found")
        assert answer.status_code == wanted[0], (method, path, answer.text)
        if path.startswith("/v1/"):
            assert answer.json()["reason"] == wanted[1]
            # An access token learns and may do no more than its creator.
            refused = call(
                installation.client(made.json()["token"]), method, path, other.ids[kind], path
            )
            assert refused.status_code in (403, 404), (method, path, refused.text)
            assert refused.json()["reason"] in (
                *(wanted[1], "signed_in_user_required"),
                # No token has the permission for these.
                *(["permission_missing"] if kind in ("service-accounts", "webhooks") else []),
            )
        assert WORD not in answer.text
        assert everything(installation) == before, (method, path)


def test_every_id_of_the_callers_company_is_found(
    installation: Installation, walker: Tenant
) -> None:
    """Otherwise an invalid body could be refused before the record is looked up."""
    for method, path in with_parameters():
        kind = resource(path)
        if kind in OPERATORS or path in SECOND_IDS:
            continue
        answer = call(walker.client, method, path, walker.ids[kind], path)
        assert answer.status_code not in (404, 405, 415), (method, path, answer.text)
        if path.startswith("/v1/"):
            assert answer.status_code != 422, (method, path, answer.text)
        deletable = kind in ("roles", "webhooks")
        if deletable and walker.client.get(f"/v1/{kind}/{walker.ids[kind]}").is_error:
            # The route deleted it; the next one needs another.
            walker.ids[kind] = MAKERS[kind](walker)


def test_no_query_discloses_another_company(
    installation: Installation, walker: Tenant, other: Tenant
) -> None:
    """Each query parameter, with each foreign id and name."""
    before = everything(installation)
    asked = 0
    foreign = [*other.ids.values(), other.company.id, WORD]
    for route in routes():
        if "GET" not in route.methods or "{" in route.path:
            continue
        for parameter in queries(route):
            for value in foreign if parameter not in ("limit", "cursor") else ():
                query = {"format": "csv", parameter: value}
                answer = walker.client.get(
                    route.path, params=query, headers={"Accept": "text/html"}
                )
                echoed = answer.text.replace(value, "")
                assert answer.status_code < 500
                assert f"{WORD} " not in echoed, (route.path, parameter, value)
                asked += 1
    assert asked > 100
    assert everything(installation) == before
    foreign_user = {"user": other.ids["users"]}
    assert walker.client.get("/v1/authentications", params=foreign_user).status_code == 404


def test_ids_of_another_company_are_refused_in_bodies(
    installation: Installation, walker: Tenant, other: Tenant
) -> None:
    tried = 0
    for path, route in api_routes():
        (method,) = route.methods
        model = body_model(route)
        fields = set() if model is None else set(model.model_fields)
        unknown = fields - ID_FIELDS - OTHER_FIELDS
        assert not unknown, f"teach this test whether {unknown} of {method} {path} are ids"
        if path.startswith("/v1/companies/"):
            # Refused whatever the body has.
            continue
        for name in ID_FIELDS & fields:
            tried += 1
            body = {"email": "someone@walker.example"} if "email" in fields else {}
            if "name" in fields:
                body["name"] = "Someone"
            where = path
            if "{id}" in path:
                where = path.replace("{id}", walker.ids[resource(path)])
            before = everything(installation)
            answer = walker.client.request(
                method, where, json={**body, name: other.ids[f"{name}s"]}
            )
            assert answer.status_code in (404, 422), (method, path, answer.text)
            assert WORD not in answer.text
            assert everything(installation) == before
            # An id of the caller's company is accepted.
            accepted = walker.client.request(
                method, where, json={**body, name: walker.ids[f"{name}s"]}
            )
            assert accepted.is_success, (method, path, accepted.text)
    assert tried > 3
