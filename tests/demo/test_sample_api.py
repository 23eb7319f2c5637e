"""The sample API: what it does when it is reached, and that nothing reaches it unpermitted."""

import asyncio
from typing import Any

import httpx
import pytest

from gatepass.demo.sample_api import sample_api
from gatepass.demo.sample_store import FILE_NAME, SampleStore
from gatepass.registry.directory import users
from gatepass.registry.tokens import access_tokens

# Of every resource an id that is there.
IDS = ("charges", "refunds", "checkouts", "customers", "payouts", "webhooks")


@pytest.fixture(scope="module")
def all_of_it(demo: Any) -> str:
    """The text of a token that holds the whole catalogue."""
    return make(demo, [f"{resource}:*" for resource in IDS])


def make(demo: Any, permissions: list[str], **fields: Any) -> str:
    with demo.node.database.write(demo.node.clock.now()) as change:
        owner = users.by_email(change, demo.credentials.email)
        assert owner is not None
        return access_tokens.create(
            change,
            users.on_behalf_of(change, owner.id),
            catalogue=demo.node.catalogue,
            label="a test's",
            kind=fields.pop("kind", "api"),
            permissions=permissions,
            **fields,
        )[1]


def id_of(demo: Any, token: str, resource: str) -> str:
    if resource == "checkouts":
        made = demo.call("POST", "/demo/v1/checkouts", token)
    else:
        path = f"/demo/v1/{resource}"
        return str(demo.call("GET", path, token).json()["items"][0]["id"])
    return str(made.json()["id"])


def test_every_route_of_the_catalogue_is_answered_and_needs_its_permission(
    demo: Any, all_of_it: str
) -> None:
    bare = make(demo, ["webhooks:delete"])
    permissions = [each for each in demo.node.catalogue.permissions if each.routes]
    assert len(permissions) == 18
    for permission in permissions:
        method, path = permission.routes[0].split(" ")
        resource = path.split("/")[3]
        if "{id}" in path:
            path = path.replace("{id}", id_of(demo, all_of_it, resource))
        refused = demo.call(method, path)
        assert (refused.status_code, refused.json()["reason"]) == (401, "token_missing")
        if permission.name != "webhooks:delete":
            refused = demo.call(method, path, bare)
            assert (refused.status_code, refused.json()["reason"]) == (403, "permission_missing")
            assert f'scope="{permission.name}"' in refused.headers["www-authenticate"]
        # Whether a charge can be captured or refunded depends on where it stands.
        allowed = demo.call(method, path, all_of_it)
        assert allowed.status_code in ((200, 409) if permission.name[:8] == "charges:" else (200,))
        assert allowed.headers["access-control-allow-origin"] == "*"


def test_a_charge_lives_its_life(demo: Any, all_of_it: str) -> None:
    def call(method: str, path: str, **body: Any) -> Any:
        return demo.call(method, f"/demo/v1/charges{path}", all_of_it, json=body or None)

    charge = call("POST", "", amount=1250, currency="EUR", capture=False).json()
    assert (charge["amount"], charge["currency"], charge["status"]) == (1250, "EUR", "authorised")
    assert charge["made_with"] == all_of_it[:21]
    at = f"/{charge['id']}"
    assert call("GET", at).json() == charge
    assert call("GET", "").json()["items"][0] == charge
    assert call("POST", f"{at}/refund").status_code == 409
    assert call("POST", f"{at}/capture").json()["status"] == "succeeded"
    assert call("POST", f"{at}/capture").status_code == 409
    refund = call("POST", f"{at}/refund").json()
    assert (refund["charge"], refund["amount"]) == (charge["id"], 1250)
    assert call("GET", at).json()["status"] == "refunded"
    assert call("POST", f"{at}/refund").json()["reason"] == "conflict"


def test_customers_and_webhooks_change_and_go(demo: Any, all_of_it: str) -> None:
    made = demo.call("POST", "/demo/v1/customers", all_of_it, json={"name": "Zoë", "email": "z@z"})
    path = f"/demo/v1/customers/{made.json()['id']}"
    changed = demo.call("PATCH", path, all_of_it, json={"name": "Zoë K."}).json()
    assert (changed["name"], changed["email"]) == ("Zoë K.", "z@z")
    hook = demo.call("POST", "/demo/v1/webhooks", all_of_it).json()["id"]
    assert demo.call("DELETE", f"/demo/v1/webhooks/{hook}", all_of_it).status_code == 200
    assert demo.call("DELETE", f"/demo/v1/webhooks/{hook}", all_of_it).status_code == 404


@pytest.mark.parametrize(
    ("status", "reason", "body"),
    [
        (400, "broken_json", b"{"),
        (422, "invalid", b'{"amount": "a lot"}'),
        (422, "invalid", b'{"amount": 0}'),
        (422, "invalid", b'{"currency": "euro"}'),
        (422, "invalid", b"[]"),
        (413, "too_large", b'{"description": "' + b"x" * 70_000 + b'"}'),
    ],
)
def test_what_cannot_be_read_is_a_problem(
    demo: Any, all_of_it: str, status: int, reason: str, body: bytes
) -> None:
    answer = demo.call("POST", "/demo/v1/charges", all_of_it, content=body)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "٣", "9" * 5000])
def test_a_limit_is_a_small_number(demo: Any, all_of_it: str, limit: str) -> None:
    answer = demo.call("GET", f"/demo/v1/charges?limit={limit}", all_of_it)
    assert answer.status_code == 422
    assert demo.call("GET", "/demo/v1/charges?limit=2", all_of_it).json()["items"][1:]


def test_unknown_ids_and_paths(demo: Any, all_of_it: str) -> None:
    answer = demo.call("GET", "/demo/v1/charges/ch_nobody", all_of_it)
    assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")
    for method, path in (("GET", "/demo/v1/secrets"), ("PUT", "/demo/v1/charges")):
        answer = demo.call(method, path, all_of_it)
        assert (answer.status_code, answer.json()["reason"]) == (403, "route_unknown")
    answer = demo.call("GET", "/demo/v1/charges/", all_of_it)
    assert answer.json()["reason"] == "path_ambiguous"
    assert demo.call("GET", "/demo/v1", all_of_it).json()["reason"] == "route_unknown"


def test_workers_share_what_was_made(demo: Any, all_of_it: str) -> None:
    """Another process's store on the same file shows the charge this one made."""
    made = demo.call("POST", "/demo/v1/charges", all_of_it).json()
    other = SampleStore(demo.node.settings.data_dir / FILE_NAME)

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app=sample_api(other))
        async with httpx.AsyncClient(transport=transport, base_url="http://other") as client:
            return await client.get(f"/demo/v1/charges/{made['id']}")

    assert asyncio.run(get()).json() == made


def test_a_deactivated_token_is_refused_on_the_very_next_call(demo: Any) -> None:
    token = make(demo, ["charges:search"])
    assert demo.call("GET", "/demo/v1/charges", token).status_code == 200
    with demo.node.database.write(demo.node.clock.now()) as change:
        owner = users.by_email(change, demo.credentials.email)
        assert owner is not None
        access_tokens.deactivate(change, users.on_behalf_of(change, owner.id), token[:21])
    answer = demo.call("GET", "/demo/v1/charges", token)
    assert (answer.status_code, answer.json()["reason"]) == (401, "token_deactivated")


def test_networks_count_here_too(demo: Any) -> None:
    token = make(demo, ["charges:search"], networks=["203.0.113.0/24"])
    refused = demo.call("GET", "/demo/v1/charges", token)
    assert refused.json()["reason"] == "address_not_allowed"
    # 127.0.0.1 is a trusted proxy by default, and may speak for another address.
    headers = {"x-forwarded-for": "203.0.113.9"}
    assert demo.call("GET", "/demo/v1/charges", token, headers=headers).status_code == 200
