"""/company/webhooks: adding, watching, pausing, rotating and deleting."""

import re
from typing import Any

import httpx

from gatepass.registry.webhooks import queue
from gatepass.registry.webhooks.queue import Outcome
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit

PATH = "/company/webhooks"
URL = "https://hooks.example.com/services/key"


def secret_in(html: str) -> str:
    found = re.search(r"whsec_[A-Za-z0-9+/]+=*", html)
    assert found is not None, html
    return found[0]


def add(visit: Visit, **changes: Any) -> Any:
    """Send the form; the page with the secret."""
    form = visit.get(f"{PATH}/new").form(f"{PATH}/new")
    return visit.send(f"{PATH}/new", form.filled(**({"url": URL} | changes)))


def api(visit: Visit) -> httpx.Client:
    """The API, with the visitor's cookie."""
    visit.client.headers["Sec-Fetch-Site"] = "same-origin"
    return visit.client


def test_only_administrators_find_the_page(
    installation: Installation, ada: Visit, rita: Visit
) -> None:
    ada.get(PATH).shows("No webhooks yet")
    assert ada.get("/company").links["Webhooks"] == PATH
    installation.new_user("bob@example.com", "Bob", role="manager")
    for visit in (rita, Visit.signed_in(installation.client(), "bob@example.com")):
        assert "Webhooks" not in visit.get("/company").links
        for page in (PATH, f"{PATH}/new"):
            assert visit.get(page).answer.status_code == 403


def test_the_secret_is_shown_once(ada: Visit) -> None:
    form = ada.get(f"{PATH}/new").form(f"{PATH}/new")
    assert form.all("events") == ["access_token.*"]
    assert {"user.*", "user.deactivated", "allowlist.changed"} <= set(form.offered["events"])
    fields = form.filled(url=URL, events=["user.deactivated", "access_token.*"])
    created = ada.send(f"{PATH}/new", fields)
    secret = secret_in(created.html)
    assert created.answer.headers["cache-control"] == "no-store"
    created.shows("You won't be able to see this secret again.")
    again = ada.send(f"{PATH}/new", fields)
    assert again.answer.status_code == 409
    again.shows("This form was sent before")
    (webhook,) = api(ada).get("/v1/webhooks").json()["items"]
    assert webhook["events"] == ["access_token.*", "user.deactivated"]
    for page in (PATH, f"{PATH}/{webhook['id']}", f"{PATH}/{webhook['id']}/edit"):
        assert secret not in ada.get(page).html


def test_mistakes_are_shown_at_their_fields(admin: Visit) -> None:
    wrong = add(admin, url="https://127.0.0.1/", events=[])
    assert wrong.answer.status_code == 422
    wrong.shows("Must have a globally reachable address.", "Must have at least one.")
    assert wrong.form(f"{PATH}/new").one("url") == "https://127.0.0.1/"
    assert api(admin).get("/v1/webhooks").json()["items"] == []


def test_an_event_from_test_to_resend(installation: Installation, ada: Visit) -> None:
    add(ada)
    (webhook,) = api(ada).get("/v1/webhooks").json()["items"]
    path = f"{PATH}/{webhook['id']}"
    ada.get(path).shows("hooks.example.com", "Active", "Nothing was sent yet", URL)
    sent = ada.send(f"{path}/test", {}, follow=True)
    sent.shows("A test event is on its way.", "webhook.test", "Waiting", "On its way")
    with installation.write() as change:
        (claimed,) = queue.claim(change, queue.due(change, webhook["id"], 1))
        queue.settle(change, claimed, Outcome(None, "timed_out", 10_000))
    failed = ada.get(path)
    failed.shows("Failing", "No complete answer came within 10 seconds.", "next attempt")
    resend = failed.form(f"{path}/resend")
    again = ada.send(f"{path}/resend", resend.fields, follow=True)
    again.shows("The event is on its way again.", "Waiting")
    with installation.write() as change:
        (claimed,) = queue.claim(change, queue.due(change, webhook["id"], 1))
        queue.settle(change, claimed, Outcome(204, None, 1_234))
    ada.get(path).shows("Delivered", "Answered 204 in 1,234 ms · 2 attempts")
    assert ada.send(f"{path}/resend", {"delivery": "dlv_x"}).answer.status_code == 404


def test_pausing_and_resuming(ada: Visit) -> None:
    add(ada)
    (webhook,) = api(ada).get("/v1/webhooks").json()["items"]
    path = f"{PATH}/{webhook['id']}"
    ada.send(f"{path}/pause", {}, follow=True).shows(
        "Paused. Events wait until you resume it.", "Events wait here for up to 30 days."
    )
    refused = ada.send(f"{path}/test", {})
    assert refused.answer.status_code == 409
    refused.shows("This webhook is paused: resume it first.")
    ada.send(f"{path}/resume", {}, follow=True).shows("Resumed. What waited is on its way.")
    assert api(ada).get(f"/v1/webhooks/{webhook['id']}").json()["status"] == "active"


def test_why_gatepass_paused_it(installation: Installation, ada: Visit) -> None:
    add(ada)
    (webhook,) = api(ada).get("/v1/webhooks").json()["items"]
    path = f"{PATH}/{webhook['id']}"
    ada.send(f"{path}/test", {})
    with installation.write() as change:
        (claimed,) = queue.claim(change, queue.due(change, webhook["id"], 1))
        queue.settle(change, claimed, Outcome(410, None, 5))
    ada.get(path).shows("Paused", "the receiver answered 410 Gone", "Answered 410")
    ada.get("/audit-log").shows("The webhook hooks.example.com was paused: its receiver is gone")


def test_editing_shows_who_changed_it_meanwhile(ada: Visit, admin: Visit) -> None:
    add(ada)
    (webhook,) = api(ada).get("/v1/webhooks").json()["items"]
    edit = f"{PATH}/{webhook['id']}/edit"
    form = ada.get(edit).form(edit)
    assert form.one("url") == URL
    other = "https://other.example.com/"
    saved = admin.send(edit, admin.get(edit).form(edit).filled(url=other), follow=True)
    saved.shows("Saved. The changes apply from the next event.", other)
    late = ada.send(edit, form.filled(events=["user.*"]))
    assert late.answer.status_code == 409
    late.shows("Someone else changed this while you were editing", other, URL, "user.*")
    assert ada.send(edit, late.form(edit).fields).answer.status_code == 303
    changed = api(ada).get(f"/v1/webhooks/{webhook['id']}").json()
    assert (changed["url"], changed["events"]) == (URL, ["user.*"])


def test_rotating_the_secret(ada: Visit) -> None:
    first = secret_in(add(ada).html)
    (webhook,) = api(ada).get("/v1/webhooks").json()["items"]
    path = f"{PATH}/{webhook['id']}/rotate-secret"
    asked = ada.get(path)
    asked.shows("For 24 hours, requests carry signatures with the old and the new one")
    fields = asked.form(path).fields
    rotated = ada.send(path, fields)
    assert secret_in(rotated.html) != first
    assert ada.send(path, fields).answer.status_code == 409
    assert api(ada).get(f"/v1/webhooks/{webhook['id']}").json()["former_secret_until"]
    ada.get(path).shows("stops signing at once")


def test_deleting(ada: Visit, admin: Visit) -> None:
    add(ada)
    (webhook,) = api(ada).get("/v1/webhooks").json()["items"]
    path = f"{PATH}/{webhook['id']}/delete"
    asked = ada.get(path)
    asked.shows("Nothing is sent there any more", "This can't be undone.")
    admin.send(f"{PATH}/{webhook['id']}/pause", {})
    late = ada.send(path, asked.form(path).fields)
    assert late.answer.status_code == 409
    late.shows("Someone else changed this")
    ada.send(path, late.form(path).fields, follow=True).shows(
        "Deleted. Nothing is sent there any more.", "No webhooks yet"
    )


def test_a_company_has_twenty(ada: Visit) -> None:
    for _ in range(20):
        assert add(ada).answer.status_code == 200
    full = ada.get(PATH)
    full.shows("A company has up to 20 webhooks.")
    assert "Add a webhook" not in full.links
    refused = add(ada)
    assert refused.answer.status_code == 409
    refused.shows("A company has up to 20 webhooks.")
