"""Accessibility of every page: no serious axe-core violation, keyboard operation, no sideways
scrolling on a phone."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from gatepass.web.pages.layout import navigation
from tests.support.apps.all_routes import page_routes
from tests.support.browser.accessibility import LOOKS, barriers
from tests.support.browser.windows import sign_in
from tests.support.processes.demo import Demo

WIDE: Any = {"width": 1280, "height": 900}
NARROW: Any = {"width": 390, "height": 844}
#: Routes that are downloads or only redirect.
NO_PAGES = {"/favicon.ico", "/static/{version}/{name}", "/audit-log/export"}
#: Pages beyond the routes: other states of pages, and the demo's own.
MORE = (
    *("/access-tokens?q=nothing+at+all", "/audit-log?from=yesterday", "/no/such/page"),
    # It waits for a refusal to arrive.
    "/decisions/dec_0000000000000000000000",
)
SIGNED_OUT = ("/sign-in",)
DEMO_PAGES = ("/styleguide",)


class Ids:
    """An id of each kind of record, by the part of a path that precedes ``{id}``."""

    def __init__(self, demo: Demo) -> None:
        with httpx.Client(base_url=demo.url) as client:
            known = {"email": demo.email, "password": demo.password}
            token = client.post("/v1/authentications", json=known).json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"

            def one(path: str, fits: Callable[[dict[str, Any]], bool], of: str = "id") -> Any:
                return next(each[of] for each in client.get(path).json()["items"] if fits(each))

            role = {"name": "Refund desk", "permissions": ["charges:get"]}
            client.post("/v1/roles", json=role)
            client.post("/v1/admin-keys", json={"label": "Shop backend"})
            hook = {"url": "https://hooks.example.com/", "events": ["access_token.*"]}
            webhook = client.post("/v1/webhooks", json=hook).json()["id"]
            client.post(f"/v1/webhooks/{webhook}/test")
            invited = {"email": "new@acme.example", "role": "reporting"}
            client.post("/v1/invitations", json=invited)
            agent = {"label": "Agent", "kind": "api", "permissions": ["charges:get"]}
            text = client.post("/v1/access-tokens", json=agent).json()["token"]
            asked = client.post(
                "/v1/access-requests",
                json={"permission": "charges:create"},
                headers={"Authorization": f"Bearer {text}"},
            )
            self.of = {
                "access-requests": asked.json()["id"],
                "access-tokens": one("/v1/access-tokens?status=active", lambda each: True),
                "authentications": one("/v1/authentications", lambda each: True),
                "users": one("/v1/users", lambda each: each["email"] != demo.email),
                "roles": one("/v1/roles", lambda each: not each["built_in"]),
                "invitations": one("/v1/invitations", lambda each: True),
                "admin-keys": one("/v1/admin-keys", lambda each: True),
                "verifier-keys": one("/v1/verifier-keys", lambda each: True),
                "decisions": next(
                    call["decision"]
                    for token in client.get("/v1/access-tokens").json()["items"]
                    for call in client.get(
                        f"/v1/access-tokens/{token['id']}/calls?outcome=refused"
                    ).json()["items"]
                ),
                "webhooks": webhook,
                "catalogue": "1",
                "service-accounts": one("/v1/service-accounts", lambda each: True),
                "external-owners": one(
                    "/v1/access-tokens", lambda each: each["owner"]["type"] == "external", "owner"
                )["id"],
                # Without a code it says what to do; with one it is the component's.
                "portal": "gpps_nothing",
            }

    def address(self, path: str) -> str:
        """The address of a route's page."""
        kind = path.partition("/{id}")[0].rpartition("/")[2]
        # An unknown link shows the page of broken links, which must be accessible as well.
        path = path.replace("{token}", "gpiv_nothing")
        address = path.replace("{id}", self.of.get(kind, "{id}"))
        assert "{" not in address, f"teach this test what {path} takes"
        return address


@pytest.fixture(scope="module")
def ids(demo: Demo) -> Ids:
    return Ids(demo)


@pytest.fixture(scope="module")
def open_page(demo: Demo, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens wide windows, most of which share one sign-in."""
    contexts = []

    def open_(signed_in: bool = True) -> Page:
        context = browser.new_context(
            base_url=demo.url,
            viewport=WIDE,
            color_scheme="light",
            storage_state=state if signed_in else None,
            # axe-core is injected from outside the page.
            bypass_csp=True,
        )
        contexts.append(context)
        page = context.new_page()
        return page

    state: Any = None
    page = open_(signed_in=False)
    sign_in(page, demo.email, demo.password)
    state = page.context.storage_state()
    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def person(open_page: Callable[..., Page]) -> Page:
    """A signed-in user on a wide screen."""
    return open_page()


def complaints(page: Page, address: str) -> list[str]:
    """The faults of the page at that address: wide and light, then what looks otherwise narrow and
    dark.

    Colours don't depend on the width, so two of the four combinations suffice.
    """
    told = []
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(WIDE)
    page.goto(address)
    # Open every disclosure and menu, since their contents must be accessible as well.
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    for narrow in (False, True):
        if narrow:
            page.emulate_media(color_scheme="dark")
            page.set_viewport_size(NARROW)
        told += barriers(page, LOOKS if narrow else None)
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if width[0] > width[1]:
            told.append(f"scrolls sideways: {width[0]} px in {width[1]}")
    return [f"{address} {each}" for each in told]


def test_every_page_is_accessible(ids: Ids, open_page: Callable[..., Page]) -> None:
    person, stranger = open_page(), open_page(signed_in=False)
    told: list[str] = []
    for method, path in page_routes():
        if method == "GET" and path not in NO_PAGES and path not in SIGNED_OUT:
            told += complaints(person, ids.address(path))
    for address in (*MORE, *DEMO_PAGES):
        told += complaints(person, address)
    for address in SIGNED_OUT:
        told += complaints(stranger, address)
    assert not told, "\n".join(told)


def reach(page: Page, target: Locator) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if target.evaluate("each => each === document.activeElement"):
            outline = target.evaluate(
                "each => [each, each.closest('label') ?? each, each.closest('tr') ?? each]"
                ".some(one => getComputedStyle(one).outlineStyle !== 'none')"
            )
            assert outline, "the focus can't be seen"
            return
    raise AssertionError(f"the keyboard doesn't get to {target}")


def test_the_keyboard_alone_reaches_every_page(person: Page) -> None:
    """Through the profile menu and the tabs of the pages it leads to."""
    page = person
    there = {path for method, path in page_routes() if method == "GET"}
    menu = page.get_by_role("navigation", name="Profile menu")
    for name, tabs in (
        ("Access Tokens", (navigation.TOKENS, navigation.AUTHENTICATIONS)),
        (
            "My Company",
            (
                navigation.PROFILE,
                navigation.SECURITY,
                navigation.USERS,
                navigation.ROLES,
                navigation.NODES,
            ),
        ),
        ("Audit log", (navigation.AUDIT_LOG,)),
        ("My account", (navigation.MY_PROFILE, navigation.PASSWORD, navigation.TWO_FACTOR)),
    ):
        first, *others = tabs
        if first.path not in there:
            continue
        page.goto("/v1/docs")
        reach(page, page.get_by_role("button", name="Profile menu"))
        page.keyboard.press("Enter")
        expect(menu).to_be_visible()
        page.keyboard.press("Escape")
        expect(menu).to_be_hidden()
        page.keyboard.press("Enter")
        reach(page, menu.get_by_role("link", name=name))
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(f"{first.path}$"))
        for tab in others:
            if tab.path in there:
                reach(page, page.locator("nav.section-tabs").get_by_role("link", name=tab.name))
                page.keyboard.press("Enter")
                expect(page).to_have_url(re.compile(f"{tab.path}$"))


def test_the_keyboard_alone_creates_and_deactivates_a_token(person: Page) -> None:
    page = person
    page.goto("/access-tokens/new")
    reach(page, page.get_by_role("textbox", name="Label"))
    page.keyboard.type("Made without a mouse")
    reach(page, page.locator('input[name="permissions"][value="charges:get"]'))
    page.keyboard.press("Space")
    reach(page, page.get_by_role("button", name="Create", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Created: Made without a mouse")
    page.goto("/access-tokens?q=without")
    reach(page, page.get_by_role("link", name="Made without a mouse"))
    page.keyboard.press("Enter")
    reach(page, page.get_by_role("button", name="Actions"))
    page.keyboard.press("Enter")
    reach(page, page.get_by_role("link", name="Deactivate Permanently…"))
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    reach(page, dialog.get_by_role("button", name="Deactivate Permanently"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Deactivated permanently")).to_be_visible()


def test_the_keyboard_alone_searches_the_log(person: Page) -> None:
    page = person
    page.goto("/audit-log")
    reach(page, page.get_by_label("Person"))
    page.keyboard.type("grace")
    expect(page.locator("#results")).to_contain_text("Events by or about Grace Hopper.")
    line = page.locator(".log-day > .log > li:not(.run)").first
    reach(page, line.locator("summary"))
    page.keyboard.press("Enter")
    expect(line.locator("dl")).to_be_visible()
