"""The demo's page in Chromium: a script calls the guarded API from another origin."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.support.browser.windows import window
from tests.support.processes.demo import Demo


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with window(browser, viewport={"width": 390, "height": 844}) as page:
        yield page
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def port_of(demo: Demo) -> str:
    return demo.url.rpartition(":")[2]


def test_from_localhost_the_token_works_across_origins(demo: Demo, page: Page) -> None:
    calls: list[Request] = []
    page.on("request", lambda request: calls.append(request) if "/v1/" in request.url else None)
    page.goto(f"http://localhost:{port_of(demo)}/demo")
    expect(page.get_by_role("heading", name="200 allowed")).to_be_visible()
    expect(page.locator("#answer tbody tr")).to_have_count(8)
    assert calls[0].url.startswith(f"{demo.url}/demo/v1/charges"), "the API is another origin"
    answer = calls[0].response()
    assert answer is not None
    assert answer.request.all_headers()["origin"] == f"http://localhost:{port_of(demo)}"
    page.get_by_role("button", name="Open a checkout").click()
    expect(page.locator("#told")).to_contain_text("Opened checkout")


def test_from_127_0_0_1_it_is_refused_and_the_page_says_why(demo: Demo, page: Page) -> None:
    page.goto(f"{demo.url}/demo")
    expect(page.get_by_role("heading", name="403 origin_not_allowed")).to_be_visible()
    expect(page.locator("#told")).to_contain_text("The token may not be used on this origin.")
    expect(page.locator("#told")).to_contain_text("Open this page on localhost")
    page.get_by_role("link", name="localhost", exact=True).click()
    expect(page.get_by_role("heading", name="200 allowed")).to_be_visible()


def test_without_the_preflights_answer_the_browser_does_not_call(demo: Demo, page: Page) -> None:
    """With a method that the preflight's answer doesn't allow, the call isn't sent."""
    page.goto(f"http://localhost:{port_of(demo)}/demo")
    expect(page.get_by_role("heading", name="200 allowed")).to_be_visible()
    call = """async ([url, method]) => {
        try {
            return (await fetch(url, {method, headers: {"x-access-token": "x"}})).status;
        } catch { return "blocked"; }
    }"""
    api = f"{demo.url}/demo/v1/charges"
    assert page.evaluate(call, [api, "GET"]) == 401
    # Chromium logs the blocked call as an error of the page, as expected.
    blocked = page.context.new_page()
    blocked.goto(f"http://localhost:{port_of(demo)}/demo")
    assert blocked.evaluate(call, [api, "PROPFIND"]) == "blocked"


def test_every_kind_of_refusal_is_explained(demo: Demo, page: Page) -> None:
    page.goto(f"http://localhost:{port_of(demo)}/demo")
    token = page.get_by_label("Access token, for UI")
    text = token.input_value()
    page.get_by_role("button", name="Refund the latest charge").click()
    expect(page.get_by_role("heading", name="403 permission_missing")).to_be_visible()
    expect(page.locator("#told")).to_contain_text("charges:refund")
    token.fill("")
    page.get_by_role("button", name="List charges").click()
    expect(page.get_by_role("heading", name="401 token_missing")).to_be_visible()
    token.fill(text[:-1] + ("a" if text[-1] != "a" else "b"))
    page.get_by_role("button", name="List charges").click()
    expect(page.get_by_role("heading", name="401 token_invalid")).to_be_visible()
    with httpx.Client(base_url=demo.url) as client:
        ada = {"email": demo.email, "password": demo.password}
        signed_in = client.post("/v1/authentications", json=ada).json()["token"]
        client.headers["Authorization"] = f"Bearer {signed_in}"
        # Not the page's own token: that is the other tests', too.
        fields = {
            "label": "Deactivated",
            "kind": "ui",
            "permissions": ["charges:search"],
            "domains": [f"localhost:{port_of(demo)}"],
        }
        another = client.post("/v1/access-tokens", json=fields).json()
        client.post(f"/v1/access-tokens/{another['id']}/deactivate").raise_for_status()
    token.fill(another["token"])
    page.get_by_role("button", name="List charges").click()
    expect(page.get_by_role("heading", name="401 token_deactivated")).to_be_visible()
    expect(page.locator("#told")).to_contain_text("Create a new token")
