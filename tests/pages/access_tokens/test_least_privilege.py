"""What a change would refuse, narrowing to what was used, and tokens by example."""

import re
from typing import Any

import pytest

from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.registry.tokens.calls import observed_calls, recency
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

OFFICE, ELSEWHERE = "203.0.113.9", "192.0.2.1"
READ = ObservedCall("allowed", ("charges:get",), "/v1/charges/{id}", "GET", OFFICE, None)
CREATE = ObservedCall("allowed", ("charges:create",), None, None, ELSEWHERE, None)
REFUSED = ObservedCall("permission_missing", ("charges:create",), None, None, OFFICE, None)


def used(installation: Installation, token: str, *calls: tuple[ObservedCall, int]) -> None:
    """Fold calls that were just made."""
    now = installation.node.clock.now()
    counted = [
        CountedCall(token, call.reason == "allowed", call, count, now, now) for call, count in calls
    ]
    with installation.node.database.auxiliary_write(now) as write:
        observed_calls.fold(write, counted)
        recency.used(write, {token: now})


@pytest.fixture
def token(installation: Installation) -> str:
    made = installation.access_token("charges:get", "charges:create", "refunds:get", label="Tills")
    return made[:21]


def test_an_edit_shows_which_calls_it_would_refuse(
    installation: Installation, ada: Visit, token: str
) -> None:
    path = f"/access-tokens/{token}/edit"
    form = ada.get(path).form(path)

    def check(pressed: str = "impact", **changes: Any) -> Page:
        return ada.send(path, form.filled(do=pressed, **changes))

    assert "last 30 days" not in check().text
    check(permissions=["charges:get"]).shows("No allowed calls were seen in the last 30 days")
    used(installation, token, (READ, 3_029), (CREATE, 12))
    narrower = check(permissions=["charges:get", "refunds:get"])
    narrower.shows("12 of 3,041 calls of the last 30 days would newly be refused.")
    narrower.shows(f"charges:create from {ELSEWHERE} · 12 calls, last just now")
    assert "Tills" not in narrower.text
    # Without scripts, a button does it.
    whole = check("check", permissions=["charges:get", "refunds:get"])
    whole.shows("12 of 3,041 calls", "Edit Tills")
    harmless = check(permissions=["charges:get", "charges:create"])
    harmless.shows("Of 3,041 calls in the last 30 days, none would newly be refused.")
    # What isn't valid yet, or decides nothing, has no impact.
    for changes in ({"label": "Other"}, {"permissions": []}):
        assert "last 30 days" not in check(**changes).text
    # An expiry refuses nothing yet; then it refuses all.
    ends = check(expire="1h")
    ends.shows(
        "All of its calls, 3,041 in the last 30 days, are refused from", "charges:create from"
    )
    both = check(expire="1h", permissions=["charges:get", "refunds:get"])
    both.shows("12 of 3,041 calls of the last 30 days would newly be refused.")
    assert re.search("From .* on, all of its calls are refused.", both.text)


def test_a_role_and_the_allowlist_show_it_too(
    installation: Installation, ada: Visit, token: str
) -> None:
    used(installation, token, (READ, 9), (CREATE, 1))
    security = "/company/security"
    form = ada.get(security).form(security)
    for pressed in ("impact", "check"):
        page = ada.send(security, form.filled(do=pressed, network_address=OFFICE))
        page.shows("1 of 10 calls of the last 30 days would newly be refused.", "Tills from")
        assert page.links["Tills"] == f"/access-tokens/{token}"
    made = ada.client.post(
        "/v1/roles",
        json={"name": "Desk", "permissions": ["charges:*", "access-tokens:create"]},
        headers={"Sec-Fetch-Site": "same-origin"},
    ).json()
    bob = installation.new_user("bob@example.com", "Bob", role=made["id"])
    bobs = installation.access_token("charges:get", maker="bob@example.com", label="Bob's")[:21]
    used(installation, bobs, (READ, 4))
    path = f"/company/roles/{made['id']}/edit"
    form = ada.get(path).form(path)
    page = ada.send(path, form.filled(do="impact", permissions=["charges:create"]))
    page.shows("4 of 4 calls of the last 30 days would newly be refused.", "Bob's from")
    assert "last 30 days" not in ada.send(path, form.filled(do="impact")).text
    path = f"/company/users/{bob.id}/role"
    form = ada.get(path).form(path)
    page = ada.send(path, form.filled(do="check", role="reporting"))
    page.shows("Of 4 calls in the last 30 days, none would newly be refused.")
    assert "last 30 days" not in ada.send(path, form.filled(do="impact")).text


def test_a_token_is_narrowed_and_the_narrowing_undone(
    installation: Installation, ada: Visit, token: str
) -> None:
    path = f"/access-tokens/{token}"
    assert ada.get(f"{path}/narrow").answer.status_code == 303
    used(installation, token, (READ, 20))
    page = ada.get(path)
    page.shows("Since it was created it used 1 of its 3 permissions, from 1 address.")
    assert page.links["Narrow it…"] == f"{path}/narrow"
    confirm = ada.get(f"{path}/narrow")
    confirm.shows("Goes charges:create refunds:get", "Stays charges:get")
    confirm.shows(f"Allowed then {OFFICE}/32")
    confirm.shows("It can read charges. It works from 203.0.113.9/32 and never expires.")
    form = confirm.form(f"{path}/narrow")
    assert form.all("narrow") == ["permissions", "networks"]
    preview = ada.send(f"{path}/narrow", form.filled(do="sentence", narrow=["networks"]))
    preview.shows("It can read and create charges; read refunds.")
    for changes in ({"narrow": []}, {"narrow": ["permissions"], "limits": '"other"'}):
        assert ada.send(
            f"{path}/narrow", form.filled(do="narrow", **changes)
        ).answer.status_code in (409, 422)
    done = ada.send(f"{path}/narrow", form.filled(do="narrow", narrow=["permissions"]), follow=True)
    done.shows("Narrowed. The change is in effect.", "by Ada Lovelace. Its limits refused no call")
    done.shows("It can read charges. It works from anywhere")
    undo = done.form(f"{path}/undo")
    back = ada.send(f"{path}/undo", undo.filled(), follow=True)
    back.shows("Undone. The token is as it was.", "It can read and create charges; read refunds.")
    assert ada.send(f"{path}/undo", undo.filled()).answer.status_code == 409
    # Once a call was refused, it isn't offered.
    ada.send(f"{path}/narrow", form.filled(do="narrow"))
    assert "Undo" in ada.get(path).text
    used(installation, token, (REFUSED, 1))
    assert "Undo" not in ada.get(path).text


def test_those_who_may_not_change_a_token_see_what_it_used(
    installation: Installation, rita: Visit, token: str
) -> None:
    used(installation, token, (READ, 20))
    page = rita.get(f"/access-tokens/{token}")
    page.shows("it used 1 of its 3 permissions")
    assert "Narrow it…" not in page.links
    for path in ("narrow", "keep"):
        assert rita.get(f"/access-tokens/{token}/{path}").answer.status_code == 403
    assert rita.get("/access-tokens/record").answer.status_code == 403


def test_a_token_by_example(installation: Installation, ada: Visit) -> None:
    record = "/access-tokens/record"
    assert ada.get("/access-tokens/new").links["Record calls"] == record
    form = ada.get(record).form(record)
    assert form.one("minutes") == "10"
    wrong = ada.send(record, form.filled(do="record", label="", networks="300.1.1.1"))
    assert wrong.answer.status_code == 422
    wrong = ada.send(record, form.filled(do="record", label=""))
    wrong.shows("1 field needs your attention")
    made = ada.send(record, form.filled(do="record", label="Tills", minutes="20"))
    made.shows("Created: Tills", "It can read and create charges; read refunds.")
    path = made.links["I have stored it"]
    again = ada.send(record, form.filled(do="record", label="Tills"))
    assert again.answer.headers["location"] == path
    ada.get(path).shows("What it used so far", "Nothing was called yet.")
    assert ada.get(f"{path}/keep").answer.status_code == 303
    used(installation, path[15:], (READ, 2))
    part = ada.get(f"{path}?part=recording")
    part.shows("2 calls. It used: charges:get 203.0.113.9/32")
    keep = f"{path}/keep"
    assert part.links["Keep what it used…"] == keep
    kept = ada.get(keep)
    kept.shows("It can read charges. It works from 203.0.113.9/32 until")
    form = kept.form(keep)
    assert (form.one("expire"), form.all("narrow")) == ("90d", ["networks"])
    ada.send(keep, form.filled(do="sentence", narrow=[])).shows("It works from anywhere until")
    assert ada.send(keep, form.filled(do="keep", expire="x")).answer.status_code == 422
    assert ada.send(keep, form.filled(do="keep", limits="")).answer.status_code == 409
    done = ada.send(keep, form.filled(do="keep", expire="never"), follow=True)
    done.shows("Kept. From now on", "It can read charges. It works from 203.0.113.9/32 and never")
    assert "What it used so far" not in done.text
    assert ada.get(keep).answer.headers["location"] == path


def test_a_recording_is_bound_by_the_policy(installation: Installation, ada: Visit) -> None:
    installation.require_approval("charges:create")
    record = "/access-tokens/record"
    page = ada.get(record)
    page.shows("the token can read charges and refunds", "a second person are left out")
    made = ada.send(record, page.form(record).filled(do="record", label="Tills"))
    assert "waits for a second person" not in made.text
    installation.require_approval("charges:*", "refunds:*")
    nothing = ada.get(record)
    nothing.shows("You hold no permission that a token could try")
    refused = ada.send(record, nothing.form(record).filled(do="record", label="Tills"))
    assert refused.answer.status_code == 422
