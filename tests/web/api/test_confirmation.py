"""Changes that are committed although this node's copy lags behind."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from gatepass.registry.directory import users
from gatepass.registry.membership.invitation_links import make_link
from gatepass.web.cookies import cookie_name
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.apps.problems import reasons
from tests.support.browser.page_reader import Page, Visit

Held = Callable[[], Any]
UNCONFIRMED = "hasn't applied the change yet"
TOKEN = {"label": "Nightly", "kind": "api", "permissions": ["charges:get"]}


@pytest.fixture
def installation(open_installation: Any, postgresql_url: str) -> Installation:
    """An installation on PostgreSQL whose lease outlasts the test."""
    opened: Installation = open_installation(postgresql_url, max_staleness=600)
    return opened


@pytest.fixture
def held(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Held:
    """Holds the copy back by holding its write lock."""

    @contextmanager
    def hold() -> Iterator[None]:
        other = sqlite3.connect(installation.node.file.path, isolation_level=None, timeout=10)
        other.execute("BEGIN IMMEDIATE")
        try:
            with monkeypatch.context() as hurry:
                hurry.setattr("gatepass.node.copying.CONFIRM_SECONDS", 0.1)
                yield
        finally:
            other.execute("ROLLBACK")
            other.close()

    return hold


def confirmed(answer: httpx.Response) -> bool:
    return "gatepass-confirmed" not in answer.headers


def is_unconfirmed(answer: httpx.Response, **current: object) -> None:
    """Require 503 that says the change is committed, without Retry-After, and with the record."""
    problem = answer.json()
    assert (answer.status_code, problem["reason"]) == (503, "not_confirmed")
    assert "stands" in problem["detail"]
    assert "retry-after" not in answer.headers
    assert problem["current"].items() >= current.items()


def test_creations_return_the_record_unconfirmed(installation: Installation, held: Held) -> None:
    """A token's text exists nowhere else, so its creator must get it."""
    ada = installation.signed_in()
    role = {"name": "Till", "permissions": ["charges:get"]}
    invitation = {"email": "new@example.com", "role": "reporting"}
    assert confirmed(ada.post("/v1/roles", json=role | {"name": "First"}))
    with held():
        for path, body in (
            ("/v1/access-tokens", TOKEN),
            ("/v1/roles", role),
            ("/v1/invitations", invitation),
        ):
            made = ada.post(path, json=body)
            assert (made.status_code, made.headers["gatepass-confirmed"]) == (201, "false")
            assert made.json()["id"]
        signed_in = installation.client().post(
            "/v1/authentications", json={"email": "ada@example.com", "password": PASSWORD}
        )
        assert (signed_in.status_code, signed_in.headers["gatepass-confirmed"]) == (201, "false")
        # The sign-in is valid at once: the registry is asked.
        again = installation.client(signed_in.json()["token"])
        assert again.get("/v1/me").status_code == 200
        with installation.node.database.auxiliary_write(installation.node.clock.now()) as write:
            letter = make_link(write, ada.get("/v1/invitations").json()["items"][0]["id"])
            write.session.commit()
        assert letter is not None
        accepted = installation.client().post(
            "/v1/invitations/accept",
            json={"token": letter.token, "name": "New", "password": PASSWORD},
        )
        assert (accepted.status_code, accepted.headers["gatepass-confirmed"]) == (201, "false")


def test_unconfirmed_changes_are_503_with_the_record(
    installation: Installation, held: Held
) -> None:
    ada = installation.signed_in()
    token = ada.post("/v1/access-tokens", json=TOKEN).json()["id"]
    role = ada.post("/v1/roles", json={"name": "Till", "permissions": ["charges:get"]}).json()["id"]
    bob = installation.new_user("bob@example.com", "Bob", role="reporting").id
    invited = ada.post("/v1/invitations", json={"email": "new@example.com", "role": "reporting"})
    invitation = invited.json()["id"]
    with held():
        renamed = ada.patch(f"/v1/access-tokens/{token}", json={"label": "Renamed"})
        is_unconfirmed(renamed, id=token, label="Renamed")
        ended = ada.post(f"/v1/access-tokens/{token}/deactivate", json={})
        is_unconfirmed(ended, id=token, status="deactivated")
        is_unconfirmed(ada.patch(f"/v1/roles/{role}", json={"name": "Desk"}), id=role, name="Desk")
        assert reasons(ada.delete(f"/v1/roles/{role}")) == (503, "not_confirmed")
        is_unconfirmed(
            ada.patch(f"/v1/users/{bob}", json={"role": "manager"}), id=bob, role="manager"
        )
        off = ada.post(f"/v1/users/{bob}/deactivate", json={"access_tokens": "keep"})
        is_unconfirmed(off, id=bob, status="deactivated")
        is_unconfirmed(ada.patch("/v1/company", json={"name": "Engines"}), name="Engines")
        allowlist = {"entries": [{"network": "127.0.0.0/8", "note": ""}]}
        is_unconfirmed(ada.put("/v1/company/allowlist", json=allowlist), **allowlist)
        is_unconfirmed(ada.post(f"/v1/invitations/{invitation}/resend", json={}), status="pending")
        off = ada.post(f"/v1/invitations/{invitation}/deactivate", json={})
        is_unconfirmed(off, status="deactivated")
        is_unconfirmed(ada.post("/v1/authentications/deactivate-others", json={}), deactivated=0)
    assert ada.get(f"/v1/access-tokens/{token}").json()["status"] == "deactivated"
    assert ada.get("/v1/company").json()["name"] == "Engines"


def test_an_unconfirmed_sign_out_clears_the_cookie(installation: Installation, held: Held) -> None:
    name = cookie_name(installation.node.settings)
    text = installation.sign_in()
    browser = installation.client()
    browser.cookies.set(name, text)
    with held():
        left = browser.post("/v1/sign-out", json={}, headers={"Sec-Fetch-Site": "same-origin"})
    is_unconfirmed(left, id=text[:21], status="deactivated")
    assert f'{name}=""' in left.headers["set-cookie"]
    # Without a cookie, none is cleared.
    left = installation.signed_in().post("/v1/sign-out", json={})
    assert (left.status_code, "set-cookie" in left.headers) == (204, False)


def follow(visit: Visit, page: Page) -> Page:
    """Open the page that a form redirects to."""
    assert page.answer.status_code == 303, page.text
    return visit.get(page.answer.headers["location"])


def test_pages_show_unconfirmed_changes(installation: Installation, held: Held) -> None:
    visit = Visit(installation.client())
    with held():
        visit.sign_in()
        profile = visit.get("/account").form("/account").filled(name="Ada L.", do="save")
        shown = follow(visit, visit.send("/account", profile))
        assert UNCONFIRMED in shown.text
        assert "Ada L." in shown.text
        new = "/access-tokens/new"
        typed = visit.get(new).form(new)
        made = visit.send(new, typed.filled(label="Late", permissions=["charges:get"], do="create"))
        assert made.answer.status_code == 200
        assert UNCONFIRMED in made.text
        assert "Created: Late" in made.text
        invite = "/company/users/invite"
        typed = visit.get(invite).form(invite)
        sent = visit.send(invite, typed.filled(email="new@example.com", role="reporting"))
        assert UNCONFIRMED in follow(visit, sent).text
        left = visit.send("/sign-out", {})
        assert cookie_name(installation.node.settings) not in visit.client.cookies
        signed_out = follow(visit, left)
        assert UNCONFIRMED in signed_out.text
        assert "You are signed out." in signed_out.text
    with installation.node.database.read(installation.node.clock.now()) as reading:
        assert users.get(reading, installation.ada.id).name == "Ada L."
