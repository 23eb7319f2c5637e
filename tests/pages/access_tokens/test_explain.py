"""The page of a refusal, and the one that tries a call."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gatepass.web.times import format_time
from tests.support.apps.installation import Installation
from tests.support.apps.refusals import refused
from tests.support.browser.page_reader import Page, Visit

FROM = {"address": "192.0.2.9"}
CHARGE = {"method": "POST", "path": "/v1/charges"}


@pytest.fixture
def text(installation: Installation) -> str:
    return installation.access_token("charges:get", label="Settlement", networks=["203.0.113.0/24"])


def outcomes(page: Page) -> list[str]:
    """Of the ten checks, as they are read aloud."""
    return [each["class"] for tag, each in page.elements if tag == "li" and _is_check(each)]


def _is_check(attributes: dict[str, str]) -> bool:
    return attributes.get("class") in ("passed", "failed", "not_reached", "not_applicable")


def test_a_refusal_leads_to_its_fix(installation: Installation, ada: Visit, text: str) -> None:
    path = f"/access-tokens/{text[:21]}"
    decision = refused(installation, text, permission="charges:get", **FROM)
    page = ada.get(f"/decisions/{decision}")
    page.shows("Settlement", "Refused 1 time", "192.0.2.9 is not in 203.0.113.0/24.")
    assert outcomes(page)[5:8] == ["passed", "failed", "not_reached"]
    fix = page.links["Add 192.0.2.9 to the token's networks"]
    form_page = ada.get(fix)
    form_page.shows("Not saved yet.", "A change was filled in for you")
    form = form_page.form(f"{path}/edit")
    assert form.all("network_address") == ["203.0.113.0", "192.0.2.9"]
    ada.send(f"{path}/edit", form.filled(do="save"), follow=True).shows("Saved.")
    page = ada.get(f"/decisions/{decision}")
    page.shows("It would be allowed now.")
    assert "failed" not in outcomes(page)
    assert installation.verify(text, permission="charges:get", **FROM)["allowed"]


def deactivate(installation: Installation, text: str) -> None:
    done = installation.signed_in().post(f"/v1/access-tokens/{text[:21]}/deactivate")
    assert done.status_code == 200


def deactivate_bob(installation: Installation, text: str) -> None:
    users = installation.signed_in().get("/v1/users").json()["items"]
    (bob,) = (each["id"] for each in users if each["email"] == "bob@example.com")
    done = installation.signed_in().post(
        f"/v1/users/{bob}/deactivate", json={"access_tokens": "keep"}
    )
    assert done.status_code == 200, done.text


def wait_a_minute(installation: Installation, text: str) -> None:
    installation.node.clock.offset_ns += 61_000_000_000


def rehearse(installation: Installation, text: str) -> None:
    asked = {"share": 100, "minutes": 5}
    done = installation.signed_in().post(f"/v1/access-tokens/{text[:21]}/rehearse", json=asked)
    assert done.status_code == 200, done.text


#: How a call comes to be refused, the reason, the call, the check that failed with what was
#: compared, and what the page offers: words of a link, or of a sentence.
WALKS: dict[str, tuple[Callable[..., None] | None, dict[str, Any], dict[str, str], str, str]] = {
    "token_deactivated": (
        *(deactivate, {}, {}),
        *("It is deactivated for good.", "Create a token with the same settings"),
    ),
    "token_pending": (
        *(None, {"pending": True}, {}),
        *("It waits for the approval of a second person.", "Approve it, or see who can"),
    ),
    "token_rehearsed": (
        *(rehearse, {}, {}),
        *(
            "A rehearsal of its deactivation refuses 100 %",
            "End the rehearsal, or rotate the token",
        ),
    ),
    "token_expired": (
        *(wait_a_minute, {"expires": True}, {}),
        *("It expired on", "Create a replacement of the token"),
    ),
    "account_deactivated": (
        *(deactivate_bob, {}, {}),
        *("Its owner is deactivated.", "Create a token with the same settings"),
    ),
    "company_address_not_allowed": (
        *(lambda installation, _: installation.allow_only("127.0.0.0/8"), {}, FROM),
        *("192.0.2.9 is not in", "Add 192.0.2.9 to the company's allowlist"),
    ),
    "address_not_allowed": (
        *(None, {"networks": ["203.0.113.0/24"]}, FROM),
        *("192.0.2.9 is not in 203.0.113.0/24.", "Add 192.0.2.9 to the token's networks"),
    ),
    "origin_missing": (
        *(None, {"kind": "ui"}, {}),
        *("The call has neither Origin nor Referer", "Call from a page that sends its Origin"),
    ),
    "origin_not_allowed": (
        *(
            None,
            {"kind": "ui", "domains": ["shop.example.com"]},
            {"origin": "https://evil.example"},
        ),
        *(
            "https://evil.example doesn't match shop.example.com.",
            "Add evil.example to the token's",
        ),
    ),
    "path_ambiguous": (
        *(None, {}, {"method": "GET", "path": "/v1/charges/../users"}),
        *("Two servers could read the path differently.", "Send the path without dot segments"),
    ),
    "route_unknown": (
        *(None, {}, {"method": "GET", "path": "/v1/nothing"}),
        *("No route of the catalogue matches", "Correct the method or path"),
    ),
    "permission_missing": (
        *(None, {}, {"permission": "charges:create"}),
        *("The token lacks charges:create.", "Add charges:create to the token's permissions"),
    ),
}


@pytest.mark.parametrize("reason", WALKS)
def test_every_refusal_leads_to_its_rule_and_its_fix_in_one_step(
    installation: Installation, ada: Visit, reason: str
) -> None:
    """The step is the address in the answer to the refused call."""
    before, settings, call, compared, way = WALKS[reason]
    settings = dict(settings)
    if settings.pop("pending", False):
        installation.require_approval("charges:get")
    if settings.pop("expires", False):
        settings["expires_at"] = format_time(installation.node.clock.now() + 60_000)
    installation.new_user("bob@example.com", "Bob", role="manager")
    text = installation.access_token("charges:get", maker="bob@example.com", **settings)
    if before is not None:
        before(installation, text)
    question = call if {"permission", "path"} & set(call) else call | {"permission": "charges:get"}
    answer = installation.verify(text, **question)
    assert answer["reason"] == reason
    installation.node.usage.flush()
    installation.node.fold()
    page = ada.get(urlsplit(answer["help"]).path)
    page.shows(compared, way)
    assert outcomes(page).count("failed") == 1
    assert page.text.index(compared) < page.text.index(way)
    link = next((path for words, path in page.links.items() if words.startswith(way)), None)
    if link is not None:
        assert ada.get(link).answer.status_code == 200
    called_from = ("origin_missing", "path_ambiguous", "route_unknown")
    assert (link is None) == (reason in called_from)


def test_a_permission_that_the_token_cannot_be_given(
    installation: Installation, ada: Visit, rita: Visit, text: str
) -> None:
    explain = f"/access-tokens/{text[:21]}/explain"
    call = {"permission": "charges:create", "address": "203.0.113.9"}
    installation.require_approval("charges:create")
    link = ada.get(explain, params=call).links["Create a token that holds charges:create"]
    assert ada.get(link).form("/access-tokens/new").all("permissions") == ["charges:create"]
    page = rita.get(explain, params=call)
    page.shows("Create a token that holds charges:create.", "Ask Ada Lovelace, who can do this.")
    call["permission"] = "own-account:modify"
    ada.get(explain, params=call).shows("Sign in and do it: no access token can hold what it needs")


def test_an_address_that_no_change_can_name(
    installation: Installation, ada: Visit, text: str
) -> None:
    explain = f"/access-tokens/{text[:21]}/explain"
    ada.get(explain, params={"permission": "charges:get"}).shows(
        "Let the gateway forward an IP address that can be read."
    )


@pytest.mark.parametrize("everyone", [False, True], ids=["token", "company"])
def test_many_addresses_that_were_counted_as_one(
    installation: Installation, ada: Visit, text: str, everyone: bool
) -> None:
    """The page names the network, and leaves it to a person how much of it."""
    if everyone:
        installation.allow_only("127.0.0.0/8")
    for number in range(24):
        question = {"permission": "charges:get", "address": f"2001:db8::{number + 1:x}"}
        assert not installation.verify(text, **question)["allowed"]
    installation.node.usage.flush()
    installation.node.fold()
    path = f"/v1/access-tokens/{text[:21]}/calls?outcome=refused"
    items = installation.signed_in().get(path).json()["items"]
    (counted,) = (each for each in items if each["address"] == "2001:db8::/64")
    page = ada.get(f"/decisions/{counted['decision']}")
    whose = "the company's allowlist" if everyone else "the token's networks"
    page.shows(f"Add 2001:db8::/64, or the part of it that calls, to {whose}.")
    link = page.links["Edit the allowlist" if everyone else "Edit the token"]
    assert ada.get(link).answer.status_code == 200


def test_a_call_with_an_obstacle_that_nothing_removes(
    installation: Installation, ada: Visit, text: str
) -> None:
    call = {"method": "GET", "path": "/v1/nothing", **FROM}
    page = ada.get(f"/access-tokens/{text[:21]}/explain", params=call)
    page.shows("192.0.2.9 is not in", "No change that can be offered here allows it")


def test_any_call_can_be_tried(installation: Installation, ada: Visit, text: str) -> None:
    path = f"/access-tokens/{text[:21]}"
    assert ada.get(path).links["Explain a call"] == f"{path}/explain"
    blank = ada.get(f"{path}/explain")
    form = blank.form(f"{path}/explain")
    assert (form.method, form.one("address")) == ("get", "127.0.0.1")
    assert "POST" in form.offered["method"]
    assert outcomes(blank) == []
    page = ada.get(f"{path}/explain", params={**CHARGE, "address": "203.0.113.9"})
    page.shows("403 permission_missing", "The token lacks charges:create. It holds charges:get.")
    assert "Add charges:create to the token's permissions" in page.links
    assert page.form(f"{path}/explain").one("path") == "/v1/charges"
    page = ada.get(
        f"{path}/explain", params={"permission": "charges:get", "address": "203.0.113.9"}
    )
    page.shows("Allowed.")
    assert outcomes(page).count("passed") == 8


def test_what_cannot_be_tried(ada: Visit, text: str) -> None:
    for query, *messages in (
        ({"permission": "charges:get", "address": "nowhere"}, "Must be an IP address such as"),
        ({"permission": "charges"}, "Must be a permission such as charges:create."),
        (
            {"path": "/v1/charges", "address": "nowhere"},
            "method and path go together",
            "Must be an IP address such as",
        ),
    ):
        page = ada.get(f"/access-tokens/{text[:21]}/explain", params=query)
        assert page.answer.status_code == 422
        page.shows(*messages)
        assert outcomes(page) == []


def test_several_changes_lead_to_several_forms(
    installation: Installation, ada: Visit, text: str
) -> None:
    installation.allow_only("127.0.0.0/8")
    path = f"/access-tokens/{text[:21]}"
    page = ada.get(f"{path}/explain", params={"permission": "charges:get", **FROM})
    page.shows(
        "Add 192.0.2.9 to the company's allowlist and add 192.0.2.9 to the token's networks."
    )
    edit, allowlist = page.links["Edit the token"], page.links["Edit the allowlist"]
    assert parse_qs(urlsplit(edit).query) == {"add_network": ["192.0.2.9/32"]}
    form = ada.get(allowlist).form("/company/security")
    assert form.all("network_address") == ["127.0.0.0", "192.0.2.9"]
    saved = ada.send("/company/security", form.filled(do="save"), follow=True)
    saved.shows("Saved. The list is in effect.")


def test_a_role_is_chosen_already(installation: Installation, ada: Visit) -> None:
    bob = installation.new_user("bob@example.com", "Bob", role="manager")
    text = installation.access_token("charges:create", maker="bob@example.com")
    demoted = {"role": "reporting"}
    answer = installation.signed_in().patch(f"/v1/users/{bob.id}", json=demoted)
    assert answer.status_code == 200, answer.text
    page = ada.get(f"/access-tokens/{text[:21]}/explain", params={"permission": "charges:create"})
    link = page.links["Give the token's owner the role Customer Service"]
    page = ada.get(link)
    page.shows("A role was chosen for you.")
    form = page.form(f"/company/users/{bob.id}/role")
    assert form.one("role") == "customer-service"


def test_those_who_may_not_are_told_who_may(
    installation: Installation, ada: Visit, rita: Visit, text: str
) -> None:
    decision = refused(installation, text, permission="charges:get", **FROM)
    page = rita.get(f"/decisions/{decision}")
    page.shows("Add 192.0.2.9 to the token's networks.", "Ask Ada Lovelace, who can do this.")
    assert not [path for path in page.links.values() if "/edit?" in path]


def test_an_expired_token_leads_to_its_replacement(installation: Installation, ada: Visit) -> None:
    now = installation.node.clock.now()
    text = installation.access_token("charges:get", expires_at=format_time(now + 60_000))
    installation.node.clock.offset_ns += 61_000_000_000
    page = ada.get(f"/access-tokens/{text[:21]}/explain", params={"permission": "charges:get"})
    page.shows("It expired on")
    assert f"/access-tokens/new?replace={text[:21]}" in page.links.values()


def test_a_refusal_that_has_not_arrived_is_waited_for(ada: Visit) -> None:
    path = "/decisions/dec_0000000000000000000000"
    page = ada.get(path)
    assert page.answer.status_code == 200
    page.shows("This refusal arrives within seconds")
    assert page.links["Look again"] == f"{path}?tried=1"
    (part,) = [each for tag, each in page.elements if each.get("id") == "decision"]
    assert part["data-live"] == f"{path}?tried=1"
    late = ada.get(f"{path}?tried=20")
    assert late.answer.status_code == 404
    late.shows("This refusal isn't here", "Refusals are kept for 90 days")
    (part,) = [each for tag, each in late.elements if each.get("id") == "decision"]
    assert "data-live" not in part
    # No number of ours.
    assert ada.get(f"{path}?tried=-7").answer.status_code == 404
    assert ada.get(f"{path}?tried=x").answer.status_code == 404
    assert ada.get("/decisions/dec_none").answer.status_code == 404


def test_who_may_open_it(installation: Installation, stranger: Visit, text: str) -> None:
    decision = refused(installation, text, permission="charges:get", **FROM)
    path = f"/decisions/{decision}"
    to = stranger.get(path).answer
    assert (to.status_code, to.headers["location"]) == (303, f"/sign-in?next={path}")
    installation.of_another_company()
    carl = Visit.signed_in(installation.client(), "carl@example.com")
    assert carl.get(path).answer.status_code == 404
    decoy = installation.signed_in().post(
        "/v1/access-tokens", json={"label": "Wiki", "kind": "decoy"}
    )
    ada = Visit.signed_in(installation.client())
    assert ada.get(f"/access-tokens/{decoy.json()['id']}/explain").answer.status_code == 404
