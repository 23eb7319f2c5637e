"""``<gatepass-access-tokens>`` on a page of another product, with a strict policy."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from gatepass.web.pages.text.wording import can, where
from tests.support.browser.accessibility import barriers
from tests.support.browser.host_page import ELEMENT, HostPages, Platform, begin, hand_in
from tests.support.browser.windows import window
from tests.support.processes.demo import Demo
from tests.support.waiting import until

WIDE: Any = {"width": 1280, "height": 900}
EVENTS = ("session-expired", "token-created", "token-modified", "token-deactivated")


@pytest.fixture(scope="module")
def hosts(demo: Demo) -> Iterator[HostPages]:
    with HostPages(demo.url) as serving:
        yield serving


@pytest.fixture(scope="module")
def platform(demo: Demo) -> Platform:
    return Platform(demo)


@pytest.fixture
def page(browser: Browser, hosts: HostPages) -> Iterator[Page]:
    """A window; a violated policy or a failing script fails the test."""
    with window(browser, hosts.origin(), viewport=WIDE) as opened:
        yield opened


@pytest.fixture
def element(page: Page, hosts: HostPages, platform: Platform) -> Locator:
    """The element, which shows the list of the owner's tokens."""
    return begin(page, "/", platform.open(hosts.origin())["code"])


class Customer:
    """The owner's session used without the element, as its page would."""

    def __init__(self, platform: Platform, origin: str, **fields: Any) -> None:
        self.api = httpx.Client(
            base_url=platform.api.base_url, headers={"Origin": origin}, timeout=60
        )
        code = platform.open(origin, **fields)["code"]
        token = self.api.post("/v1/portal-sessions/redeem", json={"code": code}).json()["token"]
        self.api.headers["Authorization"] = f"Bearer {token}"
        self.open_code = lambda: platform.open(origin, **fields)["code"]

    def create(self, label: str, **fields: Any) -> dict[str, Any]:
        """A new token's record."""
        new = {"label": label, "kind": "api", "permissions": ["charges:get"]} | fields
        answer = self.api.post("/v1/access-tokens", json=new)
        assert answer.status_code == 201, answer.text
        record: dict[str, Any] = answer.json()
        return record


@pytest.fixture(scope="module")
def customer(platform: Platform, hosts: HostPages) -> Customer:
    return Customer(platform, hosts.origin())


def button(where: Locator | Page, name: str) -> Locator:
    return where.get_by_role("button", name=name, exact=True)


def opened(element: Locator, label: str) -> Locator:
    """The row of a token, once the search has found it and nothing else is shown."""
    with element.page.expect_response(lambda answer: "&q=" in answer.url):
        element.get_by_label("Search label or id").fill(label)
    expect(element.locator('[aria-busy="true"]')).to_have_count(0)
    row = element.locator("tbody").filter(has=button(element.page, label))
    expect(row).to_be_visible()
    return row


def hear(page: Page) -> Callable[[], list[Any]]:
    """Collects the element's events on the document, where a product listens."""
    page.evaluate(
        "names => { window.heard = []; for (const name of names) document.addEventListener("
        "`gatepass-${name}`, (event) => heard.push([name, JSON.parse(JSON.stringify(event.detail))]"
        ")) }",
        list(EVENTS),
    )
    return lambda: page.evaluate("heard")


def set_policy(platform: Platform, policy: dict[str, Any]) -> None:
    """Replace the company's token policy."""
    answer = platform.api.put("/v1/company/token-policy", json=policy)
    assert answer.status_code == 200, answer.text


def allowed(demo: Demo, token: str, permission: str = "charges:get") -> Any:
    """What Gatepass decides about a call with that text."""
    with httpx.Client(base_url=demo.url, headers={"x-access-token": demo.verifier_key}) as client:
        asked = {"token": token, "permission": permission}
        return client.post("/v1/verify", json=asked).json()["reason"]


# --- tokens ---------------------------------------------------------------------------------------


def test_a_customer_creates_edits_and_deactivates_a_token(
    demo: Demo, page: Page, element: Locator
) -> None:
    heard = hear(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button(element, "Create New").click()
    expect(element.get_by_role("heading", name="Create an access token")).to_be_focused()
    sentence = element.locator(".sentence")
    expect(sentence).to_have_text("Enter a label and choose at least one permission.")
    element.get_by_label("Label", exact=True).fill("Night shift")
    element.get_by_label("Filter permissions").fill("view charge")
    expect(element.get_by_role("checkbox")).to_have_count(1)
    element.get_by_role("checkbox", name="View a charge").check()
    expect(element.get_by_text("1 permission selected")).to_be_visible()
    button(element, "Add an address").click()
    # An address with its bits fills both fields, and is drawn.
    element.get_by_label("IP address", exact=True).fill("127.0.0.1/8")
    expect(element.get_by_label("Number of bits to check")).to_have_value("8")
    expect(
        element.get_by_text("127.0.0.0 – 127.255.255.255 · 16,777,216 addresses")
    ).to_be_visible()
    expect(sentence).to_have_text(
        "It can read charges. It works from 127.0.0.0/8 and never expires."
    )
    button(element, "Create").click()
    expect(element.get_by_role("heading", name="Created: Night shift")).to_be_focused()
    text = element.get_by_label("Access token", exact=True).inner_text()
    assert re.fullmatch("gpat_[0-9A-Za-z]{54}", text)
    button(element, "Copy").click()
    expect(button(element, "Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text
    # No address was sent, so its network refuses it; its secret is right.
    assert allowed(demo, text) == "address_not_allowed"
    button(element, "I have stored it").click()
    expect(button(element, "Night shift")).to_be_focused()
    assert text not in page.evaluate(f"document.querySelector('{ELEMENT}').shadowRoot.innerHTML")

    button(element, "Edit Night shift").click()
    expect(element.get_by_role("heading", name="Edit Night shift")).to_be_focused()
    button(element, "Remove this address").click()
    element.get_by_label("Label", exact=True).fill("Day shift")
    unused = element.get_by_label("End when unused, after days")
    unused.fill("366")
    button(element, "Save").click()
    expect(element.get_by_text("Must be a whole number from 1 to 365.").first).to_be_visible()
    expect(unused).to_be_focused()
    unused.fill("60")
    expect(sentence).to_contain_text("It ends after 60 days without use.")
    button(element, "Save").click()
    expect(element.get_by_text("Saved. The changes are in effect.")).to_be_visible()
    expect(button(element, "Day shift")).to_be_focused()
    assert allowed(demo, text) == "allowed"

    button(element, "Replace Day shift").click()
    asked = element.get_by_role("dialog", name="Replace Day shift?")
    expect(asked).to_contain_text("until no call with it was seen for 24 hours")
    asked.get_by_text("After 24 hours").click()
    expect(asked).to_contain_text("The old token works too, for 24 hours.")
    button(asked, "Replace").click()
    expect(element.get_by_role("heading", name="Created: Day shift")).to_be_focused()
    new = element.get_by_label("Access token", exact=True).inner_text()
    assert (allowed(demo, new), allowed(demo, text)) == ("allowed", "allowed")
    button(element, "I have stored it").click()
    # The old one can't be replaced again.
    expect(button(element, "Replace Day shift")).to_have_count(1)
    text = new
    button(element, "Edit Day shift").first.click()
    element.get_by_label("Label", exact=True).fill("Late shift")
    button(element, "Save").click()
    expect(button(element, "Late shift")).to_be_focused()

    button(element, "Deactivate Late shift").click()
    dialog = element.get_by_role("dialog", name="Deactivate Late shift?")
    expect(dialog).to_contain_text("This can't be undone.")
    button(dialog, "Cancel").click()
    expect(button(element, "Deactivate Late shift")).to_be_focused()
    button(element, "Deactivate Late shift").click()
    label = dialog.get_by_label("To confirm, type the label")
    if label.count():
        # The call above has been counted.
        label.fill("Late shift")
    button(dialog, "Deactivate Permanently").click()
    expect(element.get_by_text("Late shift is deactivated.")).to_be_visible()
    expect(button(element, "Late shift")).to_be_focused()
    expect(button(element, "Edit Late shift")).to_have_count(0)
    assert allowed(demo, text) == "token_deactivated"

    # The product hears of it, never with the text.
    told = heard()
    assert [name for name, _ in told] == [
        *("token-created", "token-modified", "token-created"),
        *("token-modified", "token-deactivated"),
    ]
    labels = [detail["token"]["label"] for _, detail in told]
    assert labels == ["Night shift", *["Day shift"] * 2, *["Late shift"] * 2]
    assert text not in str(told)
    assert "token" not in told[0][1]["token"]


def test_the_session_lives_in_memory_alone(page: Page, element: Locator) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    button(element, "Create New").click()
    stored = "[localStorage.length, sessionStorage.length, document.cookie, location.href]"
    assert page.evaluate(stored) == [0, 0, "", page.url]
    assert page.context.cookies() == []
    found = page.evaluate(
        f"[document.documentElement.outerHTML, document.querySelector('{ELEMENT}').shadowRoot"
        ".innerHTML, Object.keys(window).join()].join()"
    )
    assert "gpps_" not in found
    assert not [url for url in sent if "gpp" in url]


def test_errors_stand_at_their_fields(page: Page, element: Locator) -> None:
    button(element, "Create New").click()
    button(element, "Create").click()
    label = element.get_by_label("Label", exact=True)
    expect(label).to_be_focused()
    expect(label).to_have_accessible_description("What the token is for. Must be given.")
    expect(element.get_by_text("Not saved: 2 fields need your attention.")).to_be_visible()
    label.fill("Web page")
    element.get_by_role("checkbox", name="View a charge").check()
    element.get_by_label("For UI").check()
    for name, domain in enumerate(("shop.example.com", "shop.example.com", "*.co.uk")):
        button(element, "Add a domain").click()
        element.get_by_label("Domain", exact=True).nth(name).fill(domain)
    button(element, "Add an address").click()
    address = element.get_by_label("IP address", exact=True)
    address.fill("300.1.1.1")
    expect(element.locator(".sentence")).to_have_text("1 address isn't valid.")
    button(element, "Create").click()
    # The server's words, at the rows they are about; repeated rows are sent once.
    wrong = element.get_by_label("Domain", exact=True).nth(2)
    expect(wrong).to_have_accessible_description(
        "Must not cover other people's sites, as *.co.uk would."
    )
    expect(address).to_have_accessible_description(re.compile("^Must be an IP address"))
    expect(address).to_have_attribute("aria-invalid", "true")
    element.get_by_text("Exact date").click()
    element.get_by_label("Date and time").fill("2020-01-01T00:00")
    button(element, "Create").click()
    expect(element.get_by_text("Must be in the future.").first).to_be_visible()
    expect(element.get_by_label("Date and time")).to_be_focused()


def test_an_edit_conflict_shows_both_versions(
    page: Page, element: Locator, customer: Customer
) -> None:
    made = customer.create("Two hands", networks=["203.0.113.0/24"])
    row = opened(element, "Two hands")
    button(row, "Edit Two hands").click()
    element.get_by_label("Label", exact=True).fill("My hand")
    path = f"/v1/access-tokens/{made['id']}"
    assert customer.api.patch(path, json={"label": "Other hand", "networks": []}).is_success
    button(element, "Save").click()
    expect(element.get_by_text("This token was changed while you were editing")).to_be_visible()
    versions = element.locator(".versions tbody")
    expect(versions).to_have_text("LabelOther handMy handIP addressesAny203.0.113.0/24")
    expect(element.get_by_label("Label", exact=True)).to_have_value("My hand")
    assert customer.api.get(path).json()["label"] == "Other hand"
    button(element, "Discard my changes").click()
    expect(element.get_by_label("Label", exact=True)).to_have_value("Other hand")
    element.get_by_label("Label", exact=True).fill("My hand")
    button(element, "Save").click()
    expect(element.get_by_text("Saved.")).to_be_visible()
    assert customer.api.get(path).json()["label"] == "My hand"


def test_a_token_with_more_can_only_be_deactivated(
    page: Page, hosts: HostPages, platform: Platform, customer: Customer
) -> None:
    customer.create("Wider", permissions=["charges:get", "charges:refund"])
    session = platform.open(hosts.origin(), permissions=["charges:get"])
    element = begin(page, "/", session["code"])
    row = opened(element, "Wider")
    expect(button(row, "Edit Wider")).to_have_count(0)
    button(row, "Wider").click()
    expect(row).to_contain_text("so you can only deactivate it")
    expect(row).to_contain_text("Refund charges")
    button(element, "Create New").click()
    expect(element.get_by_role("checkbox")).to_have_count(1)
    button(element, "Cancel").click()
    button(row, "Deactivate Wider").click()
    button(element, "Deactivate Permanently").click()
    expect(element.get_by_text("Wider is deactivated.")).to_be_visible()


def test_a_row_stays_open_when_the_list_loads_again(
    page: Page, element: Locator, customer: Customer
) -> None:
    """Else it would close under somebody who types a search and opens what is there already."""
    customer.create("Stays open")
    element.get_by_label("Status").select_option("any")
    row = element.locator("tbody").filter(has=button(page, "Stays open"))
    button(row, "Stays open").click()
    expect(row).to_contain_text("Copy id")
    with page.expect_response(re.compile("q=stays")):
        element.get_by_label("Search label or id").fill("stays")
        button(row, "Stays open").focus()
    expect(element.locator("tbody")).to_have_count(1)
    expect(row).to_contain_text("Copy id")
    expect(button(row, "Stays open")).to_be_focused()


def test_a_token_in_use_is_deactivated_by_its_label(
    demo: Demo, element: Locator, customer: Customer
) -> None:
    text = customer.create("Busy")["token"]
    assert allowed(demo, text) == "allowed"
    assert allowed(demo, text, "payouts:get") == "permission_missing"
    calls = f"/v1/access-tokens/{text[:21]}/calls"
    until(lambda: len(customer.api.get(calls).json()["items"]) == 2)
    row = opened(element, "Busy")
    button(row, "Busy").click()
    for words in ("1 call allowed", "1 call refused", "The token lacks this permission."):
        expect(row).to_contain_text(words)
    listed = row.locator(".calls li:not([hidden])")
    expect(listed).to_have_count(1)
    button(row, "Show all calls").click()
    expect(listed).to_have_count(2)
    expect(listed.last).to_contain_text("charges:get")
    expect(row.locator(".chart rect[class]")).to_have_count(2)
    button(row, "Deactivate Busy").click()
    dialog = element.get_by_role("dialog")
    expect(dialog).to_contain_text("This token is in use")
    field = dialog.get_by_label("To confirm, type the label: Busy")
    field.fill("busy")
    button(dialog, "Deactivate Permanently").click()
    expect(field).to_have_accessible_description("Must be exactly as shown above.")
    field.fill(" Busy ")
    field.press("Enter")
    expect(element.get_by_text("Busy is deactivated.")).to_be_visible()


def test_a_refused_call_is_explained_and_its_token_mended(
    demo: Demo, page: Page, element: Locator, customer: Customer
) -> None:
    made = customer.create("Asks why", networks=["203.0.113.0/24"])
    question = {"permission": "charges:get", "address": "192.0.2.9"}
    with httpx.Client(base_url=demo.url, headers={"x-access-token": demo.verifier_key}) as client:
        answer = client.post("/v1/verify", json={"token": made["token"], **question})
    assert answer.json()["reason"] == "address_not_allowed"
    path = f"/v1/access-tokens/{made['id']}/calls?outcome=refused"
    until(lambda: customer.api.get(path).json()["items"])

    def ask() -> Locator:
        row = opened(element, "Asks why")
        button(row, "Asks why").click()
        opener = button(row, "Why was charges:get refused?")
        opener.click()
        expect(opener).to_have_attribute("aria-expanded", "true")
        return row.locator(".why")

    why = ask()
    expect(why.get_by_role("listitem")).to_have_count(11)
    expect(why).to_contain_text("192.0.2.9 is not in 203.0.113.0/24.")
    assert why.locator("li.failed strong").inner_text() == "Token's networks"
    expect(why.locator("li.not_reached")).to_have_count(3)
    expect(why).to_contain_text("Add 192.0.2.9 to the token's networks.")
    button(why, "Edit").click()
    networks = element.get_by_label("IP address", exact=True)
    expect(networks).to_have_count(2)
    expect(networks.last).to_have_value("192.0.2.9")
    button(element, "Save").click()
    expect(element.get_by_text("Saved. The changes are in effect.")).to_be_visible()
    page.reload()
    hand_in(page, customer.open_code())
    expect(ask()).to_contain_text("It would be allowed now.")


def test_what_is_offered_keeps_to_the_policy(
    page: Page, hosts: HostPages, platform: Platform, customer: Customer
) -> None:
    free = {
        "longest_life_days": None,
        "networks_required": False,
        "unused_days": None,
        "approval_required": [],
        "warn_days": [],
    }
    limits = {"longest_life_days": 30, "networks_required": True, "unused_days": 60}
    older = customer.create("Older than the policy")
    set_policy(platform, free | limits)
    element = begin(page, "/", platform.open(hosts.origin())["code"])
    choices = element.locator("input[name=expire]")

    def offered() -> list[str]:
        found: list[str] = choices.evaluate_all("all => all.map((each) => each.value)")
        return found

    button(element, "Create New").click()
    assert offered() == ["1h", "1d", "7d", "30d", "at"]
    expect(choices.nth(3)).to_be_checked()
    expect(element.get_by_label("End when unused, after days")).to_have_value("60")
    expect(element.get_by_text("At most 60 days.")).to_be_visible()
    expect(element.get_by_text("At least one is required.")).to_be_visible()
    element.get_by_label("Label", exact=True).fill("Within the policy")
    element.get_by_role("checkbox", name="View a charge").check()
    button(element, "Add an address").click()
    element.get_by_label("IP address", exact=True).fill("203.0.113.0/24")
    button(element, "Create").click()
    expect(button(element, "I have stored it")).to_be_visible()
    button(element, "I have stored it").click()
    # What it has stays: the policy ends no token.
    opened(element, older["label"])
    button(element, f"Edit {older['label']}").click()
    expect(choices).to_have_count(6)
    assert offered() == ["1h", "1d", "7d", "30d", "never", "at"]
    set_policy(platform, free)


def test_a_long_list_is_shown_in_parts(element: Locator, customer: Customer) -> None:
    for number in range(22):
        customer.create(f"Batch {number:02}")
    element.get_by_label("Search label or id").fill("Batch")
    expect(element.get_by_text("20 tokens shown")).to_be_visible()
    button(element, "Show more").click()
    expect(element.get_by_text("22 tokens shown")).to_be_visible()
    expect(button(element, "Batch 01")).to_be_focused()
    expect(button(element, "Show more")).to_be_hidden()
    element.get_by_label("Search label or id").fill("nothing like it")
    expect(element.get_by_text("No matching tokens")).to_be_visible()
    element.get_by_label("Status").select_option("Deactivated")
    element.get_by_label("Search label or id").fill("")
    expect(element.locator("tbody .badge").first).to_have_text("Deactivated")


def test_a_repeated_creation_creates_one(page: Page, element: Locator, customer: Customer) -> None:
    """The answer is lost on its way; the customer presses Create again."""
    lost: list[str] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST" or lost:
            route.fallback()
            return
        lost.append(route.fetch().text())
        route.abort()

    page.route("**/v1/access-tokens", lose)
    button(element, "Create New").click()
    element.get_by_label("Label", exact=True).fill("Once")
    element.get_by_role("checkbox", name="View a charge").check()
    element.get_by_text("30 days").click()
    button(element, "Create").click()
    expect(element.get_by_text("The server can't be reached.")).to_be_visible()
    button(element, "Create").click()
    expect(element.get_by_role("heading", name="Created: Once")).to_be_visible()
    assert element.get_by_label("Access token", exact=True).inner_text() in lost[0]
    assert len(customer.api.get("/v1/access-tokens?q=Once").json()["items"]) == 1
    # A page that is left keeps no text that the back button could bring back.
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    expect(element.get_by_text("The token was shown once.")).to_be_visible()
    shadow = f"document.querySelector('{ELEMENT}').shadowRoot.innerHTML"
    assert not re.search("gpat_[0-9A-Za-z]{54}", page.evaluate(shadow))


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_that_expires_keeps_the_work(
    page: Page, hosts: HostPages, platform: Platform
) -> None:
    """The page hears of it and hands in another code; the form goes on."""
    element = begin(page, "/", platform.open(hosts.origin(), expires_in=3)["code"])
    heard = hear(page)
    button(element, "Create New").click()
    element.get_by_label("Label", exact=True).fill("Long thought")
    element.get_by_role("checkbox", name="View a charge").check()
    # Nobody touches anything: the element asks the server once the time has come.
    expect(element.get_by_text("Your session has ended")).to_be_visible()
    assert heard() == [["session-expired", {"reason": "token_expired"}]]
    button(element, "Create").click()
    expect(button(element, "Create")).to_have_attribute("aria-busy", "true")
    hand_in(page, platform.open(hosts.origin())["code"])
    expect(element.get_by_role("heading", name="Created: Long thought")).to_be_visible()
    expect(element.get_by_text("Your session has ended")).to_have_count(0)


def test_the_page_renews_a_session_in_the_event(
    page: Page, hosts: HostPages, platform: Platform, customer: Customer
) -> None:
    """The customer notices nothing."""
    element = begin(page, "/", platform.open(hosts.origin())["code"])
    code = platform.open(hosts.origin())["code"]
    page.evaluate(
        "code => document.addEventListener('gatepass-session-expired', (event) => "
        "event.detail.renew(Promise.resolve(code)))",
        code,
    )
    refused: list[str] = []

    def refuse(route: Route) -> None:
        if refused:
            route.fallback()
            return
        refused.append(route.request.url)
        named = {"Access-Control-Allow-Origin": hosts.origin()}
        route.fulfill(status=401, json={"reason": "token_deactivated"}, headers=named)

    page.route("**/v1/access-tokens?**", refuse)
    customer.create("Renewed")
    element.get_by_label("Search label or id").fill("Renewed")
    expect(button(element, "Renewed")).to_be_visible()
    assert len(refused) == 1
    expect(element.get_by_text("Your session has ended")).to_have_count(0)


def test_another_owners_session_starts_from_the_beginning(
    page: Page, element: Locator, hosts: HostPages, platform: Platform, demo: Demo
) -> None:
    """What was begun for one owner is never done for another."""
    other = Platform(demo, "cus_8071")
    named = {"Access-Control-Allow-Origin": hosts.origin()}
    ended = {"status": 401, "json": {"reason": "token_deactivated"}, "headers": named}
    button(element, "Create New").click()
    element.get_by_label("Label", exact=True).fill("Not theirs")
    element.get_by_role("checkbox", name="View a charge").check()
    page.route("**/v1/access-tokens", lambda route: route.fulfill(**ended))
    button(element, "Create").click()
    expect(element.get_by_text("Your session has ended")).to_be_visible()
    page.unroute("**/v1/access-tokens")
    hand_in(page, other.open(hosts.origin())["code"])
    expect(element.get_by_text("No access tokens yet")).to_be_visible()
    for each in (other, platform):
        found = Customer(each, hosts.origin()).api.get("/v1/access-tokens?q=theirs")
        assert found.json()["items"] == []


def test_a_dialog_says_that_the_session_has_ended(
    page: Page, element: Locator, hosts: HostPages, platform: Platform, customer: Customer
) -> None:
    """And goes on when there is another one."""
    customer.create("Ends later")
    button(opened(element, "Ends later"), "Deactivate Ends later").click()
    dialog = element.get_by_role("dialog")
    named = {"Access-Control-Allow-Origin": hosts.origin()}
    ended = {"status": 401, "json": {"reason": "token_deactivated"}, "headers": named}
    page.route("**/deactivate", lambda route: route.fulfill(**ended))
    button(dialog, "Deactivate Permanently").click()
    expect(dialog.get_by_text("Your session has ended")).to_be_visible()
    page.unroute("**/deactivate")
    hand_in(page, platform.open(hosts.origin())["code"])
    expect(element.get_by_text("Ends later is deactivated.")).to_be_visible()
    expect(dialog).to_have_count(0)


def test_a_broken_code_ends_the_session_before(
    page: Page, hosts: HostPages, platform: Platform
) -> None:
    """The page may have meant to show another owner's tokens."""
    used = platform.open(hosts.origin())["code"]
    element = begin(page, "/", used)
    heard = hear(page)
    hand_in(page, used)
    expect(element.get_by_text("Your session has ended")).to_be_visible()
    assert heard() == [["session-expired", {"reason": "code_broken"}]]


def test_an_answer_that_is_no_problem_document_is_explained(page: Page, element: Locator) -> None:
    """Such as a gateway's page."""
    origin = {"Access-Control-Allow-Origin": "*"}
    for status, body, words in (
        (502, "<h1>Bad gateway</h1>", "Something went wrong on the server."),
        (503, '{"reason": "unavailable"}', "The server is busy."),
        (403, "null", "Something went wrong on the server."),
        (200, "<h1>Welcome</h1>", "The server can't be reached."),
    ):
        answer = {"status": status, "body": body, "headers": origin}
        page.route("**/v1/access-tokens?**", partial(_fulfil, answer))
        element.get_by_label("Status").select_option("Any")
        expect(element.get_by_text(words)).to_be_visible()
        page.unroute("**/v1/access-tokens?**")
        button(element, "Try again").click()
        expect(element.get_by_role("table")).to_be_visible()
        element.get_by_label("Status").select_option("Active")
        expect(element.get_by_role("table")).to_be_visible()


def _fulfil(answer: dict[str, Any], route: Route) -> None:
    route.fulfill(**answer)


def test_a_code_is_good_once(page: Page, hosts: HostPages, platform: Platform) -> None:
    code = platform.open(hosts.origin())["code"]
    begin(page, "/", code)
    page.goto("/")
    heard = hear(page)
    hand_in(page, code)
    shown = page.locator(ELEMENT)
    expect(shown.get_by_text("Your access tokens can't be shown")).to_be_visible()
    expect(shown).to_contain_text("This page was opened too long ago, or twice.")
    assert heard() == [["session-expired", {"reason": "code_broken"}]]
    expect(button(shown, "Create New")).to_have_count(0)
    # A product that answers each event with a code that doesn't work isn't asked in a loop.
    page.evaluate(
        "code => document.addEventListener('gatepass-session-expired', (event) => "
        "event.detail.renew(code))",
        code,
    )
    hand_in(page, code)
    page.wait_for_timeout(1000)
    assert len(heard()) == 1


def test_a_stolen_code_opens_nothing_elsewhere(
    browser: Browser, hosts: HostPages, platform: Platform
) -> None:
    """The browser hides the answer from a page of another origin; the code stays good."""
    code = platform.open(hosts.origin())["code"]
    context = browser.new_context(base_url=hosts.origin("thief"))
    page = context.new_page()
    page.goto("/")
    heard = hear(page)
    hand_in(page, code)
    shown = page.locator(ELEMENT)
    expect(shown.get_by_text("Your access tokens can't be shown")).to_be_visible()
    assert heard() == [["session-expired", {"reason": "unreachable"}]]
    page.goto(hosts.origin())
    hand_in(page, code)
    expect(button(shown, "Create New")).to_be_visible()
    context.close()


def test_the_code_may_come_before_the_module(
    page: Page, hosts: HostPages, platform: Platform
) -> None:
    """As an attribute, or as a property of an element that isn't defined yet."""
    code = platform.open(hosts.origin())["code"]
    module = re.compile("components/access-tokens.js")
    page.route(module, lambda route: waiting.append(route))
    waiting: list[Route] = []
    page.goto("/", wait_until="commit")
    element = page.locator(ELEMENT).first
    element.evaluate("(it, code) => Object.assign(it, {code, strings: {title: 'Keys'}})", code)
    until(lambda: page.wait_for_timeout(10) or waiting)
    waiting[0].continue_()
    page.unroute(module)
    expect(element.get_by_role("heading", name="Keys")).to_be_visible()
    attribute = platform.open(hosts.origin())["code"]
    page.evaluate(
        f"code => {{ const made = document.createElement('{ELEMENT}'); made.id = 'second';"
        " made.setAttribute('code', code); document.querySelector('main').append(made); }",
        attribute,
    )
    second = page.locator("#second")
    expect(button(second, "Create New")).to_be_visible()
    # Moved within the page, it stays as it is; taken out, it forgets the session.
    button(second, "Create New").click()
    page.evaluate("document.body.prepend(document.getElementById('second'))")
    expect(second.get_by_role("heading", name="Create an access token")).to_be_visible()
    page.evaluate("window.kept = document.getElementById('second'); kept.remove()")
    page.evaluate("document.body.append(kept)")
    expect(second).to_have_text("Loading…")


def test_gatepass_shows_it_on_a_page_of_its_own(
    page: Page, hosts: HostPages, platform: Platform
) -> None:
    """To open, or for the session's origins to frame; there is no clipboard in such a frame."""
    page.goto(platform.open(hosts.origin())["url"])
    shown = page.locator(ELEMENT)
    expect(button(shown, "Create New")).to_be_visible()
    assert "#" not in page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.reload()
    expect(page.get_by_role("heading", name="Open this page again")).to_be_visible()

    hosts.framed = platform.open(hosts.origin())["url"]
    page.goto(f"{hosts.origin()}/frame")
    framed = page.frame_locator("iframe").locator(ELEMENT)
    button(framed, "Create New").click()
    framed.get_by_label("Label", exact=True).fill("In a frame")
    framed.get_by_role("checkbox", name="View a charge").check()
    button(framed, "Create").click()
    button(framed, "Copy").click()
    expect(button(framed, "Copied")).to_be_visible()


# --- words, looks, keyboard -----------------------------------------------------------------------


def test_no_text_stands_outside_the_strings(
    page: Page, hosts: HostPages, platform: Platform, customer: Customer
) -> None:
    """Every text is marked; on a Greek page no other Latin letter is left but data."""
    customer.create("Ετικέτα", networks=["203.0.113.0/24"], permissions=["charges:get"])
    page.route("**/v1/permissions", _in_greek)
    page.goto("/el")
    page.evaluate(_MARKED)
    hand_in(page, platform.open(hosts.origin())["code"])
    element = page.locator(ELEMENT)

    def look() -> None:
        assert page.evaluate(_UNMARKED) == []

    create = button(element, "⟦Create New⟧")
    expect(create).to_be_visible()
    element.get_by_label("⟦Search label or id⟧").fill("Ετικέτα")
    expect(element.get_by_text("⟦1 token shown⟧")).to_be_visible()
    button(element, "Ετικέτα").click()
    look()
    button(element, "⟦Edit Ετικέτα⟧").click()
    expect(element.get_by_text("⟦After saving⟧")).to_be_visible()
    look()
    button(element, "⟦Cancel⟧").click()
    button(element, "⟦Replace Ετικέτα⟧").click()
    look()
    button(element.get_by_role("dialog"), "⟦Cancel⟧").click()
    button(element, "⟦Deactivate Ετικέτα⟧").click()
    look()
    button(element.get_by_role("dialog"), "⟦Cancel⟧").click()
    create.click()
    button(element, "⟦Create⟧").click()
    look()
    element.get_by_label("⟦Label⟧", exact=True).fill("Δύο")
    element.get_by_role("checkbox").first.check()
    element.get_by_label("⟦For UI⟧").check()
    element.get_by_text("⟦Exact date⟧").click()
    button(element, "⟦Add a domain⟧").click()
    button(element, "⟦Add an address⟧").click()
    element.get_by_label("⟦IP address⟧", exact=True).fill("2001:db8::/32")
    expect(element.locator(".sentence")).to_contain_text("⟦It can")
    look()
    button(element, "⟦Create⟧").click()
    expect(button(element, "⟦I have stored it⟧")).to_be_visible()
    look()
    # Words can be replaced while a form is open; what was typed stays.
    button(element, "⟦I have stored it⟧").click()
    create.click()
    element.get_by_label("⟦Label⟧", exact=True).fill("Μένει")
    page.evaluate(f"document.querySelector('{ELEMENT}').strings = {{form: {{label: 'Όνομα'}}}}")
    expect(element.get_by_label("Όνομα")).to_have_value("Μένει")
    expect(button(element, "Create")).to_be_visible()


def _in_greek(route: Route) -> None:
    answer = route.fetch()
    body = answer.json()
    for each in body.get("items", []):
        each["title"] = "Τίτλος"
    route.fulfill(response=answer, json=body)


# Replaces every text by itself between marks, and those that are worded from data.
_MARKED = """() => {
  const mark = (value) => typeof value === "string" ? `⟦${value}⟧`
    : Object.fromEntries(Object.entries(value).map(([key, each]) => [key, mark(each)]));
  const resources = {};
  for (const each of ["charges", "refunds", "checkouts", "customers", "payouts", "webhooks"])
    resources[each] = "Πόρος";
  const element = document.querySelector("gatepass-access-tokens");
  element.strings = { ...mark(element.constructor.english), resources };
}"""
# What is left of all texts and names in the shadow tree without marked ones and data.
_UNMARKED = """() => {
  let said = "";
  const see = (node) => {
    if (node.nodeType === Node.TEXT_NODE) said += node.data;
    if (node.nodeType !== Node.ELEMENT_NODE || node.hidden) return;
    for (const name of ["aria-label", "placeholder", "title", "data-name"])
      said += ` ${node.getAttribute(name) ?? ""} `;
    if (!node.matches("code, .mono, bdi")) node.childNodes.forEach(see);
  };
  document.querySelector("gatepass-access-tokens").shadowRoot.childNodes.forEach(see);
  for (let before; before !== said; ) { before = said; said = said.replace(/⟦[^⟦⟧]*⟧/g, ""); }
  return said.match(/\\S*[a-z]+\\S*/gi) ?? [];
}"""


SENTENCES = (
    (["charges:get"], [], [], None),
    (["charges:get", "charges:refund", "refunds:search"], ["203.0.113.0/24"], [], None),
    (["a:get", "a:search", "a:create", "a:modify", "a:delete", "b:*"], [], ["shop.example"], 1),
    (["a:void", "b:close-out", "b:get", "b:search"], ["10.0.0.0/8"] * 4, ["*.example"] * 2, 1),
    ([f"{each}:{each}" for each in "abcdef"], [], [], 1),
    (["a:get", "b:get", "c:get", "d:get", "gift-cards:update", "gift-cards:modify"], [], [], 1),
    ([], [], [], None),
)


def test_the_summary_is_worded_as_on_the_dashboard(page: Page, element: Locator) -> None:
    """Both word what a token can do; a customer's and a colleague's page must say the same."""
    sentence = element.locator(".sentence").first
    for number, (permissions, networks, domains, expires_at) in enumerate(SENTENCES):
        at = expires_at and "2100-01-01T00:00:00.000Z"
        record = {
            "label": f"Case {number}",
            "effective_permissions": permissions,
            "permissions": permissions or ["charges:get"],
            "networks": [f"{each}" for each in networks],
            "domains": domains,
            "expires_at": at,
            "imported": at is None,
        }

        page.route("**/v1/access-tokens?**", partial(_listed_as, record))
        element.get_by_label("Search label or id").fill(f"Case {number}")
        button(element, f"Case {number}").click()
        if permissions:
            end = " and never expires." if at is None else " until 1 Jan 2100, 00:00."
            reach = where(networks, domains)
            expect(sentence).to_have_text(f"It can {can(permissions)}. It works {reach}{end}")
        else:
            expect(
                element.get_by_text("This token can't do anything at the moment.")
            ).to_be_visible()
        mark = element.locator(".kind", has_text="Imported")
        expect(mark).to_have_count(1 if at is None else 0)
        page.unroute("**/v1/access-tokens?**")


def _listed_as(record: dict[str, Any], route: Route) -> None:
    real = route.fetch(url=route.request.url.partition("?")[0])
    items = [real.json()["items"][0] | record]
    route.fulfill(response=real, json={"items": items, "next": None})


def reach(page: Page, target: Locator) -> None:
    """Press Tab until the element has the focus, which must be visible."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate("each => each === each.getRootNode().activeElement"):
            outline = target.evaluate(
                "each => [each, each.closest('label') ?? each]"
                ".some(one => getComputedStyle(one).outlineStyle !== 'none')"
            )
            assert outline, "the focus can't be seen"
            return
    raise AssertionError(f"the keyboard doesn't get to {target}")


def test_the_keyboard_alone_creates_and_deactivates_a_token(page: Page, element: Locator) -> None:
    reach(page, button(element, "Create New"))
    page.keyboard.press("Enter")
    reach(page, element.get_by_label("Label", exact=True))
    page.keyboard.type("No mouse")
    reach(page, element.get_by_role("checkbox", name="View a charge"))
    page.keyboard.press("Space")
    reach(page, button(element, "Add an address"))
    page.keyboard.press("Enter")
    page.keyboard.type("203.0.113.0/24")
    # The list comes late.
    late: list[Route] = []
    page.route("**/v1/access-tokens?**", lambda route: late.append(route))
    reach(page, button(element, "Create"))
    page.keyboard.press("Enter")
    expect(element.get_by_role("heading", name="Created: No mouse")).to_be_focused()
    reach(page, button(element, "I have stored it"))
    page.keyboard.press("Enter")
    expect(element.get_by_role("heading", name="Access Tokens")).to_be_focused()
    assert len(late) == 1
    late[0].continue_()
    expect(button(element, "No mouse")).to_be_focused()
    page.unroute("**/v1/access-tokens?**")
    page.keyboard.press("Enter")
    expect(button(element, "No mouse")).to_have_attribute("aria-expanded", "true")
    reach(page, button(element, "Deactivate No mouse"))
    page.keyboard.press("Enter")
    reach(page, button(element, "Deactivate Permanently"))
    page.keyboard.press("Escape")
    expect(button(element, "Deactivate No mouse")).to_be_focused()
    page.keyboard.press("Enter")
    reach(page, button(element, "Deactivate Permanently"))
    page.keyboard.press("Enter")
    expect(button(element, "No mouse")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible(
    browser: Browser, hosts: HostPages, platform: Platform, scheme: Any, customer: Customer
) -> None:
    """For axe-core, which is injected, in a page without a policy."""
    label = f"{'Long ' * 18}{scheme}"
    customer.create(label, networks=["2001:db8:40:1::/64", "203.0.113.0/24"])
    wide = scheme == "light"
    told: list[str] = []
    with window(
        browser,
        hosts.origin(),
        viewport=WIDE if wide else {"width": 320, "height": 800},
        color_scheme=scheme,
        bypass_csp=True,
    ) as page:
        code = platform.open(hosts.origin())["code"]
        element = begin(page, "/", code)

        def look(view: str) -> None:
            found = barriers(page)
            for width in (WIDE["width"], 960, 800, 640, 390, 320) if wide else (320,):
                page.set_viewport_size({"width": width, "height": 900})
                overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                if overflow > 0:
                    found.append(f"scrolls sideways by {overflow} px at {width}")
            page.set_viewport_size(WIDE if wide else {"width": 320, "height": 800})
            told.extend(f"{view}: {each}" for each in found)

        row = opened(element, label)
        row.locator("button.title").click()
        look("list")
        row.get_by_role("button", name="Edit").click()
        look("edit")
        button(element, "Cancel").click()
        row.get_by_role("button", name="Deactivate").click()
        look("dialog")
        button(element, "Cancel").click()
        button(element, "Create New").click()
        element.get_by_label("For UI").check()
        element.get_by_text("Exact date").click()
        button(element, "Add a domain").click()
        button(element, "Add an address").click()
        button(element, "Create").click()
        look("errors")
        element.get_by_label("Label", exact=True).fill("Seen")
        element.get_by_role("checkbox", name="View a charge").check()
        button(element, "Create").click()
        expect(button(element, "I have stored it")).to_be_visible()
        look("created")
        button(element, "I have stored it").click()
        element.get_by_label("Search label or id").fill("nothing like it")
        expect(element.get_by_text("No matching tokens")).to_be_visible()
        look("no match")
        page.goto("/")
        hand_in(page, code)
        expect(page.get_by_text("Your access tokens can't be shown")).to_be_visible()
        look("no session")
    assert not told, "\n".join(told)


def test_it_takes_on_the_pages_looks(page: Page, element: Locator) -> None:
    heading = element.get_by_role("heading", name="Access Tokens")
    primary = button(element, "Create New")
    style = "(each, name) => getComputedStyle(each)[name]"
    assert "Georgia" in heading.evaluate(style, "fontFamily")
    assert heading.evaluate(style, "color") == "rgb(34, 34, 34)"
    page.evaluate("document.body.style.setProperty('--gatepass-accent', 'rgb(1, 2, 3)')")
    assert primary.evaluate(style, "backgroundColor") == "rgb(1, 2, 3)"
    page.emulate_media(color_scheme="dark")
    assert heading.evaluate(style, "color") == "rgb(238, 238, 238)"
    # A part is styled from outside.
    page.evaluate(
        "document.styleSheets[0].insertRule('gatepass-access-tokens::part(primary) "
        "{ letter-spacing: 3px }', 0)"
    )
    assert primary.evaluate(style, "letterSpacing") == "3px"


def test_all_of_a_resource_covers_its_permissions(
    page: Page, hosts: HostPages, demo: Demo, platform: Platform
) -> None:
    role = {"name": "All of charges", "permissions": ["charges:*"]}
    new = {"name": "Robot", "role": platform.api.post("/v1/roles", json=role).json()["id"]}
    robot = Platform(demo)
    robot.owner = {"id": robot.api.post("/v1/service-accounts", json=new).json()["id"]}
    element = begin(page, "/", robot.open(hosts.origin())["code"])
    button(element, "Create New").click()
    element.get_by_label("Label", exact=True).fill("All")
    one = element.get_by_role("checkbox", name="View a charge")
    other = element.get_by_role("checkbox", name="Refund charges")
    everything = element.get_by_role("checkbox", name="All of charges")
    one.check()
    everything.check()
    expect(other).to_be_checked()
    expect(other).to_be_disabled()
    expect(element.get_by_text("1 permission selected")).to_be_visible()
    expect(element.locator(".sentence")).to_contain_text("It can do everything with charges.")
    everything.uncheck()
    expect(one).to_be_checked()
    expect(other).not_to_be_checked()
    everything.check()
    button(element, "Create").click()
    button(element, "I have stored it").click()
    expect(element.locator("tbody")).to_contain_text("charges:*")
