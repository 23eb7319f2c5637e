"""The form of a new token, filled by a link or from another token."""

import gzip
import re
from urllib.parse import quote

import pytest

from gatepass.core.catalogue import parse_catalogue
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Form, Page, Visit

PATH = "/access-tokens/new"


def opened(visit: Visit, query: str) -> tuple[Page, Form]:
    page = visit.get(f"{PATH}?{query}")
    assert page.answer.status_code == 200
    return page, page.form(PATH)


def test_a_link_fills_the_form_and_says_so(ada: Visit) -> None:
    page, form = opened(
        ada,
        "label=Till+3&kind=ui&permissions=charges:create,charges:get+refunds:*&expires=30"
        "&networks=203.0.113.0/24,2001:db8::1&domains=shop.example.com,*.shop.example.com",
    )
    assert form.one("label") == "Till 3"
    assert form.one("kind") == "ui"
    assert form.all("permissions") == ["charges:create", "charges:get", "refunds:*"]
    assert form.one("expire") == "30d"
    assert form.all("network_address") == ["203.0.113.0", "2001:db8::1"]
    assert form.all("network_bits") == ["24", ""]
    assert form.all("domain") == ["shop.example.com", "*.shop.example.com"]
    page.shows(
        "This form was filled by a link.",
        "Permissions charges:create, charges:get, refunds:*",
        "Expires 30 days",
        "203.0.113.0/24, 2001:db8::1",
        "It can read and create charges; do everything with refunds.",
    )
    # Nothing was created, and what is sent again still says where it came from.
    assert "0 tokens" in ada.get("/access-tokens").text
    again = ada.send(PATH, form.filled(do="add_network"))
    again.shows("This form was filled by a link.")
    made = ada.send(PATH, again.form(PATH).filled(do="create"))
    made.shows("Created: Till 3")


def test_without_a_link_the_form_says_nothing(ada: Visit) -> None:
    for query in ("", "label=&permissions=+,", "unknown=1"):
        page, form = opened(ada, query)
        assert "filled by a link" not in page.text
        assert form.all("by_link") == []


def test_permissions_that_the_visitor_lacks_are_named(installation: Installation) -> None:
    installation.new_user("max@example.com", "Max", role="manager")
    max_ = Visit.signed_in(installation.client(), "max@example.com")
    page, form = opened(
        max_,
        "permissions=charges:*,roles:get,company:modify,company:webhooks,charges:refund,*,"
        "call+555,Charges:get",
    )
    # Of a resource as a whole, what he holds.
    assert form.all("permissions") == ["charges:create", "charges:get", "roles:get"]
    page.shows(
        "Your role doesn't hold charges:*. Of a resource as a whole, the part that it holds is",
        "No access token can have company:modify, company:webhooks.",
        "The catalogue doesn't have charges:refund.",
        "4 entries aren't names of permissions",
    )
    assert "555" not in page.text


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("label=" + "x" * 101, "label", "Must have 1 to 100 characters."),
        ("label=a%E2%80%AEb", "label", "Must not have bidirectional control characters"),
        ("kind=decoy", None, "Must be"),
        ("expires=soon", None, "Must be days, such as 30, or a date, such as 2030-12-31."),
        ("expires=99999999", None, "Must be at most 99,999 days, or a date, such as 2030-12-31."),
        ("expires=2001-01-01", None, "Must be in the future."),
        ("networks=300.1.2.3,10.0.0.0/8", "network-0", "Must be an IP address such as"),
        ("domains=shop.example.com,*.co.uk", "domain-1", "Must"),
    ],
)
def test_values_that_cannot_be_used_are_errors_at_their_fields(
    ada: Visit, query: str, field: str | None, message: str
) -> None:
    """The page is opened, not refused; what lacks is no error yet."""
    page, form = opened(ada, query)
    page.shows("1 of its values can't be used as written.", message)
    wrong = [each["id"] for _, each in page.elements if each.get("aria-invalid") == "true"]
    assert wrong == ([field] if field else [])
    assert "Not saved" not in page.text
    assert "99,999,999" not in page.text
    assert form.one("expire") == "never" or "2001" in query


def test_domains_are_for_ui(ada: Visit) -> None:
    _, form = opened(ada, "domains=shop.example.com")
    assert form.one("kind") == "ui"
    page, form = opened(ada, "domains=shop.example.com&kind=api")
    assert (form.one("kind"), form.all("domain")) == ("api", [])
    page.shows("Only a token for UI has domains, so they are left out.")


def test_a_link_survives_signing_in(installation: Installation) -> None:
    link = f"{PATH}?label=Till&permissions=charges:get&expires=30"
    visit = Visit(installation.client())
    sign_in = visit.get(link).answer.headers["location"]
    assert sign_in == f"/sign-in?next={quote(link, safe='/')}"
    form = visit.get(sign_in).form("/sign-in")
    signed_in = visit.send("/sign-in", form.filled(email="ada@example.com", password=PASSWORD))
    assert signed_in.answer.headers["location"] == link
    _, form = opened(visit, link.partition("?")[2])
    assert form.one("label") == "Till"
    # One that a sign-in would lose fills nothing in any case.
    page, form = opened(visit, "label=" + "x" * 2_000)
    page.shows("The link is longer than 2,000 characters, so it filled in nothing.")
    assert form.one("label") == ""


def test_a_duplicate_has_the_originals_settings(installation: Installation, ada: Visit) -> None:
    settings = {"kind": "ui", "networks": ["10.0.0.0/8"], "domains": ["shop.example.com"]}
    old = installation.access_token(
        "charges:*", label="L" * 100, external_id="deploy/7", metadata={"team": "x"}, **settings
    )[:21]
    duplicate = ada.get(f"/access-tokens/{old}").links["Duplicate"]
    page, form = opened(ada, duplicate.partition("?")[2])
    assert form.one("label") == "L" * 95 + " copy"
    assert (form.one("kind"), form.one("expire")) == ("ui", "never")
    assert form.all("permissions") == ["charges:*"]
    assert form.all("network_address") == ["10.0.0.0"]
    assert form.all("domain") == ["shop.example.com"]
    assert (form.all("metadata_key"), form.one("external_id")) == (["team"], "")
    assert form.all("replaces") == []
    page.shows("The settings are copied from", "which doesn't change.")
    assert "Another active token has this label." not in page.text
    ada.send(PATH, form.filled(do="create")).shows("Created: LLL")
    taken = ada.send(PATH, form.filled(label="l" * 95 + " COPY", do="sentence"))
    assert "Another active token has this label." in taken.text
    # Somebody else's copy has what they hold, and says what they don't.
    installation.new_user("max@example.com", "Max", role="manager")
    max_ = Visit.signed_in(installation.client(), "max@example.com")
    page, form = opened(max_, f"duplicate={old}")
    assert form.all("permissions") == ["charges:create", "charges:get"]
    page.shows("Your role doesn't hold charges:*.")
    assert ada.get(f"{PATH}?duplicate=gpat_nothing").answer.status_code == 404


def test_presets_and_the_recommended_expiry_without_scripts(ada: Visit) -> None:
    form = ada.get(PATH).form(PATH)
    assert form.all("permissions") == []
    form = ada.send(PATH, form.filled(label="Kept", do="preset_read")).form(PATH)
    assert form.all("permissions") == ["charges:get", "refunds:get"]
    page = ada.send(PATH, form.filled(do="expire_90d"))
    page.shows("Without an expiry, the token works until somebody deactivates it.")
    form = page.form(PATH)
    assert (form.one("expire"), form.one("label")) == ("90d", "Kept")
    role = "/company/roles/new"
    chosen = ada.send(role, ada.get(role).form(role).filled(do="preset_everything")).form(role)
    assert chosen.all("permissions") == ["*"]


def test_a_page_with_200_permissions_stays_small(
    installation: Installation, ada: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folded, below 100 kB and 11 kB compressed; with 60, half of that."""
    sizes = {}
    for resources in (12, 40):
        lines = [
            f'  resource-{number}:{action}: {{title: "{action.title()} a resource {number}"}}\n'
            for number in range(resources)
            for action in ("get", "search", "create", "modify", "delete")
        ]
        catalogue = parse_catalogue(f"permissions:\n{''.join(lines)}")
        monkeypatch.setattr(installation.node, "first_catalogue", catalogue)
        page = ada.get(PATH)
        product = page.html.partition("data-own")[0]
        assert len(re.findall(r"data-group", product)) == resources
        assert "<details open>" not in product
        body = page.html.encode()
        sizes[resources] = (len(body), len(gzip.compress(body)))
    assert sizes[12] < (48_000, 0), sizes
    assert sizes[40] < (100_000, 0), sizes
    assert sizes[12][1] < 7_500, sizes
    assert sizes[40][1] < 10_500, sizes
