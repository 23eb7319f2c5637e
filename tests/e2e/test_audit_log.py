"""The audit log in Chromium: live filters, details, and a long export."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from gatepass.registry.storage.database import Database
from tests.support.browser.windows import sign_in, window
from tests.support.database.audit_events import write_events
from tests.support.processes.demo import Demo

EVENTS = 6_000
#: Labels that older releases accepted, and their Latin words: a direction override, an unmatched
#: isolate end, an unmatched isolate start, right-to-left text.
HOSTILE = (
    ("\u202eegap omeD", ["egap", "omeD"]),
    ("\u2069\u202eegap omeD", ["egap", "omeD"]),
    ("דף הדגמה \u2067omeD", ["omeD"]),
    ("דף", []),
)
HOSTILE_AT = 1_600_000_000_000


@pytest.fixture(scope="module")
def demo(created_demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo with thousands of sign-ins a second apart, the last in November 2023."""
    directory: Path = tmp_path_factory.mktemp("demo")
    with Demo(directory, like=created_demo) as running:
        database = Database(f"sqlite:///{directory}/gatepass.db")
        with database.read(0) as reading:
            company = reading.session.execute(text("SELECT id FROM companies")).scalar_one()
        write_events(
            database, company, EVENTS, at=1_700_000_000_000, subject_name='=HYPERLINK("evil")'
        )
        for at, (label, _) in enumerate(HOSTILE):
            kind = {"action": "access_token.created", "subject_kind": "access_token"}
            write_events(database, company, 1, at=HOSTILE_AT + at, subject_name=label, **kind)
        database.close()
        yield running


@pytest.fixture(scope="module")
def page(demo: Demo, browser: Browser) -> Iterator[Page]:
    """A signed-in user in Sydney."""
    with window(browser, demo.url, timezone_id="Australia/Sydney") as page:
        sign_in(page, demo.email, demo.password)
        page.get_by_role("button", name="Profile menu").click()
        page.get_by_role("navigation", name="Profile menu").get_by_text("Audit log").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Audit log")
        yield page


def test_typing_filters_the_list_and_updates_the_address(page: Page, demo: Demo) -> None:
    # The page is that of the test before.
    page.goto("/audit-log")
    page.locator("#person").fill("tomás")
    results = page.locator("#results")
    expect(results).to_contain_text("Events by or about Tomás Silva.")
    expect(results.locator(".sentence")).to_have_text(
        [
            "Tomás Silva signed in",
            "The command line created the user Tomás Silva as Customer Service",
        ]
    )
    page.locator("#person").fill("")
    page.locator("#kind").select_option("Access tokens")
    page.locator("#token").fill("contractor")
    expect(results.locator(".sentence")).to_have_text(
        [
            re.compile("^The deactivation of .*: customer migration is complete: "),
            "Grace Hopper deactivated the access token Contractor: customer migration",
            "Ada Lovelace created the access token Contractor: customer migration",
        ]
    )
    expect(page.get_by_role("status").first).to_have_text("3 events")
    address = page.url
    assert "kind=access-tokens" in address
    page.goto(address)
    expect(page.locator("#token")).to_have_value("contractor")
    made = results.locator("li", has_text="created the access token")
    # Anywhere on the line but its link.
    made.locator("summary").click(position={"x": 20, "y": 12})
    expect(made.get_by_role("table")).to_contain_text("customers:*")
    expect(made.get_by_role("table")).to_contain_text("198.51.100.0/28")
    made.get_by_role("link", name="Ada Lovelace").click()
    expect(results).to_contain_text("Events by or about Ada Lovelace.")


def test_a_pasted_token_text_is_cut_to_its_id_before_it_is_sent(page: Page, demo: Demo) -> None:
    page.goto("/audit-log")
    page.locator("#token").fill(demo.access_token)
    expect(page.locator("#token")).to_have_value(demo.access_token[:21])
    expect(page.locator("#results")).to_contain_text("Events with or about Try it.")
    assert demo.access_token[21:] not in page.url


def test_times_are_those_of_the_viewer(page: Page) -> None:
    """1,700,000,000 s is 15 Nov 2023, 09:13:20 in Sydney."""
    page.goto("/audit-log")
    page.locator("#since").fill("2023-11-15T09:13")
    page.locator("#until").fill("2023-11-15T09:14")
    results = page.locator("#results")
    expect(results.get_by_role("heading", level=2)).to_have_text(["Wednesday, 15 November 2023"])
    expect(results.locator(".when").first).to_have_text("09:13")
    expect(page).to_have_url(re.compile("from_offset=660"))
    page.goto(page.url)
    expect(page.locator("#since")).to_have_value("2023-11-15T09:13")


def test_a_long_export_shows_its_progress(page: Page) -> None:
    page.goto("/audit-log?kind=authentications&until=2024-01-01T00:00")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    dialog = page.get_by_role("dialog", name="Export audit log")
    expect(dialog.get_by_role("status")).to_contain_text(f"{EVENTS:,} events in audit-log-")
    assert dialog.get_by_role("progressbar").evaluate("bar => bar.value") == 1
    assert re.fullmatch(r"audit-log-\d{4}-\d\d-\d\d\.csv", download.value.suggested_filename)
    saved = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(saved, newline=""), strict=True))
    assert len(rows) == EVENTS
    assert {row["subject_name"] for row in rows} == {'\'=HYPERLINK("evil")'}
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_an_export_can_be_cancelled(page: Page) -> None:
    page.goto("/audit-log")
    answered: list[str] = []
    # A server that sends half of the export and delays the rest.
    page.evaluate(
        """() => {
            window.fetch = async (address, { signal }) => {
                signal.addEventListener("abort", () => (window.aborted = true));
                const half = new ReadableStream({
                    start(stream) {
                        stream.enqueue(new TextEncoder().encode("at\\r\\n1\\r\\n2\\r\\n"));
                        signal.addEventListener("abort", () => stream.error(signal.reason));
                    },
                });
                const headers = {
                    "Content-Disposition": 'attachment; filename="audit-log.csv"',
                    "X-Total-Count": "4",
                };
                return new Response(half, { headers });
            };
        }"""
    )
    page.on("download", lambda download: answered.append(download.suggested_filename))
    page.get_by_role("link", name="Export as CSV").click()
    dialog = page.get_by_role("dialog", name="Export audit log")
    expect(dialog.get_by_role("status")).to_have_text("2 of 4 events")
    assert dialog.get_by_role("progressbar").evaluate("bar => bar.value") == 0.5
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert page.evaluate("window.aborted") is True
    assert answered == []


def test_without_scripts_it_is_a_form_and_a_link(demo: Demo, browser: Browser, page: Page) -> None:
    context = browser.new_context(
        base_url=demo.url, java_script_enabled=False, storage_state=page.context.storage_state()
    )
    plain = context.new_page()
    plain.goto("/audit-log")
    plain.locator("#token").fill(demo.access_token)
    plain.get_by_role("button", name="Apply").click()
    expect(plain.locator(".sentence")).to_have_text(
        ["Ada Lovelace created the access token Try it"]
    )
    assert demo.access_token[21:] not in plain.url
    with plain.expect_download() as download:
        plain.get_by_role("link", name="Export as JSON Lines").click()
    assert '"action":"access_token.created"' in Path(download.value.path()).read_text()
    context.close()


#: The positions of a sentence's pieces on the screen, from left to right.
_PLACES = """sentence => {
  const walker = document.createTreeWalker(sentence, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    for (const word of walker.currentNode.data.matchAll(/[a-z]{3,}/gi)) {
      const range = document.createRange();
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      found.push([range.getBoundingClientRect().left, word[0]]);
    }
  }
  return found.sort((one, other) => one[0] - other[0]).map(([, word]) => word);
}"""


@pytest.mark.parametrize("at", range(len(HOSTILE)))
def test_no_label_reverses_a_sentence(page: Page, at: int) -> None:
    page.goto(f"/audit-log?subject=gplt_{HOSTILE_AT + at}_0")
    sentence = page.locator(".sentence")
    before = ["Grace", "Hopper", "created", "the", "access", "token"]
    assert sentence.evaluate(_PLACES) == [*before, *HOSTILE[at][1]]
