"""Users, roles and the company's profile in Chromium: changes are effective at once."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser.accessibility import barriers
from tests.support.browser.windows import sign_in, window
from tests.support.processes.demo import Demo


@pytest.fixture
def person(demo: Demo, browser: Browser) -> Iterator[Page]:
    """The signed-in owner."""
    yield from visiting(demo, browser, 1280)


@pytest.fixture
def on_a_phone(demo: Demo, browser: Browser) -> Iterator[Page]:
    """The signed-in owner with a small screen and no scripts."""
    yield from visiting(demo, browser, 390, java_script_enabled=False)


def visiting(demo: Demo, browser: Browser, width: int, **options: bool) -> Iterator[Page]:
    size = {"width": width, "height": 900}
    with window(browser, demo.url, viewport=size, **options) as page:
        sign_in(page, demo.email, demo.password, "/access-tokens")
        yield page


@pytest.fixture(scope="module")
def api(demo: Demo) -> Iterator[httpx.Client]:
    """The owner's API client."""
    with httpx.Client(base_url=demo.url) as client:
        answer = client.post(
            "/v1/authentications", json={"email": demo.email, "password": demo.password}
        )
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        yield client


@pytest.fixture(scope="module")
def long_names(api: httpx.Client) -> Iterator[list[str]]:
    """The pages of a token and a role with names and networks as long as they may be."""
    name = "W" * 100
    token = api.post(
        "/v1/access-tokens",
        json={
            "label": name,
            "kind": "ui",
            "permissions": ["charges:create", "charges:get"],
            "networks": ["2001:db8:1234:5678:9abc:def0:1234:5678/128"],
            "domains": [f"{'a' * 60}.{'b' * 60}.example.com"],
        },
    ).json()["id"]
    role = api.post("/v1/roles", json={"name": name, "permissions": ["charges:get"]}).json()["id"]
    users = api.get("/v1/users").json()["items"]
    user = next(each for each in users if each["role"] not in ("admin", role))
    colleague = f"/v1/users/{user['id']}"
    assert api.patch(colleague, json={"role": role}).status_code == 200
    yield [
        "/access-tokens?status=any",
        f"/access-tokens/{token}",
        f"/access-tokens/{token}/edit",
        "/company/users",
        "/company/roles",
        f"/company/roles/{role}",
        f"/company/roles/{role}/delete",
        f"/audit-log?subject={token}",
    ]
    api.patch(colleague, json={"role": user["role"]})
    api.delete(f"/v1/roles/{role}")
    api.post(f"/v1/access-tokens/{token}/deactivate")


@pytest.mark.parametrize("width", [320, 390, 870, 920, 1280])
def test_long_names_make_no_page_wider(person: Page, long_names: list[str], width: int) -> None:
    person.set_viewport_size({"width": width, "height": 900})
    for path in long_names:
        person.goto(path)
        person.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        wide = person.locator("html").evaluate("each => each.scrollWidth - each.clientWidth")
        assert wide <= 0, path


def test_a_role_is_created_and_assigned(person: Page) -> None:
    page = person
    page.get_by_role("button", name="Profile menu").click()
    page.get_by_role("navigation", name="Profile menu").get_by_text("My Company").click()
    expect(page.get_by_role("heading", name="Acme Payments")).to_be_visible()
    assert barriers(page) == []
    page.get_by_role("link", name="Roles", exact=True).click()
    assert barriers(page) == []
    page.get_by_role("link", name="Create a role").click()
    page.get_by_label("Name", exact=True).fill("Night shift")
    page.get_by_role("checkbox", name="All of charges").check()
    expect(page.get_by_label("View a charge")).to_be_disabled()
    expect(page.locator("#sentence")).to_contain_text("can do everything with charges.")
    page.get_by_role("checkbox", name="Everything in Acme Payments").check()
    expect(page.locator("[data-tally]")).to_have_text("Everything selected")
    expect(page.locator("#sentence")).to_contain_text("can do everything.")
    page.get_by_role("checkbox", name="Everything in Acme Payments").uncheck()
    assert barriers(page) == []
    page.get_by_role("button", name="Create", exact=True).last.click()
    expect(page.get_by_role("heading", name="Night shift")).to_be_visible()
    expect(
        page.get_by_role("row", name=re.compile("^Charges all, now and later yes"))
    ).to_be_visible()
    assert barriers(page) == []

    # With the keyboard alone: open a row's menu, and choose from it.
    page.goto("/company/users")
    assert barriers(page) == []
    page.get_by_label("Search name or e-mail address").fill("priya")
    expect(page.locator("#count")).to_have_text("1 user")
    page.get_by_role("button", name="Actions for Priya Raman").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Change the role of Priya Raman")).to_be_visible()
    page.get_by_role("radio", name=re.compile("^Night shift")).check()
    expect(page.locator("#sentence")).to_contain_text(
        "From their next request, Priya Raman can do everything with charges."
    )
    assert barriers(page) == []
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_text("Role changed.")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Priya Raman"))).to_contain_text("Night shift")


def test_deactivating_a_user_deactivates_their_tokens(api: httpx.Client, person: Page) -> None:
    page = person
    page.goto("/company/users")
    page.get_by_role("button", name="Actions for Grace Hopper").click()
    page.get_by_role("link", name="Deactivate…").click()
    expect(page.get_by_role("heading", name="Deactivate Grace Hopper?")).to_be_visible()
    expect(page.get_by_role("table", name="Access tokens of Grace Hopper")).to_contain_text(
        "Refund desk"
    )
    expect(page.get_by_label("Deactivate them")).to_be_checked()
    assert barriers(page) == []
    # The demo's own client calls the API all the time.
    page.get_by_label("To confirm, type their name").fill("Grace Hopper")
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_text("Account deactivated.")).to_be_visible()
    tokens = api.get("/v1/access-tokens", params={"q": "Refund desk"}).json()["items"]
    assert [token["status"] for token in tokens] == ["deactivated"]


def test_it_works_on_a_phone_without_scripts(api: httpx.Client, on_a_phone: Page) -> None:
    page = on_a_phone
    made = api.post("/v1/roles", json={"name": "Front desk", "permissions": ["charges:get"]})
    role = made.json()["id"]
    for path in ("/company", "/company/users", "/company/roles", f"/company/roles/{role}/edit"):
        page.goto(path)
        wide = page.locator("html").evaluate("each => each.scrollWidth - each.clientWidth")
        assert wide == 0, path
    page.get_by_label("Capture authorised charges").check()
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#sentence")).to_contain_text("can read and capture charges.")
    api.patch(f"/v1/roles/{role}", json={"name": "Reception"})
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_text("while you were editing")).to_be_visible()
    expect(page.get_by_role("table")).to_contain_text("Reception")
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_text("Saved. The change applies from the next request")).to_be_visible()
    wide = page.locator("html").evaluate("each => each.scrollWidth - each.clientWidth")
    assert wide == 0, "the grid scrolls by itself"
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("Role deleted.")).to_be_visible()
