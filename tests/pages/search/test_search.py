"""The search in the bar: what one may see, a few of each kind, and no secret in its address."""

import pytest

from gatepass.registry.actor import Actor
from gatepass.web.pages.layout.visitor import Visitor
from gatepass.web.pages.search.destinations import destinations, matching
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit


def visitor(*permissions: str) -> Visitor:
    actor = Actor("user", "com_1", "usr_1", "Ada", frozenset(permissions), "gplt_1")
    return Visitor(actor, "Ada", "ada@example.com", "Desk", "Analytical Engines")


def test_tokens_people_roles_and_pages_are_found(installation: Installation, ada: Visit) -> None:
    token = installation.access_token("charges:get", label="Manager's report")[:21]
    installation.new_user("mana@example.com", "Mana Gerson", role="manager")
    page = ada.get("/search?q=+Manag")
    assert page.links[f"Manager's report {token}"] == f"/access-tokens/{token}"
    assert page.links["Manager Built in"] == "/company/roles/manager"
    page = ada.get("/search?q=mana@")
    assert "/company/users" in page.links["Mana Gerson mana@example.com"]
    page = ada.get("/search?q=vpn")
    assert page.links["Security My Company"] == "/company/security"
    assert ada.get(f"/search?q={token[:9]}").links[f"Manager's report {token}"]


def test_a_blank_search_lists_the_pages_one_may_open(ada: Visit) -> None:
    page = ada.get("/search")
    assert page.answer.status_code == 200
    for name in ("Security My Company", "Create an access token Access Tokens", "Audit log"):
        assert name in page.links


def test_only_what_one_may_see_is_found(installation: Installation, ada: Visit) -> None:
    installation.access_token("charges:get", label="Nightly settlement")
    role = {"name": "Nightly desk", "permissions": ["charges:get"]}
    made = installation.signed_in().post("/v1/roles", json=role).json()
    installation.new_user("nightly@example.com", "Nora Nightly", role=made["id"])
    nora = Visit.signed_in(installation.client(), "nightly@example.com")
    assert "Nothing found" in nora.get("/search?q=nightly").text
    assert "Nothing found" in nora.get("/search?q=webhooks").text
    installation.of_another_company("carl@example.com")
    carl = Visit.signed_in(installation.client(), "carl@example.com")
    assert "Nothing found" in carl.get("/search?q=nightly").text
    found = ada.get("/search?q=nightly").text
    for words in ("Nightly settlement", "Nightly desk", "Nora Nightly"):
        assert words in found


def test_more_than_a_few_lead_to_the_list(installation: Installation, ada: Visit) -> None:
    for number in range(6):
        installation.access_token("charges:get", label=f"Report {number}")
    page = ada.get("/search?q=report")
    assert "Report 5" in page.text
    assert "Report 0" not in page.text
    more = page.links["Show all access tokens that match"]
    assert "Report 0" in ada.get(more).text


def test_a_pasted_secret_leaves_the_address(installation: Installation, ada: Visit) -> None:
    text = installation.access_token("charges:get")
    answer = ada.get(f"/search?q={text}").answer
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/search?q={text[:21]}"


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("", ["Recent Authentications", "Profile", "Security", "Token policy"]),
        ("allowlist", ["Security"]),
        ("MY company", ["Profile", "Security", "Token policy"]),
        ("company vpn", ["Security"]),
        # Its name begins with it; sessions are a word for sign-ins.
        ("se", ["Security", "Recent Authentications"]),
        ("access request", []),
        ("nodes", []),
        ("invite", []),
    ],
)
def test_pages_are_found_by_what_people_call_them(q: str, names: list[str]) -> None:
    found = [page.name for page in matching(visitor("company:get"), q)]
    assert found[: len(names)] == names
    assert names or found == []


def test_requests_are_found_by_those_who_answer_them() -> None:
    for q in ("access requests", "ask for", "exception"):
        (page,) = matching(visitor("access-requests:decide"), q)
        assert page.path == "/access-requests"


def test_each_page_is_offered_once() -> None:
    paths = [page.path for page in destinations(visitor("*"))]
    assert len(paths) == len(set(paths))
