"""Accepting an invitation signs in: in the browser that the form was filled in, and no other."""

import httpx
import pytest

from gatepass.registry.membership import invitation_links
from gatepass.registry.storage.tables import companies
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Page, Visit

FIELDS = {"name": "Nell", "password": PASSWORD}


@pytest.fixture
def path(installation: Installation) -> str:
    """The path of a new invitation's link."""
    body = {"email": "nell@example.com", "role": "reporting"}
    made = installation.signed_in().post("/v1/invitations", json=body)
    now = installation.node.clock.now()
    with installation.node.database.auxiliary_write(now) as write:
        letter = invitation_links.make_link(write, made.json()["id"])
    assert letter is not None
    return f"/invitations/{letter.token}"


def log(installation: Installation) -> str:
    return Visit.signed_in(installation.client()).get("/audit-log").text


def test_it_leads_to_a_welcome_page(installation: Installation, stranger: Visit, path: str) -> None:
    answer = stranger.send(path, FIELDS).answer
    assert (answer.status_code, answer.headers["location"]) == (303, "/welcome")
    assert "httponly" in answer.headers["set-cookie"].lower()
    page = stranger.get("/welcome")
    page.shows("Welcome to Analytical Engines, Nell", "sign in with nell@example.com")
    assert page.links["Set up a second factor Then your password alone opens nothing."] == (
        "/account/two-factor"
    )
    assert "Nell signed in" in log(installation)
    people = Visit.signed_in(installation.client()).get("/company/users")
    assert "just now" in people.html.partition("Nell")[2].partition("</tr>")[0]
    stranger.send("/sign-out", {})
    stranger.sign_in("nell@example.com")


def test_a_required_second_factor_comes_first(
    installation: Installation, stranger: Visit, path: str
) -> None:
    with installation.write() as change:
        change.session.execute(companies.update().values(second_factor_required=True))
    assert stranger.send(path, FIELDS).answer.headers["location"] == "/welcome"
    for page in ("/welcome", "/access-tokens"):
        assert stranger.get(page).answer.headers["location"] == "/account/two-factor"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    ],
)
def test_no_other_site_signs_a_visitor_in(
    installation: Installation, stranger: Visit, path: str, headers: dict[str, str]
) -> None:
    """It could make its visitors use an account whose password it knows."""
    answer = stranger.send(path, FIELDS, headers=headers).answer
    assert answer.headers["location"] == "/invitations/accepted"
    assert "set-cookie" not in answer.headers
    assert "Nell signed in" not in log(installation)


def test_a_user_who_is_signed_in_stays_so(installation: Installation, path: str) -> None:
    ada = Visit.signed_in(installation.client())
    accepted = ada.send(path, FIELDS, follow=True)
    accepted.shows("Your account is ready", "Sign out Ada Lovelace")
    assert "Ada Lovelace" in ada.get("/account").text


def test_a_user_who_must_set_up_a_second_factor_stays_so(
    installation: Installation, path: str
) -> None:
    ada = Visit.signed_in(installation.client())
    with installation.write() as change:
        change.session.execute(companies.update().values(second_factor_required=True))
    assert "set-cookie" not in ada.send(path, FIELDS).answer.headers


def test_from_outside_the_allowlist_nobody_joins(
    installation: Installation, stranger: Visit, path: str
) -> None:
    installation.allow_only("203.0.113.0/24")
    refused = stranger.send(path, FIELDS)
    assert refused.answer.status_code == 403
    assert "set-cookie" not in refused.answer.headers
    inside = stranger.send(path, FIELDS, headers={"X-Forwarded-For": "203.0.113.9"})
    assert inside.answer.headers["location"] == "/welcome"
    assert stranger.get("/welcome").answer.status_code == 403


def test_the_api_signs_nobody_in(installation: Installation, path: str) -> None:
    body = {"token": path.rpartition("/")[2], **FIELDS}
    answer: httpx.Response = installation.client().post("/v1/invitations/accept", json=body)
    assert answer.status_code == 201
    assert answer.json().keys() == {"id", "name", "email", "role", "status", "created_at"}
    assert "set-cookie" not in answer.headers
    assert "Nell signed in" not in log(installation)


def test_the_welcome_page_offers_what_the_role_permits(
    installation: Installation, ada: Visit, stranger: Visit
) -> None:
    def offered(page: Page) -> set[str]:
        main = {href for _, href in page.links.items()}
        return main & {"/access-tokens/new", "/company/users/invite", "/account/two-factor"}

    assert len(offered(ada.get("/welcome"))) == 3
    installation.new_user("carl@example.com", "Carl", role="customer-service")
    carl = Visit.signed_in(installation.client(), "carl@example.com")
    assert offered(carl.get("/welcome")) == {"/account/two-factor"}
    assert stranger.get("/welcome").answer.headers["location"].startswith("/sign-in")
    token = Visit(installation.client(installation.access_token("access-tokens:search")))
    assert token.get("/welcome").answer.status_code == 403
