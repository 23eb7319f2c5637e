"""Labels and names: visible, and without bidirectional controls, at every surface."""

from typing import Any

import httpx
import pytest

from tests.support.apps.installation import PASSWORD, Installation, Open
from tests.support.browser.page_reader import Visit
from tests.support.mail.mailbox import Mailbox

TOKEN = {"label": "Nightly", "kind": "api", "permissions": ["charges:get"]}
BAD = [
    "\u202eabc",
    "a\u202ab",
    "a\u2066b",
    "b\u2069",
    "\u3164",
    "\u2800",
    "\u200b\ufe0f",
    " ",
    "a\u2028b",
    "a\u2029b",
]
GOOD = ["לילה", "結算", "a\u200fb", "👨‍👩‍👧"]


def places(installation: Installation, ada: httpx.Client) -> dict[str, Any]:
    """By description: the field of a name, and a call that sends it."""
    token = ada.post("/v1/access-tokens", json=TOKEN).json()["id"]
    role = ada.post("/v1/roles", json={"name": "Till", "permissions": ["charges:get"]}).json()
    allowlist = "/v1/company/allowlist"
    return {
        "a new token": (
            "label",
            lambda name: ada.post("/v1/access-tokens", json={**TOKEN, "label": name}),
        ),
        "a token": (
            "label",
            lambda name: ada.patch(f"/v1/access-tokens/{token}", json={"label": name}),
        ),
        "a new role": (
            "name",
            lambda name: ada.post("/v1/roles", json={"name": name, "permissions": ["charges:get"]}),
        ),
        "a role": ("name", lambda name: ada.patch(f"/v1/roles/{role['id']}", json={"name": name})),
        "a company": ("name", lambda name: ada.patch("/v1/company", json={"name": name})),
        "a note": (
            "entries.0.note",
            lambda name: ada.post(
                f"{allowlist}/preview", json={"entries": [{"network": "10.0.0.0/8", "note": name}]}
            ),
        ),
    }


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_invisible_and_reordering_names_are_refused(installation: Installation, name: str) -> None:
    ada = installation.signed_in()
    for place, (field, call) in places(installation, ada).items():
        if place == "a note" and not any(0x2028 <= ord(sign) <= 0x2069 for sign in name):
            # A note isn't a link, so it may be blank.
            continue
        answer = call(name)
        assert answer.status_code == 422, place
        (error,) = answer.json()["errors"]
        assert error["field"] == field
        assert "ust" in error["message"]


@pytest.mark.parametrize("name", GOOD, ids=ascii)
def test_names_in_any_script_are_accepted(installation: Installation, name: str) -> None:
    ada = installation.signed_in()
    for place, (_, call) in places(installation, ada).items():
        if place != "a role":
            # The role created before has that name.
            assert call(name).status_code in (200, 201), place


@pytest.mark.parametrize("name", ["\u202eabc", "\u3164"], ids=ascii)
def test_a_user_cannot_choose_such_a_name(installation: Installation, name: str) -> None:
    visit = Visit.signed_in(installation.client())
    page = visit.get("/account")
    form = next(form for form in page.forms if form.all("name"))
    answer = visit.send(form.action, [*form.filled(name=name), ("do", "save")])
    assert answer.answer.status_code == 422
    assert installation.signed_in().get("/v1/me").json()["user"]["name"] == "Ada Lovelace"


@pytest.mark.parametrize("name", ["\u202eabc", "\u3164"], ids=ascii)
def test_an_invited_user_cannot_choose_such_a_name(
    open_installation: Open, sqlite_url: str, name: str
) -> None:
    with Mailbox() as mailbox:
        installation = open_installation(sqlite_url, smtp_url=mailbox.url)
        ada = installation.signed_in()
        ada.post("/v1/invitations", json={"email": "new@example.com", "role": "reporting"})
        installation.node.mailing.send_due()
        mailbox.wait()
        wanted = {"token": mailbox.token(), "name": name, "password": PASSWORD + " more"}
    refused = installation.client().post("/v1/invitations/accept", json=wanted)
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["name"]
    wanted["name"] = "Nora"
    assert installation.client().post("/v1/invitations/accept", json=wanted).status_code == 201
