"""Signing in with a real, certified OpenID provider, in a real Chromium."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.apps.installation import PASSWORD
from tests.support.browser.accessibility import barriers
from tests.support.browser.windows import sign_in, window
from tests.support.oidc.certified_provider import certified_provider
from tests.support.oidc.provider_double import CLIENT, SECRET
from tests.support.processes.ports import free_port
from tests.support.processes.served_installation import EMAIL, ServedInstallation

pytestmark = pytest.mark.node

ACCOUNTS: dict[str, dict[str, Any]] = {
    "sub-grace": {"name": "Grace", "email": "grace@example.com", "groups": ["staff"]},
    "sub-ada": {"name": "Ada", "email": EMAIL, "groups": ["boss"]},
    "sub-uma": {"name": "Unverified", "email": "uma@example.com", "groups": ["staff"]},
    "sub-noor": {"name": "Other", "email": "noor@example.com", "groups": ["guests"]},
}
for claims in ACCOUNTS.values():
    claims["email_verified"] = claims["name"] != "Unverified"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedInstallation]:
    """An installation whose users sign in with the provider."""
    directory = tmp_path_factory.mktemp("oidc")
    issuer = f"http://127.0.0.1:{free_port()}"
    served = ServedInstallation(
        directory / "installation",
        GATEPASS_OIDC_ISSUER=issuer,
        GATEPASS_OIDC_CLIENT_ID=CLIENT,
        GATEPASS_OIDC_CLIENT_SECRET=SECRET,
        GATEPASS_OIDC_COMPANY="Analytical Engines",
        GATEPASS_OIDC_ROLE_CLAIM="groups",
        GATEPASS_OIDC_ROLES="boss=Admin, staff=Manager",
    )
    with served, certified_provider(issuer, served.url, ACCOUNTS, directory / "provider.log"):
        yield served


@pytest.fixture
def page(installation: ServedInstallation, browser: Browser) -> Iterator[Page]:
    """A window at the installation."""
    with window(browser, installation.url) as opened:
        yield opened


def with_provider(page: Page, name: str) -> None:
    """Sign in at the sign-in page that is open, with the account of that name."""
    page.get_by_role("link", name="Sign in with 127.0.0.1").click()
    page.get_by_role("button", name=f"Continue as {name}").click()


def refused(page: Page) -> None:
    """Fail unless the sign-in was refused."""
    expect(page.get_by_role("alert")).to_contain_text("You can't sign in here with this account.")
    page.goto("/access-tokens")
    expect(page).to_have_url(re.compile("/sign-in"))


def test_a_new_user_gets_the_mapped_role(page: Page) -> None:
    page.goto("/authentications")
    expect(page.get_by_role("link", name="Sign in with 127.0.0.1")).to_be_visible()
    assert barriers(page) == []
    with_provider(page, "Grace")
    expect(page).to_have_url(re.compile("/authentications$"))
    page.goto("/account")
    main = page.locator("#main")
    for shown in ("grace@example.com", "Manager", "127.0.0.1: linked"):
        expect(main.get_by_text(shown).first).to_be_visible()
    assert barriers(page) == []


@pytest.mark.parametrize("name", ["Unverified", "Other"])
def test_an_unverified_address_and_an_unmapped_role_are_refused(page: Page, name: str) -> None:
    page.goto("/sign-in")
    with_provider(page, name)
    refused(page)


def test_a_user_with_a_password_links_their_account(page: Page) -> None:
    page.goto("/sign-in")
    with_provider(page, "Ada")
    # The address alone links nobody.
    refused(page)
    sign_in(page, EMAIL, PASSWORD)
    page.goto("/account/sign-in-provider")
    assert barriers(page) == []
    page.get_by_label("Current password").fill("wrong")
    page.get_by_role("button", name="Link account").click()
    expect(page.get_by_role("link", name="Continue to 127.0.0.1")).to_have_count(0)
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_role("button", name="Link account").click()
    assert barriers(page) == []
    page.get_by_role("link", name="Continue to 127.0.0.1").click()
    # The provider still knows them, and asks nevertheless.
    page.get_by_role("button", name="Continue as Ada").click()
    expect(page.get_by_text("Linked. You can sign in with 127.0.0.1")).to_be_visible()
    page.context.clear_cookies()
    page.goto("/sign-in")
    with_provider(page, "Ada")
    expect(page).to_have_url(re.compile("/access-tokens"))


def test_typed_text_survives_the_way_through_the_provider(page: Page) -> None:
    page.goto("/sign-in")
    with_provider(page, "Grace")
    page.goto("/access-tokens/new")
    page.get_by_label("Label", exact=True).fill('A "late" label')
    end_sign_in(page)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("your input is kept")).to_be_visible()
    page.get_by_role("link", name="Sign in with 127.0.0.1").click()
    # The provider still knows them.
    expect(page.get_by_label("Label", exact=True)).to_have_value('A "late" label')
    expect(page).to_have_url(re.compile("/access-tokens/new$"))
    page.goto("/access-tokens")
    expect(page.get_by_text("No access tokens yet")).to_be_visible()


def end_sign_in(page: Page) -> None:
    """End the page's sign-in on the server."""
    (login,) = [each for each in page.context.cookies() if each.get("name") == "gatepass"]
    bearer = {"Authorization": f"Bearer {login.get('value')}"}
    httpx.post(page.url.partition("/access-tokens")[0] + "/v1/sign-out", headers=bearer)


def test_signing_out_at_the_provider_ends_the_sign_in(
    installation: ServedInstallation, page: Page
) -> None:
    page.goto("/sign-in")
    with_provider(page, "Grace")
    expect(page).to_have_url(re.compile("/access-tokens"))
    page.goto(installation.environ["GATEPASS_OIDC_ISSUER"] + "/session/end")
    page.get_by_role("button", name="Sign out").click()
    # The provider answers the browser once it has announced the logout.
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto("/access-tokens")
    expect(page).to_have_url(re.compile("/sign-in"))


@pytest.fixture
def required(installation: ServedInstallation) -> Iterator[None]:
    """The installation refuses passwords meanwhile."""
    restarted_with(installation, "on")
    yield
    restarted_with(installation, "off")


def restarted_with(installation: ServedInstallation, value: str) -> None:
    installation.stop()
    installation.environ["GATEPASS_OIDC_REQUIRED"] = value
    installation.start()


def test_passwords_can_be_refused(required: None, page: Page) -> None:
    page.goto("/sign-in")
    with_provider(page, "Grace")
    expect(page).to_have_url(re.compile("/access-tokens"))
    page.context.clear_cookies()
    page.goto("/sign-in")
    page.get_by_text("Operators: sign in with a password").click()
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page).to_have_url(re.compile("/access-tokens"))
