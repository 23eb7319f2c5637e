"""The Security page and Recent Authentications in Chromium."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from gatepass.web.pages.widgets.network_diagram import network_diagram
from tests.support.browser.accessibility import barriers
from tests.support.browser.windows import sign_in, window
from tests.support.processes.demo import Demo
from tests.support.vector_files import load

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"
AT_HOME = {"X-Forwarded-For": "203.0.113.9"}


@pytest.fixture
def person(demo: Demo, browser: Browser) -> Iterator[Page]:
    """A signed-in user."""
    with window(browser, demo.url, viewport={"width": 1280, "height": 900}) as page:
        sign_in(page, demo.email, demo.password)
        yield page


def by_menu(page: Page, part: str, tab: str) -> None:
    """Open a page through the menus."""
    page.get_by_role("button", name="Profile menu").click()
    page.get_by_role("navigation", name="Profile menu").get_by_text(part, exact=True).click()
    page.get_by_role("link", name=tab, exact=True).click()


def everyone_can_use(page: Page) -> None:
    """Expect no serious violation, and nothing wider than a phone."""
    assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 900})


def row(page: Page, number: int, address: str, bits: str = "") -> None:
    page.get_by_role("textbox", name="IP address").nth(number).fill(address)
    if bits:
        page.get_by_role("textbox", name="Number of bits to check").nth(number).fill(bits)


def test_an_allowlist_is_edited_previewed_tried_and_kept(demo: Demo, person: Page) -> None:
    page = person
    page.goto("/company/security")
    expect(page.get_by_text("You are at 127.0.0.1")).to_be_visible()
    reach = page.locator("#reach")
    expect(reach).to_contain_text("There is no list")

    row(page, 0, "203.0.113.77", "24")
    drawn = network_diagram("203.0.113.0/24")
    assert drawn is not None
    bits = page.locator("[data-row] [data-diagram]").first
    expect(bits.locator("p")).to_have_text("203.0.113.0 – 203.0.113.255 · 256 addresses")
    expect(bits.locator(".kept")).to_have_attribute("d", drawn.kept)
    expect(bits.locator(".free")).to_have_attribute("d", drawn.free)
    page.get_by_role("textbox", name="Number of bits to check").first.fill("16")
    expect(bits.locator("p")).to_have_text("203.0.0.0 – 203.0.255.255 · 65,536 addresses")
    page.get_by_role("textbox", name="Note").first.fill("Home")

    expect(reach).to_contain_text("This list would lock out 1 person")
    expect(page.locator("#impact")).to_contain_text("of the last 30 days would newly be refused")
    reach.get_by_text("Show details").click()
    expect(reach).to_contain_text("Ada Lovelace signed in from 127.0.0.1")
    expect(reach).to_contain_text("This list locks you out")
    expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)
    everyone_can_use(page)

    page.get_by_role("button", name="Add my address, 127.0.0.1").click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_visible()
    expect(reach).not_to_contain_text("Ada Lovelace")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Saved. The list is in effect.")

    page.get_by_role("button", name="Remove this address").nth(1).click()
    page.get_by_role("button", name="Save on trial for 10 minutes").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("On trial until")
    expect(page.locator("main")).to_contain_text("127.0.0.1/32")
    page.goto("/company/security")
    expect(page.get_by_role("heading", level=1)).to_have_text("Address not allowed")
    question = {"Authorization": f"Bearer {demo.access_token}"}
    assert httpx.get(f"{demo.url}/v1/me", headers=question).status_code == 403

    page.set_extra_http_headers(AT_HOME)
    page.goto("/company/security")
    expect(page.locator("main")).to_contain_text("This list is on trial until")
    everyone_can_use(page)
    page.get_by_role("button", name="Keep this list").click()
    expect(page.get_by_role("status")).to_have_text("Saved. The list is in effect.")

    page.get_by_role("button", name="Edit as text").click()
    expect(page.get_by_label("One network per line")).to_have_value("203.0.0.0/16 Home")
    page.get_by_label("One network per line").fill("")
    expect(reach).to_contain_text("Saving removes the list")
    page.get_by_role("button", name="Remove the list").click()
    expect(page.get_by_role("status")).to_contain_text("can be reached from any address")
    assert httpx.get(f"{demo.url}/v1/me", headers=question).status_code == 200


def paste(page: Page, field: Locator, text: str) -> None:
    """Paste through the browser's clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    field.focus()
    page.keyboard.press("Control+V")


def values(page: Page, name: str) -> list[str]:
    fields = page.get_by_role("textbox", name=name)
    return [field.input_value() for field in fields.all()]


def test_pasted_lines_become_rows(demo: Demo, person: Page) -> None:
    page = person
    page.goto("/company/security")
    address = page.get_by_role("textbox", name="IP address")
    lines = ["127.0.0.0/8 Here", "203.0.113.0/24\tOffice", "198.51.100.4", ""]
    paste(page, address.first, "\r\n".join([*lines, "192.0.2.0 - 192.0.2.255", "10.0.0.0 24"]))
    assert values(page, "IP address") == [
        *("127.0.0.0", "203.0.113.0", "198.51.100.4", "192.0.2.0 - 192.0.2.255", "10.0.0.0 24"),
    ]
    assert values(page, "Number of bits to check") == ["8", "24", "", "", ""]
    assert values(page, "Note") == ["Here", "Office", "", "", ""]
    drawn = page.locator("[data-row] [data-diagram]")
    expect(drawn.nth(3).locator("p")).to_have_text("192.0.2.0 – 192.0.2.255 · 256 addresses")
    expect(page.locator("#reach")).to_contain_text("1 address isn't valid.")
    page.get_by_role("button", name="Remove this address").last.click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_visible()
    everyone_can_use(page)

    # Too many for rows: nothing is pasted, and the page names the alternative.
    paste(page, address.last, "\n".join(f"10.0.{at}.0/24" for at in range(100)))
    assert len(values(page, "IP address")) == 4
    said = address.last.evaluate("field => field.validationMessage")
    assert said == "Must be at most 100 rows; these are 100 lines. To add more, use Edit as text."
    address.last.fill("192.0.2.0 - 192.0.2.255")

    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Saved. The list is in effect.")
    page.get_by_role("button", name="Edit as text").click()
    expect(page.get_by_label("One network per line")).to_have_value(
        "127.0.0.0/8 Here\n203.0.113.0/24 Office\n198.51.100.4/32\n192.0.2.0/24"
    )
    page.get_by_label("One network per line").fill("127.0.0.0/8\n203.0.113.0 198.51.100.0")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Line 2: Must be one network")
    everyone_can_use(page)
    page.get_by_label("One network per line").fill("")
    page.get_by_role("button", name="Remove the list").click()
    expect(page.get_by_role("status")).to_contain_text("can be reached from any address")


def test_a_pasted_network_fills_its_row(demo: Demo, person: Page) -> None:
    page = person
    page.goto("/access-tokens/new")
    page.get_by_role("button", name="Add an address").click()
    address = page.get_by_role("textbox", name="IP address")
    paste(page, address.first, "203.0.113.0/255.255.255.0\n")
    bits = page.locator("[data-row] [data-diagram]").first.locator("p")
    expect(bits).to_have_text("203.0.113.0 – 203.0.113.255 · 256 addresses")
    address.first.fill("203.0.113.0")
    page.get_by_role("textbox", name="Number of bits to check").first.fill("255.255.0.0")
    expect(bits).to_have_text("203.0.0.0 – 203.0.255.255 · 65,536 addresses")


@pytest.mark.parametrize("path", ["/company/security", "/access-tokens/new"])
def test_mine_is_64_bits_of_an_ipv6_address(demo: Demo, person: Page, path: str) -> None:
    page = person
    page.set_extra_http_headers({"X-Forwarded-For": "2001:db8:1:2:aaaa:bbbb:cccc:dddd"})
    page.goto(path)
    page.get_by_role("button", name="Add my network, 2001:db8:1:2::/64").click()
    assert values(page, "IP address")[-1] == "2001:db8:1:2::"
    assert values(page, "Number of bits to check")[-1] == "64"
    expect(page.get_by_text("Your network is the first 64 bits")).to_be_visible()
    everyone_can_use(page)


def test_scripts_draw_the_same_diagrams_as_the_server(demo: Demo, person: Page) -> None:
    """Each notation, compared with the server's diagram; invalid networks have none."""
    page = person
    page.goto("/company/security")
    words = page.locator("[data-row] [data-diagram]").first
    for case in load("typed_networks.yaml")["fields"]:
        text = case["text"]
        if any(not sign.isprintable() for sign in text):
            continue
        page.get_by_role("textbox", name="Number of bits to check").first.fill("")
        page.get_by_role("textbox", name="IP address").first.fill(text)
        drawn = network_diagram(text)
        shown = words.locator("p").all_text_contents()
        assert shown == ([drawn.words] if drawn else []), text


def test_sign_ins_are_listed_and_deactivated(demo: Demo, person: Page) -> None:
    page = person
    others = [login_token(demo, agent) for agent in (FIREFOX, "curl/8.5.0", "curl/8.5.0")]
    by_menu(page, "Access Tokens", "Recent Authentications")
    expect(page.get_by_role("row").filter(has_text="Current")).to_contain_text("Chrome on Linux")
    everyone_can_use(page)
    firefox = page.get_by_role("row").filter(has_text="Firefox on Linux")
    expect(firefox).to_contain_text("198.51.100.40")
    firefox.get_by_role("button", name=re.compile("^Deactivate")).click()
    expect(page.get_by_role("status")).to_contain_text("Its next request is refused")
    assert [ask(demo, login) for login in others] == [401, 200, 200]
    page.get_by_role("link", name="Deactivate all others").click()
    expect(page.get_by_role("dialog")).to_contain_text("You stay signed in here")
    page.get_by_role("button", name="Deactivate all others").click()
    expect(page.get_by_role("status")).to_contain_text("All other sign-ins are deactivated")
    assert [ask(demo, login) for login in others] == [401, 401, 401]
    expect(page.get_by_role("link", name="Deactivate all others")).to_have_count(0)


def login_token(demo: Demo, user_agent: str) -> str:
    answer = httpx.post(
        f"{demo.url}/v1/authentications",
        json={"email": demo.email, "password": demo.password},
        headers={"User-Agent": user_agent, "X-Forwarded-For": "198.51.100.40"},
    )
    token: str = answer.json()["token"]
    return token


def ask(demo: Demo, login: str) -> int:
    return httpx.get(f"{demo.url}/v1/me", headers={"Authorization": f"Bearer {login}"}).status_code
