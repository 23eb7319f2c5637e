"""Signing in with a real provider, Ory Hydra, in a real Chromium."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from gatepass.oidc.provider import CALLBACK
from tests.support.apps.installation import PASSWORD
from tests.support.browser.accessibility import barriers
from tests.support.browser.windows import window
from tests.support.oidc.hydra import HYDRA, Hydra, running_hydra
from tests.support.oidc.provider_double import CLIENT, SECRET
from tests.support.processes.served_installation import EMAIL, ServedInstallation

pytestmark = pytest.mark.skipif(HYDRA is None, reason="there is no program hydra on the path")


@pytest.fixture(scope="module")
def hydra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hydra]:
    """The provider."""
    with running_hydra(tmp_path_factory.mktemp("hydra")) as running:
        yield running


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, hydra: Hydra
) -> Iterator[ServedInstallation]:
    """An installation whose users sign in with it."""
    with ServedInstallation(
        tmp_path_factory.mktemp("installation"),
        GATEPASS_OIDC_ISSUER=hydra.issuer,
        GATEPASS_OIDC_CLIENT_ID=CLIENT,
        GATEPASS_OIDC_CLIENT_SECRET=SECRET,
        GATEPASS_OIDC_COMPANY="Analytical Engines",
        GATEPASS_OIDC_ROLE_CLAIM="groups",
        GATEPASS_OIDC_ROLES="boss=Admin, staff=Manager",
    ) as served:
        hydra.register(served.url + CALLBACK)
        yield served


@pytest.fixture
def page(installation: ServedInstallation, browser: Browser) -> Iterator[Page]:
    """A window at the installation."""
    with window(browser, installation.url) as opened:
        yield opened


def by_provider(page: Page) -> None:
    page.get_by_role("link", name="Sign in with 127.0.0.1").click()
    page.get_by_role("button", name=re.compile("Continue as")).click()


def test_a_new_user_signs_in(page: Page) -> None:
    page.goto("/authentications")
    expect(page.get_by_role("link", name="Sign in with 127.0.0.1")).to_be_visible()
    assert barriers(page) == []
    by_provider(page)
    expect(page).to_have_url(re.compile("/authentications$"))
    page.goto("/account")
    expect(page.locator("#main").get_by_text("grace@example.com")).to_be_visible()
    expect(page.get_by_text("127.0.0.1: linked")).to_be_visible()
    assert barriers(page) == []


def test_a_user_with_a_password_links_their_account(page: Page, hydra: Hydra) -> None:
    hydra.subject = "sub-ada"
    hydra.claims |= {"email": EMAIL, "name": "Ada Lovelace", "groups": ["boss"]}
    page.goto("/sign-in")
    by_provider(page)
    # The address alone links nobody.
    expect(page.get_by_role("alert")).to_contain_text("You can't sign in here")
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.goto("/account/sign-in-provider")
    assert barriers(page) == []
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_role("button", name="Link account").click()
    assert barriers(page) == []
    page.get_by_role("link", name="Continue to 127.0.0.1").click()
    page.get_by_role("button", name=re.compile("Continue as")).click()
    expect(page.get_by_text("Linked. You can sign in with 127.0.0.1")).to_be_visible()
    page.context.clear_cookies()
    page.goto("/sign-in")
    by_provider(page)
    expect(page).to_have_url(re.compile("/access-tokens"))
