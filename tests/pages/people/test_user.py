"""A user's page: what it shows, and who sees what."""

import pytest

from gatepass.registry.directory.users import User
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit

BOB = "bob@example.com"


@pytest.fixture
def path(bob: User) -> str:
    return f"/company/users/{bob.id}"


def visit_as(installation: Installation, email: str, role: str) -> Visit:
    installation.new_user(email, email.partition("@")[0].capitalize(), role=role)
    return Visit.signed_in(installation.client(), email)


def test_the_page_tells_all_of_a_user(installation: Installation, ada: Visit, path: str) -> None:
    installation.access_token("charges:get", label="Bob's own", maker=BOB)
    for each in range(12):
        installation.access_token("charges:get", label=f"Spare {each}", maker=BOB)
    page = ada.get(path)
    page.shows(
        "Bob Manager",
        BOB,
        "Manager: can do everything except change roles, webhooks and company settings.",
        "Charges all Refunds read",
        "Second factor Off",
        "Active access tokens 13",
        "Recent sign-ins",
        "127.0.0.1",
        "Recent events",
        "Bob Manager created the access token Spare 11",
    )
    user = path.rpartition("/")[2]
    assert page.links["See grid"] == "/company/roles/manager"
    assert page.links["All in the list"] == f"/access-tokens?owner={user}&status=any"
    assert page.links["All sign-ins"] == f"/authentications?user={user}"
    assert page.links["View in audit log"] == f"/audit-log?person={user}"
    assert len([href for href in page.links.values() if href.startswith("/access-tokens/")]) == 10
    ada.get(page.links["All in the list"]).shows("Bob's own", "13 tokens")
    assert page.links["Change role"] == f"{path}/role"
    assert page.links["Deactivate…"] == f"{path}/deactivate"


def test_nobody_sees_more_than_their_permissions_allow(
    installation: Installation, ada: Visit, path: str
) -> None:
    own = installation.signed_in().post(
        "/v1/roles", json={"name": "Desk", "permissions": ["users:get", "charges:get"]}
    )
    desk = own.json()["id"]
    dora = visit_as(installation, "dora@example.com", desk)
    page = dora.get(path)
    page.shows("Bob Manager", BOB, "Manager: can do everything except", "Second factor Off")
    for hidden in ("Active access tokens", "Recent sign-ins", "Recent events", "See grid"):
        assert hidden not in page.text
    assert "Change role" not in page.links
    itself = dora.get("/company/users")
    mine = dora.get(itself.links["Dora"])
    mine.shows("Desk: can read charges and users.", "Recent sign-ins", "Current")
    assert mine.links["All sign-ins"] == "/authentications"
    # What a role of the company's own permits needs roles:get.
    dan = visit_as(installation, "dan@example.com", desk).get(itself.links["Dora"])
    assert "Desk" in dan.text
    assert "can read charges" not in dan.text
    carl = visit_as(installation, "carl@example.com", "manager")
    carl.get(itself.links["Dora"]).shows("Desk: can read charges and users.")
    blind = visit_as(installation, "blind@example.com", "customer-service")
    assert blind.get(path).answer.status_code == 403
    rita = visit_as(installation, "rita@example.com", "reporting").get(path)
    rita.shows("Active access tokens", "Recent events", "See grid")
    assert "Recent sign-ins" not in rita.text
    assert "Change role" not in rita.links


def test_a_manager_may_not_change_an_administrator(installation: Installation, ada: Visit) -> None:
    mona = visit_as(installation, "mona@example.com", "manager")
    page = mona.get(f"/company/users/{installation.ada.id}")
    page.shows("Ada Lovelace", "Everything", "Only operators can change an operator's account.")
    assert "Change role" not in page.links
    cleo = installation.new_user("cleo@example.com", "Cleo Admin")
    mona.get(f"/company/users/{cleo.id}").shows("you can't change this account")


def test_an_access_token_sees_no_sign_ins_and_no_actions(
    installation: Installation, path: str
) -> None:
    token = installation.access_token("users:*", "access-tokens:search")
    page = Visit(installation.client(token)).get(path)
    page.shows("Bob Manager", "Active access tokens")
    assert "Recent sign-ins" not in page.text
    assert "Change role" not in page.links


def test_a_deactivated_user_and_those_of_others(
    installation: Installation, ada: Visit, path: str
) -> None:
    installation.access_token("charges:get", label="Bob's own", maker=BOB)
    ending = f"{path}/deactivate"
    ada.send(ending, ada.get(ending).form(ending).filled())
    page = ada.get(path)
    page.shows("Deactivated", "by Ada Lovelace", "Access tokens 1", "Bob's own")
    assert "Change role" not in page.links
    other = installation.new_company("Difference Engines")
    carl = installation.new_user("carl@example.com", "Carl", company=other)
    for wrong in (carl.id, "usr_nobody", "%00"):
        assert ada.get(f"/company/users/{wrong}").answer.status_code == 404, wrong
