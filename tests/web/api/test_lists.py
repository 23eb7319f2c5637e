"""Lists: order, paging, filters, and strict query parameters."""

import re
from typing import Any

import httpx
import pytest

from tests.support.apps.all_routes import api_routes, queries
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit

SAMPLE = {"label": "Nightly settlement", "kind": "api", "permissions": ["charges:get"]}


#: Invalid values by list and parameter.
INVALID: dict[str, dict[str, list[str]]] = {
    "/v1/access-tokens": {
        "limit": ["0", "201", "-1", "five", "5.0", " 5", "1_0", "٥", "", "9" * 5_000],
        "cursor": ["nonsense", "", "ä\0", "W251bGwsbnVsbF0", "x" * 9_000],
        "status": ["Active", ""],
        "kind": ["login"],
        "permission": ["charges", "*", ""],
        "q": ["a\0b", "x" * 201],
    },
    "/v1/permissions": {
        "limit": ["0", "201"],
        "cursor": [
            "nonsense",
            "WzEsIm9mIGFub3RoZXIgbGlzdCJd",
            "Wzk5LCJjaGFyZ2VzOmdldCJd",
            "Wy0xLCJjaGFyZ2VzOmdldCJd",
        ],
    },
    "/v1/verifier-keys": {"limit": ["0", "201"], "cursor": ["nonsense"]},
    "/v1/admin-keys": {"limit": ["0", "201"], "cursor": ["nonsense"]},
    "/v1/companies": {"limit": ["0", "201"], "cursor": ["nonsense"], "external_id": ["a\0b"]},
    "/v1/companies/ext:x/owners": {"type": ["user", ""], "external_id": ["a\0b"]},
    "/v1/companies/ext:x/access-tokens": {"limit": ["0"], "status": ["Active"], "q": ["a\0b"]},
    "/v1/nodes": {"limit": ["0"], "cursor": ["nonsense"]},
    "/v1/audit-events": {
        "limit": ["0"],
        "cursor": ["nonsense"],
        "since": ["yesterday"],
        "until": ["2026-12-24T00:00:00"],
        "action": ["a\0b"],
    },
    "/v1/authentications": {"limit": ["0"], "cursor": ["nonsense"]},
}


def walk(client: Any, path: str, **query: Any) -> list[list[str]]:
    """The ids of every page."""
    pages: list[list[str]] = []
    cursor = None
    while True:
        page = client.get(path, params={**query, **({"cursor": cursor} if cursor else {})}).json()
        assert set(page) == {"items", "next"}
        pages.append([item["id"] for item in page["items"]])
        cursor = page["next"]
        if cursor is None:
            return pages


def test_permissions_and_verifier_keys_are_paged(installation: Installation) -> None:
    ada = installation.signed_in()
    whole = [known["name"] for known in ada.get("/v1/permissions").json()["items"]]
    assert whole[0] == "access-tokens:create"
    assert whole[-1] == "refunds:get"
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 4, **({"cursor": cursor} if cursor else {})}
        page = ada.get("/v1/permissions", params=query).json()
        assert 1 <= len(page["items"]) <= 4
        found += [known["name"] for known in page["items"]]
        cursor = page["next"]
    assert found == whole
    made = [installation.verifier_key(f"gateway {number}")[:21] for number in range(3)]
    assert walk(ada, "/v1/verifier-keys", limit=2) == [[made[2], made[1]], [made[0]]]


def test_every_valid_label_can_be_searched_for(ada: httpx.Client) -> None:
    for label in ("a\u00a0b", "👨\u200d👩", "\u200fאבג", "\u3000 x \ufeff"):
        made = ada.post("/v1/access-tokens", json={**SAMPLE, "label": label}).json()
        found = ada.get("/v1/access-tokens", params={"q": label})
        assert [token["id"] for token in found.json()["items"]] == [made["id"]]
    long = ada.get("/v1/access-tokens", params={"q": "x" * 201}).json()
    assert long["errors"] == [{"field": "q", "message": "Must have at most 200 characters."}]


def test_a_cursor_continues_newest_first(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    made = [
        ada.post("/v1/access-tokens", json={**SAMPLE, "label": f"Token {n}"}).json()["id"]
        for n in range(5)
    ]
    pages = walk(ada, "/v1/access-tokens", limit=2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [id for page in pages for id in page] == made[::-1]
    assert walk(ada, "/v1/access-tokens", limit=5) == [made[::-1]]
    events = walk(ada, "/v1/audit-events", limit=3)
    assert len({id for page in events for id in page}) == sum(map(len, events)) >= 8
    for _ in range(3):
        any_installation.sign_in()
    signed_in = walk(ada, "/v1/authentications", limit=1)
    assert [len(page) for page in signed_in] == [1, 1, 1, 1]


def test_access_tokens_are_found_by_label_id_status_permission_and_kind(
    any_installation: Installation,
) -> None:
    ada = any_installation.signed_in()

    def create(**fields: Any) -> str:
        return str(ada.post("/v1/access-tokens", json={**SAMPLE, **fields}).json()["id"])

    def found(**query: str) -> set[str]:
        answer = ada.get("/v1/access-tokens", params=query)
        assert answer.status_code == 200, answer.text
        return {token["id"] for token in answer.json()["items"]}

    night, ended = create(label="Nightly Ä% settlement"), create(label="Ended")
    shop = create(label="Shop_1", kind="ui", permissions=["refunds:*"])
    ada.post(f"/v1/access-tokens/{ended}/deactivate")
    assert found() == found(q="") == {night, ended, shop}
    assert found(q="nightly ä%") == {night}
    assert found(q="%") == {night}
    assert found(q="_") == {shop}
    assert found(q=night[:12]) == {night}
    assert found(q=night) == found(q=f" {night}\u00a0") == found(q=" nightly ") == {night}
    assert found(q=" ") == {night, ended, shop}
    assert found(status="active") == {night, shop}
    assert found(status="deactivated") == {ended}
    assert found(status="expired") == set()
    assert found(permission="charges:get") == {night, ended}
    assert shop in found(permission="refunds:*")
    assert found(kind="ui") == {shop}
    assert found(q="settle", status="active", kind="api") == {night}
    assert found(q="' OR 1=1 --") == set()


def test_an_invalid_query_value_is_named(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    for path, field, value in (
        (path, field, value)
        for path, fields in INVALID.items()
        for field, values in fields.items()
        for value in values
    ):
        answer = ada.get(path, params={field: value})
        assert answer.status_code == 422, (path, field, value, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert [error["field"] for error in answer.json()["errors"]] == [field], (path, value)


def test_a_repeated_parameter_is_refused(installation: Installation) -> None:
    twice = installation.signed_in().get("/v1/access-tokens?status=active&status=expired")
    assert twice.status_code == 422
    assert twice.json()["errors"] == [{"field": "status", "message": "Must be given only once."}]


#: The dependencies that authenticate one.
CALLERS = ("_caller", "_caller_or_portal", "administrator")


def with_a_caller() -> list[tuple[str, str]]:
    """Every operation of the API that authenticates its caller."""
    return sorted(
        (method, path)
        for path, route in api_routes()
        if _admits(route.dependant)
        for method in route.methods
    )


def _admits(dependant: Any) -> bool:
    return any(
        getattr(each.call, "__name__", "") in CALLERS or _admits(each)
        for each in dependant.dependencies
    )


@pytest.mark.parametrize(("method", "path"), with_a_caller())
def test_an_unknown_parameter_is_named(installation: Installation, method: str, path: str) -> None:
    """A misspelt filter would return everything. Without authentication it is 401."""
    address = re.sub(r"\{\w+\}", "x", path)
    query = {"statsu": "active", "Limit": "1", "utm_source": "mail"}
    stranger = installation.client().request(method, address, params=query)
    assert stranger.status_code == 401
    refused = installation.signed_in().request(method, address, params=query)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"field": name, "message": "Must be left out: there is no such parameter."}
        for name in query
    ]


def test_every_list_and_export_authenticates_its_caller() -> None:
    """So that the test of unknown parameters covers all of them."""
    seen = {path for method, path in with_a_caller() if method == "GET"}
    asking = {path for path, route in api_routes() if "GET" in route.methods and queries(route)}
    assert asking <= seen
    assert len(asking) > 8


def test_documented_parameters_are_known(ada: httpx.Client) -> None:
    for path, route in api_routes():
        if "GET" in route.methods and "{" not in path:
            for name in queries(route):
                answer = ada.get(path, params={name: "x"})
                assert "no such parameter" not in answer.text, (path, name)
    many = ada.get("/v1/users?" + "&".join(f"a{at}" for at in range(500)))
    assert len(many.json()["errors"]) == 20


def test_pages_ignore_unknown_parameters(installation: Installation) -> None:
    visit = Visit.signed_in(installation.client())
    assert visit.get("/access-tokens?utm_source=mail").answer.status_code == 200


def test_a_cursor_of_another_list_causes_no_error(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    for _ in range(2):
        ada.post("/v1/access-tokens", json=SAMPLE)
        any_installation.sign_in()
    cursors = {
        path: ada.get(path, params={"limit": 1}).json()["next"]
        for path in ("/v1/access-tokens", "/v1/audit-events", "/v1/authentications")
    }
    for path in cursors:
        for cursor in cursors.values():
            assert ada.get(path, params={"cursor": cursor}).status_code in (200, 422)


def test_the_catalogue_fits_one_page(installation: Installation) -> None:
    listed = installation.signed_in().get("/v1/permissions").json()
    assert listed["next"] is None
    by_name = {known["name"]: known for known in listed["items"]}
    assert by_name["charges:create"] == {
        "name": "charges:create",
        "title": "Create charges",
        "routes": ["POST /v1/charges"],
        "built_in": False,
    }
    assert by_name["audit:get"]["built_in"] is True
