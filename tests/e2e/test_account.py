"""A sign-in that ends while a form is filled in, in a real Chromium."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser.accessibility import barriers
from tests.support.processes.demo import Demo

#: Short enough that pages warn of the end from the start.
LIFETIME_S = 290


@pytest.fixture(scope="module")
def demo(created_demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    lifetime = {"GATEPASS_LOGIN_LIFETIME": str(LIFETIME_S)}
    with Demo(tmp_path_factory.mktemp("demo"), like=created_demo, **lifetime) as running:
        yield running


def opened(demo: Demo, browser: Browser, **options: bool) -> tuple[BrowserContext, Page]:
    context = browser.new_context(base_url=demo.url, **options)
    page = context.new_page()
    return context, page


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def late_form(demo: Demo, page: Page) -> None:
    """Fill in a form that will be submitted too late."""
    page.goto("/access-tokens/new")
    sign_in(page, demo.email, demo.password)
    expect(page).to_have_url(f"{demo.url}/access-tokens/new")
    page.get_by_role("textbox", name="Label").fill("Begun before lunch")
    page.locator('input[name="permissions"][value="charges:get"]').check()
    page.get_by_text("30 days").click()


def end_sign_ins(demo: Demo) -> None:
    """Deactivate all sign-ins, as an administrator may."""
    with httpx.Client(base_url=demo.url) as client:
        who = {"email": demo.email, "password": demo.password}
        token = client.post("/v1/authentications", json=who).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for one in client.get("/v1/authentications").json()["items"]:
            if one["status"] == "active" and not one["current"]:
                client.post(f"/v1/authentications/{one['id']}/deactivate")


def shown_again(page: Page) -> None:
    expect(page.get_by_role("textbox", name="Label")).to_have_value("Begun before lunch")
    expect(page.locator('input[name="permissions"][value="charges:get"]')).to_be_checked()
    expect(page.get_by_label("30 days")).to_be_checked()


def test_a_form_that_outlives_its_sign_in_is_shown_again(demo: Demo, browser: Browser) -> None:
    context, page = opened(demo, browser)
    page.clock.install()
    late_form(demo, page)
    warned = page.get_by_role("status").filter(has_text="Your sign-in ends at")
    expect(warned).to_be_visible()
    expect(warned.get_by_role("link", name="Sign in again")).to_have_attribute("target", "_blank")
    assert barriers(page) == []
    # The laptop sleeps until the sign-in has ended.
    page.clock.fast_forward(LIFETIME_S * 1000)
    expect(page.get_by_text("Your sign-in has ended.")).to_be_visible()
    end_sign_ins(demo)
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("Not saved: your sign-in had ended")).to_be_visible()
    assert barriers(page) == []
    sign_in(page, demo.email, demo.password)
    shown_again(page)
    assert "Created:" not in page.content()
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name="Created: Begun before lunch")).to_be_visible()
    context.close()


def test_without_scripts_the_form_is_shown_again_too(demo: Demo, browser: Browser) -> None:
    context, page = opened(demo, browser, java_script_enabled=False)
    late_form(demo, page)
    end_sign_ins(demo)
    page.get_by_role("button", name="Create", exact=True).click()
    sign_in(page, demo.email, demo.password)
    page.get_by_role("button", name="Continue").click()
    shown_again(page)
    context.close()


def test_signing_in_on_another_tab_is_enough(demo: Demo, browser: Browser) -> None:
    context, page = opened(demo, browser)
    page.goto("/account")
    sign_in(page, demo.email, demo.password)
    page.get_by_label("Name").fill("Augusta Ada King")
    with context.expect_page() as opening:
        page.get_by_role("link", name="Sign in again").click()
    other = opening.value
    before = page.evaluate("Number(document.body.dataset.signedInUntil)")
    sign_in(other, demo.email, demo.password)
    expect(other).to_have_url(re.compile("/access-tokens"))
    assert other.evaluate("Number(document.body.dataset.signedInUntil)") > before
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Name saved.")).to_be_visible()
    context.close()
