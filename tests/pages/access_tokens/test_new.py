"""Creating a token."""

import re

import pytest

from gatepass.core.permissions import NOT_FOR_TOKENS
from gatepass.web.app import create_app
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

PATH = "/access-tokens/new"
TEXT = re.compile(r"gpat_[0-9A-Za-z]{54}")


def text_of(page: Page) -> str:
    (text,) = set(TEXT.findall(page.html))
    return text


def create(visit: Visit, **changes: str | list[str]) -> Page:
    form = visit.get(PATH).form(PATH)
    given: dict[str, str | list[str]] = {
        "label": "Settlement",
        "permissions": ["charges:get"],
        "do": "create",
        **changes,
    }
    return visit.send(PATH, form.filled(**given))


def test_a_token_created_with_the_form_has_its_permissions(
    installation: Installation, ada: Visit
) -> None:
    page = create(
        ada,
        permissions=["charges:*", "refunds:get"],
        network_address=["203.0.113.77", ""],
        network_bits=["24", ""],
    )
    assert page.answer.status_code == 200
    assert page.answer.headers["cache-control"] == "no-store"
    page.shows("Created: Settlement", "You won't be able to see this token again.")
    assert (
        "It can do everything with charges; read refunds. "
        "It works from 203.0.113.0/24 and never expires." in page.text
    )
    text = text_of(page)
    ask = {"permission": "charges:create", "address": "203.0.113.200"}
    assert installation.verify(text, **ask)["allowed"]
    assert (
        installation.verify(text, permission="charges:create", address="203.0.114.1")["reason"]
        == "address_not_allowed"
    )


def test_the_form_says_that_the_text_is_shown_once(ada: Visit) -> None:
    assert "The token is shown only once" in ada.get(PATH).text


def test_only_permissions_of_the_user_are_offered(installation: Installation, ada: Visit) -> None:
    offered = ada.get(PATH).form(PATH).offered["permissions"]
    assert {"charges:*", "charges:create", "refunds:*", "access-tokens:get"} <= set(offered)
    # "*", and what no token can do.
    assert not {"*", *NOT_FOR_TOKENS} & set(offered)
    installation.new_user("max@example.com", "Max", role="manager")
    max_ = Visit.signed_in(installation.client(), "max@example.com")
    offered = max_.get(PATH).form(PATH).offered["permissions"]
    assert {"charges:create", "company:get"} <= set(offered)
    assert not {"charges:*", "company:*", "roles:*"} & set(offered)


def test_a_refused_permission_keeps_the_input(installation: Installation, ada: Visit) -> None:
    installation.new_user("max@example.com", "Max", role="manager")
    max_ = Visit.signed_in(installation.client(), "max@example.com")
    page = create(max_, permissions=["roles:*"], label="Too much")
    assert page.answer.status_code == 403
    assert "You can't add roles:*" in page.text
    assert page.form(PATH).one("label") == "Too much"


def test_errors_are_shown_at_their_fields_and_input_is_kept(ada: Visit) -> None:
    page = create(
        ada,
        label="",
        kind="ui",
        permissions=["charges:get"],
        expire="at",
        expires_on="2001-01-01T00:00",
        offset="600",
        network_address=["10.0.0.1", "nonsense", "10.0.0.2"],
        network_bits=["8", "", "77"],
        domain=["shop.example.com", "*.co.uk"],
    )
    assert page.answer.status_code == 422
    assert not TEXT.search(page.html)
    form = page.form(PATH)
    assert form.one("kind") == "ui"
    assert form.one("expire") == "at"
    assert form.one("expires_on") == "2001-01-01T00:00"
    assert form.one("offset") == "600"
    assert form.all("network_address") == ["10.0.0.1", "nonsense", "10.0.0.2"]
    assert form.all("network_bits") == ["8", "", "77"]
    assert form.all("domain") == ["shop.example.com", "*.co.uk"]
    assert form.all("permissions") == ["charges:get"]
    assert "Not saved: 5 fields need your attention" in page.text
    wrong = [each["id"] for _, each in page.elements if each.get("aria-invalid") == "true"]
    assert wrong == ["label", "domain-1", "network-1", "network-2"]
    ids = {each.get("id") for _, each in page.elements}
    described = " ".join(each.get("aria-describedby", "") for _, each in page.elements).split()
    assert set(described) <= ids
    assert "Must be in the future" in page.text


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "nonsense"},
        {"permissions": ["*"]},
        {"permissions": ["nothing:known"]},
        {"permissions": ["<b>"]},
        {"label": "\x00"},
        {"label": "x" * 101},
        {"expire": "nonsense"},
        {"network_address": ["10.0.0.1"] * 501, "network_bits": ["32"] * 501},
        {"kind": "ui", "domain": [f"d{n}.example.com" for n in range(101)]},
    ],
)
def test_requests_that_no_browser_sends_get_a_page(
    ada: Visit, changes: dict[str, str | list[str]]
) -> None:
    page = create(ada, **changes)
    assert page.answer.status_code in (422, 200)
    assert (page.answer.status_code == 200) == bool(changes.get("network_address")), (
        page.text
    )  # 501 times the same network is one network
    assert ada.get(PATH).answer.status_code == 200


def test_a_form_sent_twice_creates_one_token(installation: Installation, ada: Visit) -> None:
    fields = ada.get(PATH).form(PATH).filled(label="Once", permissions=["charges:get"], do="create")
    first = ada.send(PATH, fields)
    text = text_of(first)
    for _ in range(2):
        again = ada.send(PATH, fields)
        assert again.answer.status_code == 409
        assert "This token was already created" in again.text
        assert text not in again.html
        assert again.links["Open Once"] == f"/access-tokens/{text[:21]}"
        assert again.links["Create a replacement"] == f"/access-tokens/new?replace={text[:21]}"
    assert "1 token" in ada.get("/access-tokens").text
    assert text not in ada.get(f"/access-tokens/{text[:21]}").html


@pytest.mark.parametrize("form_id", ["", "short", "x" * 23, "../../etc/passwd-------", "a b" * 8])
def test_a_form_without_its_id_creates_nothing(ada: Visit, form_id: str) -> None:
    page = create(ada, form_id=form_id, label="Kept")
    assert page.answer.status_code == 422
    assert page.form(PATH).one("label") == "Kept"
    assert page.form(PATH).one("form_id") != form_id
    assert "0 tokens" in ada.get("/access-tokens").text


def test_form_ids_are_unique(ada: Visit) -> None:
    assert len({ada.get(PATH).form(PATH).one("form_id") for _ in range(20)}) == 20


def test_rows_are_added_and_removed_without_scripts(ada: Visit) -> None:
    form = ada.get(PATH).form(PATH)
    assert form.all("network_address") == []
    number = form.one("form_id")
    for button in ("add_network", "add_my_network", "add_domain", "add_network"):
        form = ada.send(PATH, form.filled(label="Kept", do=button)).form(PATH)
    assert form.all("network_address") == ["", "127.0.0.1", ""]
    assert form.all("domain") == [""]
    assert ("do", "remove_network_0") in form.buttons
    form = ada.send(PATH, form.filled(do="remove_network_0")).form(PATH)
    assert form.all("network_address") == ["127.0.0.1", ""]
    assert form.one("label") == "Kept"
    assert form.one("form_id") == number
    preview = ada.send(PATH, form.filled(do="preview", permissions=["charges:get"]))
    assert "It can read charges. It works from 127.0.0.1/32 and never expires." in preview.text
    assert "0 tokens" in ada.get("/access-tokens").text


def test_an_external_id_that_is_taken_is_shown_at_its_field(ada: Visit) -> None:
    more = {"metadata_key": ["team"], "metadata_value": ["payments"], "external_id": "deploy/7"}
    create(ada, **more).shows("Created: Settlement")
    page = create(ada, **more)
    assert page.answer.status_code == 409
    page.shows("has the external id", "1 field needs your attention")
    kept = page.form(PATH).filled(external_id="deploy/8", do="create")
    ada.send(PATH, kept).shows("Created: Settlement")


def test_scripts_can_fetch_the_summary_alone(ada: Visit) -> None:
    form = ada.get(PATH).form(PATH)
    part = ada.send(PATH, form.filled(do="sentence", permissions=["charges:create"], expire="1h"))
    assert part.text.startswith("It can create charges. It works from anywhere until ")
    assert "<html" not in part.html


def test_the_enter_key_creates_the_token(ada: Visit) -> None:
    form = ada.get(PATH).form(PATH)
    assert form.buttons[0] == ("do", "create")


def test_a_replacement_has_the_originals_settings(installation: Installation, ada: Visit) -> None:
    old = installation.access_token(
        "charges:get",
        kind="ui",
        label="Checkout",
        networks=["10.0.0.0/8"],
        domains=["shop.example.com"],
    )[:21]
    page = ada.get(f"{PATH}?replace={old}")
    form = page.form(PATH)
    assert form.one("label") == "Checkout"
    assert form.one("kind") == "ui"
    assert form.all("permissions") == ["charges:get"]
    assert form.all("network_address") == ["10.0.0.0"]
    assert form.all("network_bits") == ["8"]
    assert form.all("domain") == ["shop.example.com"]
    assert "which doesn't change" in page.text
    made = ada.send(PATH, form.filled(do="create"))
    assert text_of(made)[:21] != old


def test_snippets_have_the_token(ada: Visit) -> None:
    page = create(ada, kind="ui", domain=["*.shop.example"])
    text = text_of(page)
    assert f"export GATEPASS_TOKEN='{text}'" in page.text
    assert "https://api.example.com/v1/charges/id" in page.text
    assert '-H "Origin: https://www.shop.example"' in page.text
    assert "auth_request /_gatepass;" in page.text
    assert "await fetch(" in page.text
    own = create(ada, permissions=["access-tokens:search"])
    assert "curl http://127.0.0.1:8787/v1/access-tokens" in own.text


def test_snippets_have_the_apis_url(installation: Installation) -> None:
    demo = Installation.__new__(Installation)
    demo.node = installation.node
    demo.app = create_app(installation.node, beside=["/v1/charges"])
    visit = Visit.signed_in(demo.client())
    assert "curl http://127.0.0.1:8787/v1/charges/id" in create(visit).text


def test_users_without_the_permission_get_an_explanation(rita: Visit) -> None:
    for page in (rita.get(PATH), rita.send(PATH, {"do": "create"})):
        assert page.answer.status_code == 403
        assert "access-tokens:create" in page.text
        assert "Your role, Reporting, doesn't include access-tokens:create." in page.text
        assert "Ask an administrator of Analytical Engines for a role that does." in page.text


def test_an_access_token_cannot_create_tokens(installation: Installation) -> None:
    text = installation.access_token("access-tokens:*")
    visit = Visit(installation.client(text))
    assert visit.get("/access-tokens").answer.status_code == 200
    assert "Create New" not in visit.get("/access-tokens").links
    page = visit.get(PATH)
    assert page.answer.status_code == 403
    assert "signed_in_user_required" in page.text


def test_a_decoy_needs_a_label_alone(installation: Installation, ada: Visit) -> None:
    """Fields that the page hides are ignored; its page shows where it was used."""
    page = create(
        ada, label="In the wiki", kind="decoy", network_address=["nonsense"], network_bits=["8"]
    )
    assert page.answer.status_code == 200
    page.shows("Created: In the wiki", "You are told when somebody uses it.")
    assert "curl" not in page.text
    text = text_of(page)
    path = f"/access-tokens/{text[:21]}"
    ada.get(path).shows("It opens nothing.", "Nobody used it in the last 30 days.")
    assert "Rotate" not in ada.get(path).text
    call = {"permission": "charges:get", "address": "203.0.113.9"}
    assert installation.verify(text, **call)["reason"] == "token_invalid"
    installation.node.usage.flush()
    installation.node.fold()
    ada.get(path).shows("Somebody used this decoy", "charges:get", "203.0.113.9")
    ada.get("/access-tokens?kind=decoy").shows("In the wiki", "Decoy")
    edit = ada.get(f"{path}/edit").form(f"{path}/edit")
    saved = ada.send(f"{path}/edit", edit.filled(label="Elsewhere", do="save"))
    assert saved.answer.status_code == 303 or "Elsewhere" in saved.text
    ada.get(path).shows("Elsewhere")
    summary = ada.send(PATH, ada.get(PATH).form(PATH).filled(kind="decoy", do="sentence"))
    assert "It opens nothing." in summary.text
