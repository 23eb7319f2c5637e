"""What a portal session reaches: its owner's access tokens, within its permissions, and no more.

The routes come from the application, so a new one is tried as well.
"""

import re
from typing import Any

import pytest

from tests.support.apps.all_routes import api_routes, page_routes
from tests.support.apps.installation import Installation
from tests.support.apps.portal import PAGE, Portal
from tests.support.apps.problems import reasons

REACHED = {
    ("GET", "/v1/me"),
    ("GET", "/v1/permissions"),
    ("GET", "/v1/access-tokens"),
    ("POST", "/v1/access-tokens"),
    ("GET", "/v1/access-tokens/{id}"),
    ("GET", "/v1/access-tokens/{id}/calls"),
    ("PATCH", "/v1/access-tokens/{id}"),
    ("POST", "/v1/access-tokens/{id}/deactivate"),
    ("POST", "/v1/access-tokens/{id}/rotate"),
    ("POST", "/v1/decisions/explain"),
    ("GET", "/v1/decisions/{id}"),
}
#: Endpoints that read no credential.
OPEN = {
    ("POST", "/v1/authentications"),
    ("POST", "/v1/invitations/accept"),
    ("POST", "/v1/oidc/back-channel-logout"),
    ("POST", "/v1/oidc/global-token-revocation"),
    ("POST", "/v1/portal-sessions/redeem"),
    ("POST", "/v1/revoke"),
    ("POST", "/v1/credentials/revoke"),
    ("POST", "/v1/credentials/secret-scanning"),
}
CROSS_ORIGIN = {*REACHED, ("POST", "/v1/portal-sessions/redeem")}
#: What the addresses of pages for everyone begin with.
OPEN_PAGES = (
    *("/static/", "/favicon.ico", "/sign-in", "/sign-out", "/portal/", "/v1/docs"),
    *("/invitations/", "/password-resets", "/email-changes/"),
)
HERE = "http://127.0.0.1:8787"
TOKEN = {"label": "mine", "kind": "api", "permissions": ["charges:get"]}
NAMED = "access-control-allow-origin"


@pytest.fixture
def portal(installation: Installation) -> Portal:
    return Portal(installation)


def operations() -> list[tuple[str, str]]:
    return sorted((method, path) for path, route in api_routes() for method in route.methods)


def test_every_other_endpoint_and_page_refuses_it(portal: Portal) -> None:
    page, found = portal.page(), operations()
    assert set(found) >= REACHED | OPEN
    for method, path in found:
        if (method, path) in REACHED | OPEN:
            continue
        where = re.sub(r"\{\w+\}", "com_0000000000000000", path)
        answer = page.request(method, where, json=None if method == "GET" else {})
        assert reasons(answer) == (403, "portal_session"), (method, path)
        assert NAMED not in answer.headers, (method, path)
    for method, path in page_routes():
        if not path.startswith(OPEN_PAGES):
            where = re.sub(r"\{\w+\}", "x", path)
            answer = page.request(method, where, headers={"Accept": "text/html", "Origin": HERE})
            assert answer.status_code == 403, (method, path)


# --- another owner --------------------------------------------------------------------------------


def test_nothing_of_another_owner_is_seen_or_changed(any_installation: Installation) -> None:
    portal = Portal(any_installation)
    other = portal.new_owner("customer-8", "Customer 8")
    theirs = portal.access_token(other, label="secret plan")
    account = portal.new_owner("jobs", "Jobs", type="service_account")
    jobs = portal.access_token(account)
    users = any_installation.access_token("charges:get")[:21]
    ada = any_installation.signed_in()
    page, others_page = portal.page(), portal.page(owner={"id": other.id})
    kept = others_page.post(
        "/v1/access-tokens", json=TOKEN, headers={"Idempotency-Key": "order-4711-attempt"}
    ).json()
    own = page.post(
        "/v1/access-tokens", json=TOKEN, headers={"Idempotency-Key": "order-4711-attempt"}
    ).json()
    assert own["id"] != kept["id"]
    before = {id: ada.get(f"/v1/access-tokens/{id}") for id in (theirs["id"], jobs["id"], users)}
    unknown = page.get("/v1/access-tokens/gpat_0000000000000000")
    for id, record in before.items():
        path, tag = f"/v1/access-tokens/{id}", {"If-Match": record.headers["etag"]}
        for answer in (
            page.get(path),
            page.get(path, headers={"If-None-Match": record.headers["etag"]}),
            page.get(f"{path}/calls"),
            page.patch(path, json={"label": "taken"}),
            page.patch(path, json={"label": "taken"}, headers=tag),
            page.patch(path, json={"label": "taken"}, headers={"If-Match": '"other"'}),
            page.post(f"{path}/rotate", json={"close": "now"}),
            page.post(f"{path}/deactivate"),
            page.post(f"{path}/deactivate", headers={"Idempotency-Key": "order-4712-attempt"}),
        ):
            assert (answer.status_code, answer.content) == (404, unknown.content), answer.url
        assert ada.get(path).json() == record.json()
    for query in (
        {},
        {"q": "secret"},
        {"q": theirs["id"]},
        {"status": "active"},
        {"kind": "api"},
        {"permission": "charges:get"},
        {"owner": portal.owner.id},
        {"owner": "ext:customer-7"},
        {"cursor": ada.get("/v1/access-tokens", params={"limit": 1}).json()["next"]},
    ):
        listed = page.get("/v1/access-tokens", params=query)
        assert listed.status_code == 200, listed.text
        assert {each["owner"]["id"] for each in listed.json()["items"]} <= {portal.owner.id}
    for owner in (other.id, account.id, any_installation.ada.id, "ext:customer-8", "x", ""):
        listed = page.get("/v1/access-tokens", params={"owner": owner})
        assert listed.json()["items"] == [], owner
    for reference in (
        {"id": other.id},
        {"id": any_installation.ada.id},
        {"external_id": "customer-8"},
        {"external_id": "nobody"},
    ):
        made = page.post("/v1/access-tokens", json={**TOKEN, "owner": reference})
        assert reasons(made) == (404, "not_found"), reference
    for reference in ({"id": portal.owner.id}, {"external_id": "customer-7"}):
        made = page.post("/v1/access-tokens", json={**TOKEN, "owner": reference})
        assert made.json()["owner"]["id"] == portal.owner.id


def test_a_service_account_may_own_a_portal_session(portal: Portal) -> None:
    account = portal.new_owner("jobs", "Jobs", type="service_account")
    page = portal.page(owner={"id": account.id})
    assert page.get("/v1/me").json()["user"]["name"] == "Jobs"
    made = page.post("/v1/access-tokens", json=TOKEN).json()
    assert made["owner"]["type"] == "service_account"


def test_it_reads_the_companys_limits_where_nobody_else_needs_to(portal: Portal) -> None:
    limits = {"longest_life_days": 30, "networks_required": True, "unused_days": 60}
    others = {"approval_required": [], "warn_days": [7]}
    ada = portal.installation.signed_in()
    assert portal.page().get("/v1/me").json()["token_policy"] == {
        "longest_life_days": None,
        "networks_required": False,
        "unused_days": None,
    }
    assert ada.put("/v1/company/token-policy", json=limits | others).status_code == 200
    assert portal.page().get("/v1/me").json()["token_policy"] == limits
    assert "token_policy" not in ada.get("/v1/me").json()


# --- permissions ----------------------------------------------------------------------------------


def test_a_token_with_more_is_only_seen_and_deactivated(portal: Portal) -> None:
    more = portal.access_token(portal.owner, "charges:get", "charges:create")
    page = portal.page(permissions=["charges:get"])
    assert page.get("/v1/me").json()["permissions"] == ["charges:get"]
    path = f"/v1/access-tokens/{more['id']}"
    assert page.get(path).status_code == 200
    assert more["id"] in [each["id"] for each in page.get("/v1/access-tokens").json()["items"]]
    for changes in ({"label": "renamed"}, {"permissions": ["charges:get"]}, {"networks": []}):
        assert reasons(page.patch(path, json=changes)) == (403, "permission_missing")
    made = page.post("/v1/access-tokens", json={**TOKEN, "permissions": ["charges:create"]})
    assert reasons(made) == (403, "permission_missing")
    less = page.post("/v1/access-tokens", json=TOKEN).json()["id"]
    added = page.patch(
        f"/v1/access-tokens/{less}", json={"permissions": ["charges:get", "charges:create"]}
    )
    assert reasons(added) == (403, "permission_missing")
    assert page.post(f"{path}/deactivate").json()["status"] == "deactivated"


def test_whole_resources_are_as_the_role_has_them(portal: Portal) -> None:
    whole = portal.new_role("Whole", "charges:*", "access-tokens:get")
    owner = portal.new_owner("whole", "Whole", role=whole)
    page = portal.page(owner={"id": owner.id})
    permissions = ["charges:*", "charges:create", "charges:get"]
    assert page.get("/v1/me").json()["permissions"] == permissions
    made = page.post("/v1/access-tokens", json={**TOKEN, "permissions": ["charges:*"]})
    assert made.status_code == 201, made.text
    assert made.json()["effective_permissions"] == ["charges:create", "charges:get"]
    path = f"/v1/access-tokens/{made.json()['id']}"
    assert page.patch(path, json={"label": "renamed"}).status_code == 200
    named = portal.page(owner={"id": owner.id}, permissions=permissions[1:])
    assert reasons(named.patch(path, json={"label": "x"})) == (403, "permission_missing")


@pytest.mark.parametrize("type", ["external", "service_account"])
def test_the_catalogue_file_and_the_role_bind(portal: Portal, type: str) -> None:
    own = portal.new_role("Own", "charges:get", "access-tokens:get", "access-tokens:search")
    owner = portal.new_owner("own", "Own", type=type, role=own)
    page = portal.page(owner={"id": owner.id})
    # The default: what the role has of the catalogue file.
    assert page.get("/v1/me").json()["permissions"] == ["charges:get"]
    made = page.post("/v1/access-tokens", json={**TOKEN, "permissions": ["access-tokens:get"]})
    assert made.status_code == (422 if type == "external" else 403)
    body = portal.body(owner={"id": owner.id}, permissions=["access-tokens:get"])
    opened = portal.backend.post("/v1/portal-sessions", json=body)
    assert opened.status_code == (422 if type == "external" else 201)
    if opened.status_code == 201:
        # What it may give isn't what it may do.
        page = portal.page(portal.redeem(opened.json()["code"]).json()["token"])
        receipt = page.get("/v1/access-tokens/gpat_0000000000000000/receipt")
        assert reasons(receipt) == (403, "portal_session")


def test_a_role_that_shrinks_binds_at_once(portal: Portal) -> None:
    page = portal.page()
    made = page.post("/v1/access-tokens", json={**TOKEN, "permissions": ["charges:create"]}).json()
    ada = portal.installation.signed_in()
    ada.patch(f"/v1/roles/{portal.role}", json={"permissions": ["charges:get"]})
    assert page.get("/v1/me").json()["permissions"] == ["charges:get"]
    renamed = page.patch(f"/v1/access-tokens/{made['id']}", json={"label": "x"})
    assert reasons(renamed) == (403, "permission_missing")
    ada.patch(f"/v1/roles/{portal.role}", json={"permissions": ["charges:get", "refunds:get"]})
    assert page.get("/v1/me").json()["permissions"] == ["charges:get"]


# --- other origins --------------------------------------------------------------------------------


def test_answers_name_the_origin_of_the_session_alone(portal: Portal) -> None:
    token = portal.token(origins=[PAGE, "http://localhost:3000"])
    expected: list[tuple[str, str | None]] = [
        (PAGE, PAGE),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://localhost:3000", None),
        ("https://evil.example", None),
        ("https://shop.example.evil.example", None),
        ("null", None),
    ]
    for origin, named in expected:
        page = portal.page(token, origin)
        for answer in (
            page.get("/v1/me"),
            page.get("/v1/access-tokens/gpat_0000000000000000"),
            page.post("/v1/access-tokens", json={}),
        ):
            assert answer.headers.get(NAMED) == named
            assert answer.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in answer.headers
            if named is None:
                assert reasons(answer) == (403, "origin_not_allowed")
            else:
                assert "ETag" in answer.headers["access-control-expose-headers"]


def test_another_credential_or_none_names_no_origin(portal: Portal) -> None:
    token = portal.token()
    access_token = portal.installation.access_token("charges:get")
    for credential in (None, access_token, portal.installation.sign_in(), "x", token[:-1]):
        client = portal.installation.client(credential)
        answer = client.get("/v1/me", headers={"Origin": PAGE})
        assert NAMED not in answer.headers
        assert answer.headers["vary"] == "Origin"
    broken = portal.redeem("x")
    assert NAMED not in broken.headers
    opened = portal.opened()["code"]
    assert portal.redeem(opened).headers[NAMED] == PAGE
    assert portal.redeem(opened).headers[NAMED] == PAGE
    assert NAMED not in portal.redeem(opened, "https://evil.example").headers


def test_without_an_origin_it_is_refused(portal: Portal) -> None:
    token = portal.token()
    client = portal.installation.client(token)
    assert reasons(client.get("/v1/me")) == (403, "origin_missing")
    referer = client.get("/v1/me", headers={"Referer": f"{PAGE}/tokens"})
    assert referer.status_code == 200
    twice = client.get("/v1/me", headers=[("Origin", PAGE), ("Origin", PAGE)])
    assert reasons(twice) == (403, "origin_not_allowed")
    # Our own portal page, in a browser that sends no Referer.
    ours = client.get("/v1/me", headers={"Sec-Fetch-Site": "same-origin"})
    assert ours.status_code == 200
    other = client.get("/v1/me", headers={"Sec-Fetch-Site": "same-site"})
    assert reasons(other) == (403, "origin_missing")


def test_preflights_name_any_origin(portal: Portal) -> None:
    client = portal.installation.client()
    methods: dict[str, set[str]] = {}
    for method, path in CROSS_ORIGIN:
        methods.setdefault(path, set()).add(method)
    for _, path in operations():
        where = re.sub(r"\{\w+\}", "gpat_0000000000000000", path)
        for origin in ("https://evil.example", "null"):
            asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
            answer = client.options(where, headers=asked)
            if path not in methods:
                assert answer.status_code == 405, path
                assert NAMED not in answer.headers
                continue
            assert answer.status_code == 204, path
            assert answer.headers[NAMED] == origin
            allowed = answer.headers["access-control-allow-methods"]
            assert set(allowed.split(", ")) == methods[path]
            assert answer.headers["access-control-allow-headers"] == (
                "Authorization, Content-Type, If-Match, Idempotency-Key"
            )
            assert answer.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in answer.headers
    # Not a preflight.
    for headers in ({"Origin": PAGE}, {"Access-Control-Request-Method": "GET"}):
        assert client.options("/v1/me", headers=headers).status_code == 405


@pytest.mark.parametrize("site", [None, "same-site", "same-origin", "none", "cross-site"])
def test_no_cookie_is_read_with_a_foreign_origin(portal: Portal, site: str | None) -> None:
    cookie = {"Cookie": f"gatepass={portal.installation.sign_in()}", "Origin": PAGE}
    headers = cookie if site is None else {**cookie, "Sec-Fetch-Site": site}
    client = portal.installation.client()
    bodies: dict[str, Any] = {"POST": TOKEN, "PATCH": {"label": "x"}}
    for method, path in REACHED:
        where = path.replace("{id}", "gpat_0000000000000000")
        answer = client.request(method, where, json=bodies.get(method), headers=headers)
        assert reasons(answer) == (401, "token_missing"), (method, path)
        assert NAMED not in answer.headers
