"""A dashboard opened by a name other than GATEPASS_PUBLIC_URL's."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.support.apps.installation import PASSWORD
from tests.support.browser.chromium import ANOTHER_NAME
from tests.support.processes.served_installation import EMAIL, ServedInstallation


def test_signing_in_by_another_name_says_what_to_set(tmp_path: Path, browser: Browser) -> None:
    """On plain http, where browsers send no Sec-Fetch-Site."""
    with ServedInstallation(tmp_path) as served:
        another = f"http://{ANOTHER_NAME}:{served.port}"
        page = browser.new_page()
        page.goto(f"{another}/sign-in")
        page.get_by_label("E-mail address").fill(EMAIL)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        main = page.get_by_role("main")
        expect(main).to_contain_text("Opened at another address")
        expect(main).to_contain_text("set GATEPASS_PUBLIC_URL to it")
        expect(main).to_contain_text(another)
        expect(main).to_contain_text(served.url)
        log = served.log.read_text()
        assert log.count("set GATEPASS_PUBLIC_URL to it") == 1
        served.stop()
        # Following the page's advice fixes it.
        served.environ["GATEPASS_PUBLIC_URL"] = another
        served.start()
        page.goto(f"{another}/sign-in")
        page.get_by_label("E-mail address").fill(EMAIL)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Access Tokens", exact=True)).to_be_visible()
        page.close()
