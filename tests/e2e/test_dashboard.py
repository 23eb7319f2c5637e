"""The demo's dashboard in Chromium: a user's actions and their effects."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from gatepass.core.catalogue import parse_catalogue
from gatepass.registry.actor import Actor
from gatepass.web.pages.layout.templating import PAGES, page_environment
from gatepass.web.pages.text.times import DAY, HOUR, MINUTE, relative
from gatepass.web.pages.widgets.network_diagram import network_diagram
from gatepass.web.pages.widgets.permission_groups import offered
from gatepass.web.pages.widgets.permission_presets import presets_of
from tests.support.browser.accessibility import barriers
from tests.support.browser.windows import sign_in, window
from tests.support.processes.demo import Demo

SYDNEY = "Australia/Sydney"
WIDTHS = (320, 390, 640, 768, 861, 1024, 1180, 1280, 1600)
TEXT = re.compile(r"gpat_[0-9A-Za-z]{54}")


@pytest.fixture
def person(demo: Demo, browser: Browser) -> Iterator[Page]:
    """A signed-in user in Sydney."""
    yield from visiting(demo, browser)


@pytest.fixture
def without_scripts(demo: Demo, browser: Browser) -> Iterator[Page]:
    """A signed-in user whose browser runs no scripts."""
    yield from visiting(demo, browser, java_script_enabled=False)


def visiting(demo: Demo, browser: Browser, **options: bool) -> Iterator[Page]:
    wanted, size = f"{demo.url}/access-tokens?status=any", {"width": 1280, "height": 900}
    with window(browser, demo.url, timezone_id=SYDNEY, viewport=size, **options) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=demo.url)
        sign_in(page, demo.email, demo.password, wanted)
        expect(page).to_have_url(wanted)
        yield page


def call(demo: Demo, token: str, method: str = "GET", path: str = "/charges") -> httpx.Response:
    """Call the demo's sample API as a client program."""
    return httpx.request(
        method, f"{demo.url}/demo/v1{path}", headers={"Authorization": f"Bearer {token}"}
    )


def main_text(page: Page) -> str:
    return page.locator("main").inner_text()


def fill_in(page: Page, label: str) -> None:
    """Open the form through the menus, and fill in the required fields."""
    page.goto("/")
    page.get_by_role("button", name="Profile menu").click()
    page.get_by_role("navigation", name="Profile menu").get_by_text("Access Tokens").click()
    page.get_by_role("link", name="Create New").click()
    # Until its style sheets are there, the button at the foot is as visible as the other.
    page.wait_for_load_state()
    page.get_by_role("textbox", name="Label").fill(label)


def permission(page: Page, name: str) -> Locator:
    return page.locator(f'input[name="permissions"][value="{name}"]')


def asks_before_leaving(page: Page) -> bool:
    """Whether the page would ask; without leaving it."""
    return bool(
        page.evaluate(
            """() => {
                const event = new Event("beforeunload", {cancelable: true});
                return !dispatchEvent(event);
            }"""
        )
    )


def test_a_token_from_sign_in_to_deactivation(demo: Demo, person: Page) -> None:
    """Create it, use it at the real API, deactivate it."""
    page = person
    fill_in(page, "Walked by a browser")
    assert "The token is shown only once" in main_text(page)
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator("[data-problems]")).to_be_focused()
    page.get_by_role("link", name="Permissions: must have at least one.").click()
    expect(page.locator("[data-picker] :focus")).to_be_visible()
    page.get_by_label("Filter permissions").fill("a charge")
    expect(permission(page, "customers:get")).to_be_hidden()
    permission(page, "charges:get").check()
    page.get_by_label("Filter permissions").fill("")
    permission(page, "charges:search").check()
    expect(page.locator("[data-tally]")).to_have_text("2 permissions selected")
    page.get_by_text("30 days").click()
    page.get_by_role("button", name="Add an address").click()
    page.keyboard.type("127.0.0.1/8")
    expect(page.locator(".network-diagram p")).to_have_text(
        "127.0.0.0 – 127.255.255.255 · 16,777,216 addresses"
    )
    sentence = page.locator("#sentence")
    expect(sentence).to_contain_text(
        "It can read and search charges. It works from 127.0.0.0/8 until "
    )
    page.get_by_role("button", name="Create", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Created: Walked by a browser")
    text = page.locator("#text").inner_text()
    assert TEXT.fullmatch(text)
    assert "You won't be able to see this token again." in main_text(page)
    page.locator(".secret").get_by_role("button", name="Copy").click()
    expect(page.locator(".secret").get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == text
    assert f"export GATEPASS_TOKEN='{text}'" in main_text(page)
    assert f"{demo.url}/demo/v1/charges" in main_text(page)
    page.get_by_text("nginx", exact=True).click()
    assert "auth_request /_gatepass;" in main_text(page)

    assert call(demo, text).status_code == 200
    refused = call(demo, text, "POST")
    assert (refused.status_code, refused.json()["reason"]) == (403, "permission_missing")

    page.reload()
    assert text not in page.content()
    assert "Its text was shown once" in main_text(page)
    page.goto("/access-tokens")
    page.go_back()
    page.wait_for_load_state()
    assert text not in page.content()

    page.goto("/access-tokens")
    page.keyboard.press("/")
    page.keyboard.type("walked by")
    expect(page.locator("#count")).to_have_text("1 token")
    row = page.get_by_role("row").filter(has_text="Walked by a browser")
    for words in ("charges:get", "charges:search", "127.0.0.0/8", "in 30 days", "Ada Lovelace"):
        expect(row).to_contain_text(words)
    row.get_by_role("link", name="Walked by a browser").click()
    assert "It can read and search charges. It works from 127.0.0.0/8 until " in main_text(page)

    page.get_by_role("link", name="Edit").first.click()
    permission(page, "charges:search").uncheck()
    expect(page.locator("#sentence")).to_contain_text("It can read charges. It works from")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Saved. The changes are in effect.")
    assert call(demo, text).json()["reason"] == "permission_missing"

    page.get_by_role("button", name="Actions").click()
    page.get_by_role("link", name="Deactivate Permanently…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This can't be undone")
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()
    page.goto(f"/access-tokens/{text[:21]}/deactivate")
    label = page.get_by_label("To confirm, type the label")
    if label.count():
        # The status depends on whether the calls above have been counted.
        label.fill("Walked by a browser")
    page.get_by_role("button", name="Deactivate Permanently").click()
    expect(page.get_by_text("Deactivated permanently")).to_be_visible()
    assert call(demo, text).json()["reason"] == "token_deactivated"
    assert "Ada Lovelace deactivated the access token Walked by a browser" in main_text(page)

    page.goto("/access-tokens?q=walked")
    expect(page.locator("main")).to_contain_text("No matching tokens")
    page.get_by_label("Status").select_option("Deactivated")
    expect(page.get_by_role("row").filter(has_text="Walked by a browser")).to_be_visible()


def test_the_back_button_does_not_show_the_token_text_again(demo: Demo, person: Page) -> None:
    """A browser may keep a page in memory for its back button."""
    page = person
    fill_in(page, "Left in a hurry")
    permission(page, "payouts:get").check()
    page.get_by_role("button", name="Create", exact=True).click()
    text = page.locator("#text").inner_text()
    # By now the script that empties the page has loaded.
    expect(page).to_have_url(re.compile("/access-tokens/gpat_"))
    # Nobody has copied it yet.
    page.get_by_role("heading", level=1).click()
    assert asks_before_leaving(page)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    assert text not in page.content()
    expect(page.get_by_text("The token was shown once")).to_be_visible()
    expect(page.get_by_role("link", name="Create a replacement")).to_be_visible()


def test_a_double_click_creates_one_token_and_shows_it(demo: Demo, person: Page) -> None:
    page = person
    fill_in(page, "Clicked twice")
    permission(page, "payouts:get").check()
    # The scripts have run.
    page.wait_for_load_state()
    # The form is submitted by navigation; its preview is asked for by fetch.
    sent: list[bool] = []
    page.on("request", lambda it: sent.append(it.is_navigation_request() and it.method == "POST"))
    # The second click happens before the first one's answer arrives. Browsers fire pageshow some
    # time after a page has loaded, so perhaps between the two.
    page.get_by_role("button", name="Create", exact=True).evaluate(
        """(button) => {
            button.click();
            dispatchEvent(new PageTransitionEvent("pageshow", {persisted: false}));
            setTimeout(() => button.click(), 5);
        }"""
    )
    expect(page.locator("#text")).to_have_text(TEXT)
    assert sent.count(True) == 1
    page.goto("/access-tokens?q=clicked+twice")
    expect(page.locator("#count")).to_have_text("1 token")


def test_text_typed_before_the_script_loads_is_searched(demo: Demo, person: Page) -> None:
    page = person
    held: list[Route] = []
    page.route(re.compile(r"/list\.js"), lambda route: held.append(route))
    # The page counts as loaded only once its scripts are; one of them is delayed.
    with page.expect_request(re.compile(r"/list\.js")):
        page.goto("/access-tokens?status=any", wait_until="commit")
    page.locator("main").get_by_role("searchbox").press_sequentially("no token is called this")
    assert len(held) == 1
    held[0].continue_()
    expect(page.locator("#count")).to_have_text("0 tokens")


def test_dates_are_in_the_viewers_time_zone(demo: Demo, person: Page) -> None:
    page = person
    fill_in(page, "Until Christmas")
    permission(page, "payouts:get").check()
    page.get_by_text("Exact date").click()
    expect(page.locator("[data-zone]")).to_have_text(f"({SYDNEY})")
    page.get_by_label("Date and time").fill("2040-12-24T14:30")
    expect(page.locator("#sentence")).to_contain_text("until 24 Dec 2040, 14:30 GMT+11.")
    page.get_by_role("button", name="Create", exact=True).click()
    token = page.locator("#text").inner_text()[:21]
    page.goto(f"/access-tokens/{token}")
    time = page.locator("dl.facts time").first
    assert time.get_attribute("datetime") == "2040-12-24T03:30:00Z"
    page.goto(f"/access-tokens/{token}/edit")
    expect(page.get_by_label("Date and time")).to_have_value("2040-12-24T14:30")
    # The other form with this field.
    page.goto("/company/admin-keys/new")
    page.get_by_role("textbox", name="Label").fill("Shop backend")
    page.get_by_text("Exact date").click()
    expect(page.locator("[data-zone]")).to_have_text(f"({SYDNEY})")
    page.get_by_label("Date and time").fill("2040-12-24T14:30")
    page.get_by_role("button", name="Create", exact=True).click()
    time = page.locator(".created time").first
    expect(time).to_have_attribute("datetime", "2040-12-24T03:30:00Z")


def test_scripts_draw_as_the_server_does(demo: Demo, person: Page) -> None:
    page = person
    page.goto("/access-tokens/new")
    page.get_by_role("button", name="Add an address").click()
    for network in (
        "203.0.113.77/24",
        "10.0.0.0/1",
        "192.0.2.1/32",
        "2001:DB8:40::7/48",
        "::/1",
        "2001:db8::0:0:1/128",
        "fe80::1:0:0:1/97",
    ):
        address, _, bits = network.partition("/")
        page.locator("[data-address]").fill(address)
        page.locator("[data-bit-count]").fill(bits)
        drawn = network_diagram(network)
        assert drawn is not None
        expect(page.locator(".network-diagram p")).to_have_text(drawn.words)
        assert page.locator(".network-diagram .kept").get_attribute("d") == drawn.kept
        assert page.locator(".network-diagram .free").get_attribute("d") == drawn.free
    for nonsense in ("300.1.1.1", "01.2.3.4", "1.2.3", "::g", "::ffff:1.2.3.4%eth0", "<b>"):
        page.locator("[data-address]").fill(nonsense)
        expect(page.locator(".network-diagram p")).to_have_count(0)


def test_scripts_word_times_as_the_server_does(demo: Demo, person: Page) -> None:
    page = person
    page.goto("/access-tokens")
    module = page.locator("script[src*='gatepass.js']").get_attribute("src") or ""
    for size in (1, 45_000, MINUTE, 59.6 * MINUTE, 23.5 * HOUR, DAY, 30 * DAY - 1, 99 * DAY):
        for distance in (int(size), -int(size), 7 * int(size), -29 * int(size)):
            words = page.evaluate(f"import('{module}').then((times) => times.relative({distance}))")
            assert words == relative(distance), distance


def test_everything_works_without_scripts(demo: Demo, without_scripts: Page) -> None:
    page = without_scripts
    fill_in(page, "By hand")
    expect(page.get_by_label("Filter permissions")).to_be_hidden()
    permission(page, "charges:search").check()
    page.get_by_text("For UI").click()
    page.get_by_role("button", name="Add a domain").click()
    page.get_by_label("Domain", exact=True).fill("localhost")
    page.get_by_role("button", name="Add my address, 127.0.0.1").click()
    expect(page.get_by_label("Number of bits to check")).to_have_value("")
    page.get_by_role("button", name="Update summary").click()
    expect(page.locator("#sentence")).to_have_text(
        "It can search charges. It works on localhost, from 127.0.0.1/32 and never expires."
    )
    page.get_by_role("button", name="Remove this address").click()
    expect(page.get_by_role("textbox", name="Label")).to_have_value("By hand")
    page.get_by_role("button", name="Create", exact=True).click()
    text = page.locator("#text").inner_text()
    assert TEXT.fullmatch(text)
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    page.reload()
    expect(page.get_by_text("This token was already created")).to_be_visible()
    assert text not in page.content()
    page.get_by_role("link", name="Create a replacement").click()
    expect(page.get_by_role("textbox", name="Label")).to_have_value("By hand")
    page.get_by_label("Domain", exact=True).fill("localhost")
    page.get_by_role("textbox", name="Label").fill("By hand again")
    page.get_by_role("button", name="Create", exact=True).click()
    text = page.locator("#text").inner_text()
    page.get_by_text("Python", exact=True).click()
    expect(page.get_by_text("import urllib.request")).to_be_visible()
    page.get_by_role("link", name="I have stored it").click()
    assert text not in page.content()
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("link", name="Deactivate Permanently…").click()
    expect(page).to_have_url(re.compile("/deactivate$"))
    page.get_by_role("button", name="Deactivate Permanently").click()
    expect(page.get_by_text("Deactivated permanently")).to_be_visible()
    page.goto("/access-tokens?q=by+hand&status=any")
    expect(page.locator("#count")).to_have_text("2 tokens")
    expect(page.get_by_role("row").filter(has_text="By hand again")).to_contain_text("Deactivated")


def with_200_permissions(route: Route) -> None:
    """The form of a new token as an installation with 200 permissions has it."""
    actions = ("get", "search", "create", "modify", "delete")
    names = [f"thing-{number:02}:{action}" for number in range(40) for action in actions]
    catalogue = parse_catalogue("permissions:\n" + "".join(f"  {name}: {{}}\n" for name in names))
    groups = offered(catalogue, Actor.system(), [], built_in=False)
    picker = page_environment(PAGES).from_string(
        '{% from "_permissions.html" import permission_picker with context %}'
        "{{ permission_picker(groups, [], [], none, presets=presets) }}"
    )
    presets = presets_of(catalogue, Actor.system(), groups, [], [])
    answer = route.fetch()
    fieldset = picker.render(visitor=None, groups=groups, presets=presets)
    page = re.sub(
        "<fieldset[^>]*data-picker>.*?</fieldset>", lambda _: fieldset, answer.text(), flags=re.S
    )
    route.fulfill(response=answer, body=page)


def test_a_picker_of_200_permissions(demo: Demo, person: Page) -> None:
    """A folded line a resource, levels, a filter that ticks, and chips of what is chosen."""
    page = person
    page.route("**/access-tokens/new", with_200_permissions, times=1)
    page.goto("/access-tokens/new")
    tally, tray = (
        page.locator("[data-tally]"),
        page.get_by_role("list", name="Selected permissions"),
    )
    expect(page.locator("[data-group]")).to_have_count(40)
    expect(permission(page, "thing-07:get")).to_be_hidden()
    line = page.get_by_role("group", name="Thing 07", exact=True)
    line.get_by_role("radio", name="Read").check()
    expect(tally).to_have_text("2 permissions selected")
    expect(tray.get_by_role("listitem")).to_have_text(["thing-07:get×", "thing-07:search×"])
    expect(permission(page, "thing-07:get")).to_be_hidden()
    line.get_by_role("radio", name="Choose").check()
    permission(page, "thing-07:delete").check()
    line.get_by_role("radio", name="None").check()
    expect(tally).to_have_text("0 permissions selected")
    line.get_by_role("radio", name="Choose").check()
    expect(tally).to_have_text("3 permissions selected")

    page.get_by_label("Filter permissions").fill("thing-0 delete")
    page.get_by_role("button", name="Tick the 10 shown").click()
    expect(tally).to_have_text("12 permissions selected")
    expect(page.get_by_role("button", name="Untick the 10 shown")).to_be_visible()
    page.get_by_label("Filter permissions").fill("")
    expect(permission(page, "thing-03:delete")).to_be_hidden()
    tray.get_by_role("button", name="Remove thing-00:delete").press("Enter")
    expect(tally).to_have_text("11 permissions selected")
    expect(tray.get_by_role("button", name="Remove thing-01:delete")).to_be_focused()

    page.get_by_role("button", name="Everything I may").click()
    expect(tally).to_have_text("40 permissions selected")
    expect(permission(page, "thing-07:get")).to_be_disabled()
    nothing = page.get_by_role("button", name="Nothing")
    nothing.click()
    expect(nothing).to_have_attribute("aria-pressed", "true")
    expect(tray.get_by_role("listitem")).to_have_count(0)
    page.get_by_role("button", name="Use 90 days").click()
    expect(page.get_by_role("radio", name="90 days")).to_be_checked()
    assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    expect(page.locator("[data-so-far]")).to_have_text("0 permissions · 90 days · any address")
    expect(page.get_by_role("button", name="Create", exact=True)).to_be_in_viewport()


def test_the_keyboard_alone_is_enough(demo: Demo, person: Page) -> None:
    page = person
    page.goto("/access-tokens")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Create New")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Label").focus()
    page.keyboard.type("Typed")
    permission(page, "payouts:search").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Created: Typed")
    page.locator(".secret").get_by_role("button", name="Copy").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Copied. Now store it.")).to_be_visible()
    assert not asks_before_leaving(page)
    page.get_by_role("radio", name="curl").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("import urllib.request")).to_be_visible()
    page.get_by_role("button", name="Profile menu").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="API documentation")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="API documentation")).to_be_hidden()
    page.keyboard.press("Control+k")
    page.keyboard.type("create a ro")
    found = page.get_by_role("dialog").get_by_role("link", name="Create a role")
    expect(found).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(found).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/company/roles/new$"))
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("D")
    assert asks_before_leaving(page)
    page.keyboard.press("Backspace")
    assert not asks_before_leaving(page)


def test_the_style_guide_fits_every_width(person: Page) -> None:
    """All other pages: tests/pages/test_every_width.py."""
    person.goto("/styleguide")
    for width in WIDTHS:
        person.set_viewport_size({"width": width, "height": 800})
        beyond = person.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert (width, beyond <= 0) == (width, True)


def test_what_is_jumped_to_is_below_the_top_bar(person: Page) -> None:
    person.set_viewport_size({"width": 1280, "height": 500})
    person.get_by_role("link", name="Nightly settlement", exact=True).click()
    person.get_by_role("link", name="24 h").click()
    expect(person).to_have_url(re.compile("hours=24#use$"))
    bar = person.locator(".top-bar").bounding_box()
    title = person.get_by_role("heading", name="Use", exact=True).bounding_box()
    assert bar is not None
    assert title is not None
    assert bar["y"] == 0
    assert person.evaluate("scrollY") > 0
    assert title["y"] >= bar["height"]


def test_every_control_has_a_name(demo: Demo, person: Page) -> None:
    page = person
    for path in ("/access-tokens", "/access-tokens/new", "/styleguide", "/v1/docs"):
        page.goto(path)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, a[href], input, select")]
                .filter((each) => each.checkVisibility() && !each.ariaHidden)
                .filter((each) => !(each.ariaLabel || each.textContent.trim()
                    || [...(each.labels ?? [])].some((label) => label.textContent.trim())))
                .map((each) => each.outerHTML)"""
        )
        assert nameless == [], path


def test_signing_out_ends_access(demo: Demo, person: Page) -> None:
    page = person
    page.get_by_role("button", name="Profile menu").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto("/access-tokens")
    expect(page).to_have_url(re.compile("/sign-in"))


def test_the_list_of_tokens_fits_every_width(person: Page) -> None:
    """With a label of 100 characters and IPv6 networks."""
    label = "Reconciliation of card settlements with the statements of all subsidiaries"
    fill_in(person, f"{label} {'W' * (99 - len(label))}")
    permission(person, "charges:search").check()
    for network in ("2001:db8:85a3:8d3::/64", "2001:db8:85a3:8d3:1319:8a2e:370:7348"):
        person.get_by_role("button", name="Add an address").click()
        person.get_by_role("textbox", name="IP address").last.fill(network)
    person.get_by_role("button", name="Create", exact=True).click()
    person.goto("/access-tokens?status=any")
    name = person.get_by_role("link", name="Reconciliation of card")
    for width in (*WIDTHS, 360, 900, 1100):
        person.set_viewport_size({"width": width, "height": 900})
        beyond = person.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert (width, beyond <= 0) == (width, True)
        # A narrower column would break words in two.
        assert name.evaluate("each => each.closest('td').clientWidth") >= 220, width
        row = person.get_by_role("row").filter(has_text="Refund desk").bounding_box()
        assert row is not None
        assert row["height"] <= 120 or width < 390, (width, row)
