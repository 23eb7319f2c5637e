"""A token's page: showing, editing and deactivating it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from gatepass.core.grants import Holder
from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.registry.directory import users
from gatepass.registry.grants.publishing import publish
from gatepass.registry.storage import tables
from gatepass.registry.tokens.calls import observed_calls, usage
from gatepass.registry.tokens.input import CHANGEABLE
from gatepass.verify.spools import Batch
from gatepass.web.pages.text.times import DAY, HOUR
from gatepass.web.times import format_time
from tests.support.apps.installation import Installation
from tests.support.apps.used_tokens import use
from tests.support.browser.page_reader import Page, Visit
from tests.support.token_fields import FIRST, SECOND, shown_words


@pytest.fixture
def text(installation: Installation) -> str:
    return installation.access_token(
        "charges:create", "charges:get", label="Settlement", networks=["203.0.113.0/24"]
    )


@pytest.fixture
def path(text: str) -> str:
    return f"/access-tokens/{text[:21]}"


def test_a_sentence_summarizes_the_token(ada: Visit, path: str) -> None:
    page = ada.get(path)
    assert page.answer.status_code == 200
    page.shows(
        "Settlement",
        path.rpartition("/")[2],
        "It can read and create charges. It works from 203.0.113.0/24 and never expires.",
        "See one charge",
        "203.0.113.0 – 203.0.113.255 · 256 addresses",
        "Never used.",
        "Ada Lovelace created the access token Settlement",
        "auth_request /_gatepass;",
    )
    assert page.links["Edit"] == f"{path}/edit"
    assert page.links["Deactivate Permanently…"] == f"{path}/deactivate"


def test_every_field_is_shown_edited_and_copied_to_a_replacement(
    installation: Installation, ada: Visit
) -> None:
    def sent(fields: dict[str, object]) -> dict[str, Any]:
        return {**fields, "expires_at": format_time(int(str(fields["expires_at"])))}

    def stored(id: str) -> dict[str, Any]:
        record = installation.signed_in().get(f"/v1/access-tokens/{id}").json()
        return {name: record[name] for name in CHANGEABLE}

    made = installation.signed_in().post("/v1/access-tokens", json={**sent(FIRST), "kind": "ui"})
    id = made.json()["id"]
    path = f"/access-tokens/{id}"
    assert [word for word in shown_words(FIRST) if word not in ada.get(path).text] == []

    new = ada.get(f"/access-tokens/new?replace={id}").form("/access-tokens/new")
    page = ada.send("/access-tokens/new", new.filled(do="create"))
    replacement = stored(page.links["Create a replacement"].rpartition("=")[2])
    assert replacement["expires_at"] is not None, "the lifetime is copied, counted from now"
    its_own = {"expires_at": replacement["expires_at"], "external_id": None}
    assert replacement == sent(FIRST) | its_own

    form = ada.get(f"{path}/edit").form(f"{path}/edit")
    installation.signed_in().patch(f"/v1{path}", json=sent(SECOND))
    conflict = ada.send(f"{path}/edit", form.filled(do="save"))
    assert conflict.answer.status_code == 409
    assert [word for word in shown_words(SECOND) if word not in conflict.text] == []
    ada.send(f"{path}/edit", conflict.form(f"{path}/edit").filled(do="save"))
    assert stored(id) == sent(FIRST), "all that was typed replaces what the other one saved"


def test_use_is_shown(installation: Installation, ada: Visit, text: str, path: str) -> None:
    use(installation.node, text, 2 * 60_000 + 5_000)
    page = ada.get(path)
    page.shows("7 calls in total", "2 min ago", "203.0.113.9", "charges:get")
    classes = [each.get("class") for tag, each in page.elements if tag == "rect" and "x" in each]
    assert (classes.count("slot"), classes.count("allowed")) == (30, 1)
    assert "2 min ago" in ada.get("/access-tokens").text


def test_permissions_that_the_creators_role_lost_are_struck_out(
    installation: Installation, ada: Visit
) -> None:
    installation.new_user("max@example.com", "Max Manager", role="manager")
    text = installation.access_token(
        "charges:get", "refunds:get", "users:get", maker="max@example.com"
    )
    assert "not in the role" not in ada.get(f"/access-tokens/{text[:21]}").text
    lose_permissions(installation, "max@example.com")
    page = ada.get(f"/access-tokens/{text[:21]}")
    assert "The role of its owner, Max Manager, no longer includes" in page.text
    assert "not in the role" in page.text
    assert "It can read charges and refunds" in page.text


def lose_permissions(installation: Installation, email: str) -> None:
    """Give a user the role Customer Service, which holds the file's permissions alone."""
    node = installation.node
    with node.database.write(node.clock.now()) as change:
        user = users.by_email(change, email)
        assert user is not None
        change.session.execute(
            update(tables.users).where(tables.users.c.id == user.id).values(role="customer-service")
        )
        publish(change, Holder(user.id, user.company, True, "customer-service"))


def test_edits_take_effect_at_once(
    installation: Installation, ada: Visit, text: str, path: str
) -> None:
    form = ada.get(f"{path}/edit").form(f"{path}/edit")
    assert form.one("label") == "Settlement"
    assert form.all("permissions") == ["charges:create", "charges:get"]
    assert "kind" not in form.offered
    page = ada.send(
        f"{path}/edit",
        form.filled(
            label="Settled",
            permissions=["charges:get"],
            network_address="10.0.0.0",
            network_bits="8",
            expire="30d",
            do="save",
        ),
        follow=True,
    )
    page.shows("Saved. The changes are in effect.", "Settled", "Ada Lovelace changed the")
    ask = {"permission": "charges:create", "address": "10.1.1.1"}
    assert installation.verify(text, **ask)["reason"] == "permission_missing"
    assert installation.verify(text, permission="charges:get", address="10.1.1.1")["allowed"]


def test_an_unedited_expiry_keeps_its_milliseconds(installation: Installation, ada: Visit) -> None:
    text = installation.access_token("charges:get", expires_at="2030-01-02T03:04:05.678Z")
    path = f"/access-tokens/{text[:21]}/edit"
    form = ada.get(path).form(path)
    assert form.one("expires_on") == "2030-01-02T03:04"
    ada.send(path, form.filled(label="another", do="save"))
    record = installation.signed_in().get(f"/v1/access-tokens/{text[:21]}").json()
    assert record["label"] == "another"
    assert record["expires_at"] == "2030-01-02T03:04:05.678Z"


def test_a_conflict_shows_both_versions_and_keeps_the_input(
    installation: Installation, ada: Visit, path: str
) -> None:
    edit = f"{path}/edit"
    mine = (
        ada.get(edit)
        .form(edit)
        .filled(label="Mine", network_address="10.0.0.0", network_bits="8", do="save")
    )
    theirs = installation.signed_in().patch(
        f"/v1{path}", json={"label": "Theirs", "expires_at": "2031-01-01T00:00:00Z"}
    )
    assert theirs.status_code == 200
    page = ada.send(edit, mine)
    assert page.answer.status_code == 409
    page.shows(
        "You changed this in another tab while you were editing",
        "You saved changes just now",
        "Theirs",
        "Mine",
        "203.0.113.0/24",
        "10.0.0.0/8",
        "1 Jan 2031, 00:00 UTC",
    )
    form = page.form(edit)
    assert form.one("label") == "Mine"
    saved = ada.send(edit, form.filled(do="save"), follow=True)
    saved.shows("Saved.", "Mine")


@pytest.mark.parametrize("tag", ["", "nonsense", '"', '"*"'])
def test_a_form_without_the_current_version_is_refused(ada: Visit, path: str, tag: str) -> None:
    edit = f"{path}/edit"
    form = ada.get(edit).form(edit)
    assert ada.send(edit, form.filled(label="x", etag=tag, do="save")).answer.status_code == 409
    assert "Settlement" in ada.get(path).text


def test_errors_are_shown_at_their_fields(ada: Visit, path: str) -> None:
    edit = f"{path}/edit"
    form = ada.get(edit).form(edit)
    page = ada.send(edit, form.filled(label="", network_address="x", network_bits="", do="save"))
    assert page.answer.status_code == 422
    assert page.form(edit).one("network_address") == "x"
    row = ada.send(edit, form.filled(do="add_network")).form(edit)
    assert row.all("network_address") == ["203.0.113.0", ""]


def test_a_conflict_may_have_invalid_input_besides(
    installation: Installation, ada: Visit, path: str
) -> None:
    edit = f"{path}/edit"
    form = ada.get(edit).form(edit)
    installation.signed_in().patch(f"/v1{path}", json={"label": "Theirs"})
    page = ada.send(edit, form.filled(network_address="x", network_bits="", do="save"))
    assert page.answer.status_code == 422


def test_deactivated_tokens_cannot_be_edited(ada: Visit, path: str) -> None:
    ada.send(f"{path}/deactivate", {})
    page = ada.get(f"{path}/edit")
    assert page.answer.status_code == 409
    assert "This token is deactivated and can't be changed." in page.text
    assert ada.send(f"{path}/edit", {"do": "save"}).answer.status_code == 409


def test_users_with_fewer_permissions_cannot_edit_the_token(installation: Installation) -> None:
    text = installation.access_token("charges:get", "roles:*")
    installation.new_user("max@example.com", "Max", role="manager")
    max_ = Visit.signed_in(installation.client(), "max@example.com")
    page = max_.get(f"/access-tokens/{text[:21]}/edit")
    assert page.answer.status_code == 403
    assert "roles:*" in page.text


def test_deactivation_is_explained_and_immediate(
    installation: Installation, ada: Visit, text: str, path: str
) -> None:
    ask = {"permission": "charges:get", "address": "203.0.113.9"}
    assert installation.verify(text, **ask)["allowed"]
    page = ada.get(f"{path}/deactivate")
    page.shows("Every call with this token will be refused", "This can't be undone")
    done = ada.send(f"{path}/deactivate", page.form(f"{path}/deactivate").filled(), follow=True)
    done.shows("Deactivated permanently", "Deactivated permanently by Ada Lovelace just now")
    assert installation.verify(text, **ask)["reason"] == "token_deactivated"
    assert ada.send(f"{path}/deactivate", {}).answer.status_code == 303
    assert ada.get(f"{path}/deactivate").answer.status_code == 303
    assert "Deactivate Permanently…" not in done.links


def test_deactivating_a_token_in_use_needs_its_label(
    installation: Installation, ada: Visit, text: str, path: str
) -> None:
    use(installation.node, text, 10 * 60_000)
    page = ada.get(f"{path}/deactivate")
    page.shows("This token is in use", "type the label: Settlement")
    for typed, words in (("", "type the label"), ("settlement", "Must be the label shown above.")):
        refused = ada.send(f"{path}/deactivate", {"label": typed})
        assert refused.answer.status_code == 422
        assert words in refused.text
    assert "Active" in ada.get(path).text
    assert ada.send(f"{path}/deactivate", {"label": "Settlement"}).answer.status_code == 303
    assert "Deactivated permanently" in ada.get(path).text


def test_an_hour_after_its_use_the_label_is_not_needed(
    installation: Installation, ada: Visit, text: str, path: str
) -> None:
    use(installation.node, text, 61 * 60_000)
    assert "This token is in use" not in ada.get(f"{path}/deactivate").text
    assert ada.send(f"{path}/deactivate", {}).answer.status_code == 303


def test_users_deactivate_their_own_tokens_without_the_permission(
    installation: Installation,
) -> None:
    carl = installation.new_user("carl@example.com", "Carl", role="manager")
    own = installation.access_token("charges:get", maker="carl@example.com")
    others = installation.access_token("charges:get")
    lose_permissions(installation, carl.email)
    visit = Visit.signed_in(installation.client(), "carl@example.com")
    assert visit.send(f"/access-tokens/{own[:21]}/deactivate", {}).answer.status_code == 303
    for page in (
        visit.get(f"/access-tokens/{others[:21]}/deactivate"),
        visit.send(f"/access-tokens/{others[:21]}/deactivate", {}),
    ):
        assert page.answer.status_code == 403
        assert "access-tokens:deactivate" in page.text
    assert "Deactivate Permanently…" not in visit.get(f"/access-tokens/{others[:21]}").links


def test_an_expired_token_says_so(installation: Installation, ada: Visit) -> None:
    soon = installation.node.clock.now() + 60_000
    text = installation.access_token("charges:get", expires_at=format_time(soon))
    installation.node.clock.offset_ns += 60_000_000_000
    page = ada.get(f"/access-tokens/{text[:21]}")
    page.shows("Expired just now", "token_expired")
    assert page.links["create a replacement"] == f"/access-tokens/new?replace={text[:21]}"
    assert ada.get(f"/access-tokens/{text[:21]}/edit").answer.status_code == 409


@pytest.mark.parametrize("token", ["gpat_nobody0000000000", "x", "%00", "%2e%2e", "ü"])
def test_an_unknown_token_gets_a_page(ada: Visit, token: str) -> None:
    page: Page = ada.get(f"/access-tokens/{token}", headers={"Accept": "text/html"})
    assert page.answer.status_code == 404
    assert "Page not found" in page.text


def test_calls_are_shown_by_day_and_refused_ones_by_name(
    installation: Installation, ada: Visit, text: str, path: str
) -> None:
    """Refused ones first, with the reason in words and a way to its explanation."""
    ada.get(path).shows("Never used. Calls appear here within seconds")
    now = installation.node.clock.now()

    def call(reason: str, *facts: str | None, needed: str = "charges:get") -> ObservedCall:
        return ObservedCall(reason, (needed,) if needed else (), *facts)

    get = call("allowed", "/v1/charges/{id}", "GET", "203.0.113.9", None)
    unknown = call("route_unknown", None, None, "203.0.113.9", "https://shop.example", needed="")
    missing = call("permission_missing", None, None, None, None, needed="refunds:create")
    calls = [
        *((True, get, 700, 0), (True, get, 800, 2), (True, get, 9_000, 31)),
        *((False, unknown, 2, 1), (False, missing, 1, 8), (False, None, 5, 1)),
    ]
    with installation.node.database.auxiliary_write(now) as write:
        observed_calls.fold(
            write,
            [
                CountedCall(text[:21], allowed, made, count, now - ago * DAY, now - ago * DAY)
                for allowed, made, count, ago in calls
            ],
        )
    use(installation.node, text, 2 * 60_000)
    page = ada.get(path)
    page.shows("7 allowed", "8 refused", "in the last 30 days", "Refused calls")
    page.shows(
        *("A path that isn't in the catalogue", "https://shop.example"),
        "No route of the catalogue matches this method and path.",
        *("refunds:create", "The credential doesn't hold the permission this needs."),
        "Other calls, too many to tell apart",
    )
    assert "1,500" not in page.text
    decisions = [href for href in page.links.values() if href.startswith("/decisions/")]
    assert len(decisions) == 2
    assert all(href.startswith("/decisions/dec_") for href in decisions)
    all_ = ada.get(page.links["Show all calls"])
    all_.shows(
        "GET /v1/charges/{id}", "1,500×", "first 2 days ago", "last just now", "refunds:create"
    )
    assert "9,000" not in all_.text
    week = ada.get(page.links["7 days"])
    week.shows("7 refused", "in the last 7 days")
    assert "refunds:create" not in week.text
    assert "refunds:create" in ada.get(f"{path}?days=x&calls=x&page=-1").text
    ada.get(f"{path}?page=9").shows("There are no more calls.")
    quarter = ada.get(f"{week.links['90 days']}")
    ada.get(quarter.links["Show all calls"]).shows("10,500×")


def test_the_last_24_hours_are_shown_by_the_hour(
    installation: Installation, ada: Visit, text: str, path: str
) -> None:
    """In UTC, each with its numbers in the drawing and in the table."""
    node = installation.node
    now = node.clock.now()

    def call(permission: str) -> ObservedCall:
        return ObservedCall("permission_missing", (permission,), None, None, "203.0.113.9", None)

    calls = [
        (call("refunds:create"), 4, 3 * HOUR),
        (call("refunds:create"), 2, 5 * HOUR),
        (call("payouts:get"), 40, 25 * HOUR),
    ]
    with node.database.auxiliary_write(now) as write:
        assert usage.fold(
            write,
            *("spool", 0, 1, [Batch({text[:21]: (1_500, now - 3 * HOUR, None, "")}, {})]),
            [
                CountedCall(text[:21], False, made, n, now - ago, now - ago)
                for made, n, ago in calls
            ],
        )
    page = ada.get(ada.get(path).links["24 h"])
    page.shows("1,500 allowed", "6 refused", "in the last 24 hours", "Hours are in UTC.")
    page.shows("Calls last made in the last 24 hours. Their numbers are of whole days (UTC).")
    assert 'aria-label="1,500 allowed calls and 6 refused calls in 24 hours, by hour"' in page.html
    busy = datetime.fromtimestamp((now - 3 * HOUR) / 1000, UTC)
    hour, date = f"{busy:%H}:00", f"{busy.day} {busy:%b}"
    assert f"<title>{date}, {hour}–{(busy.hour + 1) % 24:02}:00 UTC: 1,500 allowed, 4 refused<" in (
        page.html
    )
    page.shows("Hour (UTC)", f"{date}, {hour}")
    page.shows("refunds:create")
    assert "payouts:get" not in page.text
    assert page.html.count('<g class="day">') == 24
    # The period stays while the list changes.
    all_ = ada.get(page.links["Show all calls"])
    assert "hours=24" in all_.links["Only refused calls"]
    week = ada.get(page.links["7 days"])
    week.shows("46 refused", "in the last 7 days", "Days are in UTC.", "payouts:get")
    assert "Their numbers are of whole days" not in week.text
    for unknown in ("hours=7", "hours=x", "days=24", "hours=24&hours=1"):
        ada.get(f"{path}?{unknown}").shows("in the last 30 days")


def test_a_token_whose_calls_are_older_has_no_hours(
    installation: Installation, ada: Visit, text: str, path: str
) -> None:
    use(installation.node, text, 30 * HOUR)
    ada.get(f"{path}?hours=24").shows("No calls in the last 24 hours.", "Last allowed 1 day ago")


def test_a_long_list_of_calls_has_pages(
    installation: Installation, ada: Visit, text: str, path: str
) -> None:
    now = installation.node.clock.now()
    calls = [
        ObservedCall("permission_missing", ("refunds:create",), None, None, f"192.0.2.{nth}", None)
        for nth in range(60)
    ]
    with installation.node.database.auxiliary_write(now) as write:
        observed_calls.fold(write, [CountedCall(text[:21], False, c, 1, now, now) for c in calls])
    page = ada.get(path)
    assert page.html.count("Why?") == 50
    second = ada.get(page.links["Next"])
    assert second.html.count("Why?") == 10
    assert ada.get(second.links["Previous"]).html.count("Why?") == 50


def test_many_permissions_and_networks_are_folded(installation: Installation, ada: Visit) -> None:
    networks = [f"10.{nth}.0.0/16" for nth in range(30)]
    names = [name for name in sorted(installation.node.catalogue.names) if ":" in name]
    text = installation.access_token(
        *[name for name in names if name.startswith(("charges", "refunds", "payouts"))],
        networks=networks,
    )
    page = ada.get(path_of(text))
    record = installation.signed_in().get(f"/v1{path_of(text)}").json()
    assert f"{len(record['permissions'])} permissions" in page.text
    page.shows("30 networks", "18 more", "10.29.0.0/16", "10.0.0.0 – 10.0.255.255")


def test_tokens_that_rotated_themselves_name_each_other(
    installation: Installation, ada: Visit
) -> None:
    """While the old one works, and once an old text ended them all."""
    permissions = ["charges:get", "own-token:rotate"]
    until = format_time(installation.node.clock.now() + DAY)
    old = installation.access_token(*permissions, expires_at=until)

    def ask(text: str) -> str:
        answer = installation.client(text).post("/v1/access-tokens/self/rotate")
        return str(answer.json().get("token"))

    new = ask(old)
    ada.get(path_of(old)).shows("Being replaced", "Replaced by", new[:21], "rotated this token")
    ada.get(path_of(new)).shows("Replaces", old[:21])
    ask(new)
    ask(old)
    ada.get(path_of(new)).shows(
        "Deactivated permanently because an old text of it was used again", "token_deactivated"
    )


def path_of(text: str) -> str:
    return f"/access-tokens/{text[:21]}"


def test_it_leads_to_its_owner(installation: Installation, ada: Visit) -> None:
    grace = installation.new_user("grace@example.com", "Grace", role="manager")
    path = (
        f"/access-tokens/{installation.access_token('charges:get', maker='grace@example.com')[:21]}"
    )
    assert ada.get(path).links["Grace"] == f"/company/users/{grace.id}"
    assert ada.get(f"/company/users/{grace.id}").answer.status_code == 200
    installation.new_user("carl@example.com", "Carl", role="customer-service")
    carl = Visit.signed_in(installation.client(), "carl@example.com")
    page = carl.get(path)
    assert "Grace" in page.text
    assert "Grace" not in page.links
