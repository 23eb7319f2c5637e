"""The bar is the same on all pages, marks where one is, and offers what one may open."""

import re

from gatepass.web.pages.layout import navigation
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

ALL = ["/access-tokens", "/company", "/audit-log", "/v1/docs"]


def bar(page: Page) -> str:
    found = re.search(r'<nav class="bar-links".*?</nav>', page.html, re.DOTALL)
    assert found, "the page has no bar"
    return found[0]


def current(page: Page) -> list[tuple[str, str]]:
    return re.findall(r'href="([^"]+)" aria-current="(\w+)"', bar(page))


def test_the_current_section_is_marked(ada: Visit) -> None:
    for path, marked in (
        ("/access-tokens", [("/access-tokens", "page")]),
        ("/access-tokens/new", [("/access-tokens", "true")]),
        ("/authentications", [("/access-tokens", "true")]),
        ("/company", [("/company", "page")]),
        ("/company/users/invite", [("/company", "true")]),
        ("/audit-log", [("/audit-log", "page")]),
        ("/v1/docs", [("/v1/docs", "page")]),
        ("/account", []),
        ("/search", []),
        ("/nothing", []),
    ):
        page = ada.get(path, headers={"Accept": "text/html"})
        assert current(page) == marked, path
        assert re.findall(r'href="([^"]+)"', bar(page)) == ALL, path
        assert page.form("/search").method == "get", path


def test_what_one_may_not_open_is_not_offered(installation: Installation) -> None:
    role = {"name": "Desk", "permissions": ["charges:get"]}
    made = installation.signed_in().post("/v1/roles", json=role).json()
    installation.new_user("desk@example.com", role=made["id"])
    desk = Visit.signed_in(installation.client(), "desk@example.com").get("/account")
    assert re.findall(r'href="([^"]+)"', bar(desk)) == ["/authentications", "/v1/docs"]
    assert "My Company" not in desk.text
    assert "Audit log" not in desk.text


def test_my_company_stands_above_each_of_its_tabs(ada: Visit) -> None:
    found = ada.get("/company")
    tabs = re.search(r'<nav class="section-tabs".*?</nav>', found.html, re.DOTALL)
    assert tabs
    paths = re.findall(r'href="([^"]+)"', tabs[0])
    assert navigation.ADMIN_KEYS.path in paths
    for path in paths:
        assert '<p class="section-name">My Company' in ada.get(path).html, path


def test_a_stranger_has_no_bar(stranger: Visit) -> None:
    page = stranger.get("/v1/docs")
    assert "bar-links" not in page.html
    assert "data-palette" not in page.html
