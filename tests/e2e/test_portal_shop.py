"""``examples/portal``: a shop whose customers make the tokens of its API in their own account."""

import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser.host_page import ELEMENT, HostPages, hand_in
from tests.support.browser.windows import window
from tests.support.processes.demo import Demo
from tests.support.processes.ports import free_port
from tests.support.processes.serving import serving
from tests.support.waiting import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "portal"
MIA, NOOR = "mia@example.com", "noor@example.com"
PASSWORD = "let me into the shop"


@pytest.fixture(scope="module")
def shop(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The shop's address."""
    directory, port = tmp_path_factory.mktemp("shop"), free_port()
    url = f"http://localhost:{port}"
    command = [sys.executable, "-m", "uvicorn", "--log-level", "warning", "--port", str(port)]
    with serving(
        [*command, "shop:app"],
        lambda: httpx.get(url),
        directory,
        cwd=EXAMPLE,
        SHOP_URL=url,
        GATEPASS_URL=demo.url,
        GATEPASS_ADMIN_KEY=admin_key(demo),
        GATEPASS_KEY=demo.verifier_key,
        GATEPASS_DIRECTORY=str(directory / "copy"),
    ):
        yield url


def admin_key(demo: Demo, *permissions: str) -> str:
    """A key made by the demo's operator; by default for what the shop's backend does."""
    with httpx.Client(base_url=demo.url) as client:
        known = {"email": demo.email, "password": demo.password}
        token = client.post("/v1/authentications", json=known).json()["token"]
        needed = permissions or ("companies", "owners", "portal")
        new = {"label": "Corner Shop", "permissions": list(needed)}
        made = client.post("/v1/admin-keys", json=new, headers={"Authorization": f"Bearer {token}"})
        return str(made.json()["key"])


@pytest.fixture
def open_window(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens windows; a violated policy or a failing script in one fails the test."""
    with ExitStack() as windows:
        yield lambda url, **options: windows.enter_context(window(browser, url, **options))


def sign_in(page: Page, email: str) -> Locator:
    """Sign in to the shop; the element on the account page."""
    page.goto("/")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    element = page.locator(ELEMENT)
    expect(button(element, "Create New")).to_be_visible()
    return element


def button(where: Locator, name: str) -> Locator:
    return where.get_by_role("button", name=name, exact=True)


def code_for(page: Page) -> str:
    """A code as the shop's page gets one."""
    return str(page.evaluate("fetch('/portal-code', {method: 'POST'}).then(r => r.json())")["code"])


def session_of(code: str) -> str:
    """The id of a code's session."""
    return "gpps_" + code[5:21]


def make_late(data: Path, code: str) -> None:
    """Let a code be older than it may be."""
    with sqlite3.connect(data / "gatepass.db") as database:
        done = database.execute(
            "UPDATE portal_sessions SET expires_at = created_at WHERE id = ?", (session_of(code),)
        )
        assert done.rowcount == 1
    database.close()


def reason(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json().get("reason")


def test_a_customer_makes_a_token_calls_the_api_and_ends_it(
    shop: str, open_window: Callable[..., Page]
) -> None:
    page = open_window(shop)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    element = sign_in(page, MIA)
    expect(page.get_by_role("banner")).to_contain_text("Mia's Bikes")
    # The shop's own words, and its colours.
    expect(element.get_by_role("heading", name="Access tokens of your shop")).to_be_visible()
    primary = button(element, "Create New")
    assert primary.evaluate("each => getComputedStyle(each).backgroundColor") == "rgb(31, 92, 67)"

    primary.click()
    element.get_by_label("Label", exact=True).fill("Order export")
    expect(element.get_by_role("checkbox")).to_have_count(2)
    element.get_by_role("checkbox", name="List and search charges").check()
    expect(element.get_by_text("It can search orders.")).to_be_visible()
    button(element, "Create").click()
    button(element, "Copy").click()
    expect(button(element, "Copied")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    button(element, "I have stored it").click()

    with httpx.Client(base_url=shop, headers={"Authorization": f"Bearer {text}"}) as program:
        answer = program.get("/api/orders")
        assert (answer.status_code, answer.json()) == (200, [{"id": "ord_1", "item": "Saddle"}])
        assert reason(program.delete("/api/orders/ord_1")) == (403, "permission_missing")

        # Another customer of the shop doesn't see it.
        other = open_window(shop)
        expect(sign_in(other, NOOR).get_by_text("No access tokens yet")).to_be_visible()

        button(element, "Deactivate Order export").click()
        dialog = element.get_by_role("dialog")
        typed = dialog.get_by_label(re.compile("To confirm, type the label"))
        if typed.count():
            typed.fill("Order export")
        button(dialog, "Deactivate Permanently").click()
        expect(element.get_by_text("Order export is deactivated.")).to_be_visible()
        until(lambda: program.get("/api/orders").status_code != 200)
        assert reason(program.get("/api/orders")) == (401, "token_deactivated")


def test_signed_out_of_the_shop_there_is_no_code(shop: str) -> None:
    assert httpx.post(f"{shop}/portal-code").status_code == 303


def test_a_used_late_or_stolen_code_opens_nothing(
    shop: str, demo: Demo, browser: Browser, open_window: Callable[..., Page]
) -> None:
    page = open_window(shop)
    sign_in(page, MIA)
    used, late, stolen = (code_for(page) for _ in range(3))
    hand_in(page, used)
    expect(button(page.locator(ELEMENT), "Create New")).to_be_visible()

    def refused(where: Page, code: str) -> None:
        element = where.locator(ELEMENT)
        hand_in(where, code)
        expect(element.get_by_text("Your access tokens can't be shown")).to_be_visible()
        expect(button(element, "Create New")).to_have_count(0)

    make_late(demo.directory, late)
    with HostPages(demo.url) as hosts:
        elsewhere = browser.new_context(base_url=hosts.origin("thief")).new_page()
        for code in (used, late, stolen):
            elsewhere.goto("/")
            refused(elsewhere, code)
        # In a frame of another page, too: neither the shop's page nor Gatepass's is shown there.
        portal = f"{demo.url}/portal/{session_of(stolen)}#{stolen}"
        for address in (f"{shop}/account", portal):
            hosts.framed = address
            elsewhere.goto("/frame")
            frame = elsewhere.frames[1]
            frame.wait_for_load_state()
            assert frame.url.startswith("chrome-error://")
        elsewhere.context.close()

    own = open_window(shop)
    # The shop's page without a session of its own, and without its script.
    own.route("**/static/account.js", lambda route: route.fulfill(content_type="text/javascript"))
    own.context.add_cookies(page.context.cookies())
    for code in (used, late):
        own.goto("/account")
        refused(own, code)
    # Nobody used the stolen one up.
    own.goto("/account")
    hand_in(own, stolen)
    expect(button(own.locator(ELEMENT), "Create New")).to_be_visible()


def test_an_owner_of_another_company_is_no_customer_of_the_shop(shop: str, demo: Demo) -> None:
    """Even with the external id of one."""
    key = {"Authorization": f"Bearer {admin_key(demo, 'companies', 'owners', 'tokens')}"}
    with httpx.Client(base_url=f"{demo.url}/v1/companies", headers=key) as backend:
        other = backend.put("by-external-id/other", json={"name": "Other Shop"}).json()["id"]
        owner = {"type": "external", "name": "Mia", "role": "customer-service"}
        mia = backend.put(f"{other}/owners/by-external-id/{MIA}", json=owner).json()["id"]
        new = {"label": "x", "kind": "api", "permissions": ["charges:search"], "owner": {"id": mia}}
        text = backend.post(f"{other}/access-tokens", json=new).json()["token"]

    def asked() -> httpx.Response:
        return httpx.get(f"{shop}/api/orders", headers={"Authorization": f"Bearer {text}"})

    # Unknown until the shop's copy of the grants has it.
    until(lambda: asked().status_code != 401)
    assert asked().status_code == 403
