"""The first steps of a new company: who sees which, and when each is done."""

import json

import pytest

from gatepass.registry.authentication import totp
from gatepass.registry.membership import first_steps
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

PATH = "/access-tokens"


def done(page: Page) -> list[str]:
    """The titles of the steps that are done."""
    parts = page.html.partition('id="first-steps"')[2].partition("</section>")[0].split("<li")
    return [
        part.partition('class="step">')[2].partition("<")[0]
        for part in parts
        if 'class="done"' in part
    ]


def use(installation: Installation, token: str) -> None:
    """A call with *token*, as a verifier reports it."""
    node = installation.node
    at = node.clock.now()
    node.file.use_directory.mkdir(exist_ok=True)
    line = {"tokens": {token[:21]: [1, at, "203.0.113.9", "charges:get"]}, "decisions": {}}
    (node.file.use_directory / f"{at}.spool").write_bytes(json.dumps(line).encode() + b"\n")
    node.fold()


def test_each_step_is_done_by_what_the_records_say(installation: Installation, ada: Visit) -> None:
    page = ada.get(PATH)
    page.shows("First steps", "0 of 5 done")
    assert done(page) == []
    assert page.links["Create a token"] == "/access-tokens/new"
    assert page.links["Limit where from"] == "/company/security"
    assert "data-live" not in page.html, "there is no call to wait for"
    installation.signed_in().post("/v1/access-tokens", json={"label": "Wiki", "kind": "decoy"})
    assert done(ada.get(PATH)) == [], "a decoy calls nothing"
    token = installation.access_token("charges:get")
    page = ada.get(PATH)
    assert done(page) == ["Create a token"]
    assert page.links["Make the first call"] == f"/access-tokens/{token[:21]}"
    assert page.links["Limit where from"] == f"/access-tokens/{token[:21]}/edit"
    assert 'data-live="/access-tokens?part=first-steps"' in page.html
    part = ada.get(f"{PATH}?part=first-steps")
    assert "data-live" in part.html
    assert "<html" not in part.html
    use(installation, token)
    part = ada.get(f"{PATH}?part=first-steps")
    assert done(part) == ["Create a token", "Make the first call"]
    assert "data-live" not in part.html, "the page stops asking"
    body = {"email": "new@example.com", "role": "reporting"}
    installation.signed_in().post("/v1/invitations", json=body)
    installation.allow_only("127.0.0.0/8")
    ada.get(PATH).shows("4 of 5 done")
    node = installation.node
    node.encryption_key.create()
    installation.do(totp.enable, installation.ada.id, totp.new_secret(), 0, node.encryption_key)
    assert "First steps" not in ada.get(PATH).text
    ada.get(f"{PATH}?part=first-steps").shows("5 of 5 done")


def test_steps_are_for_those_who_may_take_them(installation: Installation, rita: Visit) -> None:
    assert "First steps" not in rita.get(PATH).text
    assert rita.get(f"{PATH}?part=first-steps").answer.status_code == 403
    role = {"name": "Maker", "permissions": ["charges:get", "access-tokens:create"]}
    role["permissions"] += ["access-tokens:search"]
    made = installation.signed_in().post("/v1/roles", json=role).json()["id"]
    installation.new_user("max@example.com", "Max", role=made)
    max_ = Visit.signed_in(installation.client(), "max@example.com")
    page = max_.get(PATH)
    page.shows("Create a token", "Make the first call", "Set up a second factor", "0 of 3 done")
    for other in ("Invite someone", "Limit where from"):
        assert other not in page.text
    token = installation.access_token("access-tokens:search")
    assert "First steps" not in Visit(installation.client(token)).get(PATH).text


def test_steps_can_be_hidden_and_end_with_the_first_month(
    installation: Installation, ada: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = ada.send("/access-tokens/first-steps/hide", {}, follow=True)
    assert "First steps" not in hidden.text
    assert "First steps" not in ada.get(PATH).text
    other = Visit.signed_in(installation.client())
    assert "First steps" in other.get(PATH).text, "hidden in that browser alone"
    monkeypatch.setattr(first_steps, "NEW_MS", 0)
    assert "First steps" not in other.get(PATH).text
