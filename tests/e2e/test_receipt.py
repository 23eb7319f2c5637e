"""The receipt of a deactivation in Chromium, while verifiers confirm it."""

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import delete

from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Database
from tests.support.browser.windows import sign_in, window
from tests.support.grants.fake_verifiers import acknowledge, register
from tests.support.processes.demo import Demo


@pytest.fixture
def registry(demo: Demo) -> Iterator[Database]:
    """The demo's database, in which the test registers embedded verifiers."""
    database = Database(f"sqlite:///{next(demo.directory.rglob('gatepass.db'))}")
    with database.auxiliary_write(now()) as write:
        write.session.execute(delete(tables.nodes).where(tables.nodes.c.kind == "embedded"))
    yield database
    database.close()


@pytest.fixture(scope="module", params=[True, False], ids=["scripts", "no scripts"])
def page(request: pytest.FixtureRequest, demo: Demo, browser: Browser) -> Iterator[Page]:
    with window(browser, demo.url, java_script_enabled=request.param) as page:
        sign_in(page, demo.email, demo.password)
        yield page


def now() -> int:
    return time.time_ns() // 1_000_000


def test_refused_by_all_is_updated_while_the_page_is_open(
    page: Page, registry: Database, request: pytest.FixtureRequest
) -> None:
    by_itself = "no scripts" not in request.node.name

    def look_again() -> None:
        if not by_itself:
            page.get_by_role("link", name="Refresh").click()

    register(registry, now(), "node_a", "node_b")
    page.goto("/company/nodes")
    table = page.locator("#nodes")
    expect(table).to_contain_text("1 node and 2 embedded verifiers")
    # Another verifier registers while the page is open.
    register(registry, now(), "node_c")
    look_again()
    expect(table).to_contain_text("1 node and 3 embedded verifiers")
    expect(table).to_contain_text("node_c.internal")

    page.goto("/access-tokens")
    page.locator("#results .title").first.click()
    expect(page).to_have_url(re.compile("/access-tokens/gpat_"))
    page.goto(f"{page.url}/deactivate")
    # A confirmation is required because the token was used within the last hour.
    label = page.get_by_label("To confirm, type the label", exact=False)
    if label.count():
        label.fill(page.get_by_role("main").locator("strong").last.text_content() or "")
    page.get_by_role("button", name="Deactivate Permanently").click()
    card = page.locator("#receipt")
    expect(card.get_by_role("heading")).to_have_text("Refused by 1 of 4 verifiers")
    expect(card).to_contain_text("Waiting for 3 of 4 verifiers to confirm.")
    for number, id in enumerate(("node_b", "node_a", "node_c"), 2):
        acknowledge(registry, now(), id)
        look_again()
        expect(card.get_by_role("heading")).to_have_text(f"Refused by {number} of 4 verifiers")
    expect(card).to_contain_text(re.compile(r"node_c\.internal Embedded\s+confirmed after \d"))
    expect(card.get_by_role("status")).to_contain_text("Every verifier has stopped accepting it")
    if by_itself:
        # The node completes the receipt a moment later; then the page stops polling.
        expect(card).not_to_have_attribute("data-live", re.compile("."))
        page.reload()
        expect(page.get_by_role("main")).to_contain_text("refused by 4 of 4 servers")
