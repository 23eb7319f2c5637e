"""Every page: what its headers promise, and nothing inline that they forbid."""

import re

import pytest

from gatepass.web.pages.layout.static_files import _FILES, static
from tests.support.apps.all_routes import page_routes
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

#: What is no page: files to keep, and files to have.
NO_PAGES = {"/favicon.ico", "/static/{version}/{name}", "/audit-log/export"}
#: A link with a secret in its address is told to nobody, not even to us.
LINKS = ("/invitations/nobody", "/password-resets/nobody", "/email-changes/nobody")
PATHS = (
    *(path for method, path in page_routes() if method == "GET" and path not in NO_PAGES),
    "/access-tokens?q=nothing",
    "/access-tokens/gpat_nobody0000000000",
    "/audit-log?from=yesterday",
    "/no/such/page",
)


@pytest.fixture(params=PATHS)
def page(request: pytest.FixtureRequest, installation: Installation, ada: Visit) -> Page:
    path: str = request.param
    if path.startswith("/access-tokens/{id}"):
        path = path.replace("{id}", installation.access_token("charges:get")[:21])
    # Of the others the page that says there is none: it promises the same.
    path = re.sub("{.*?}", "nobody", path)
    return ada.get(path, headers={"Accept": "text/html"})


def nothing_is_kept_guessed_framed_or_told(page: Page) -> None:
    headers = page.answer.headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    of_a_link = page.answer.request.url.path.startswith(LINKS)
    assert headers["referrer-policy"] == ("no-referrer" if of_a_link else "same-origin")
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]


def no_script_style_or_handler_is_inline(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith("/static/")
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for name in ("href", "src", "action"):
            assert re.match(r"/|#|$", attributes.get(name, "")), attributes


def ids_are_there_once(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


RULES = [
    nothing_is_kept_guessed_framed_or_told,
    no_script_style_or_handler_is_inline,
    ids_are_there_once,
]


def test_a_page_keeps_each_rule(page: Page) -> None:
    for rule in RULES:
        rule(page)


def test_static_files_are_kept_for_good_under_an_address_of_their_content(stranger: Visit) -> None:
    for name in _FILES:
        answer = stranger.client.get(static(name))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    old = stranger.get(static("gatepass.css").replace("/static/", "/static/0")).answer
    assert old.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["..%2f__init__.py", "%2e%2e/templating.py", "nothing.css", ""])
def test_only_the_files_there_are(stranger: Visit, name: str) -> None:
    assert stranger.get(f"/static/x/{name}").answer.status_code == 404


def test_scripts_stay_small() -> None:
    sizes = {name: len(text) for name, text in _FILES.items() if name.endswith(".js")}
    assert max(sizes.values()) < 15_000
    # What every page of someone who is signed in fetches.
    assert sum(sizes[name] for name in ("gatepass.js", "times.js", "session.js")) < 8_000


#: A script, and the attribute of what it works on.
SCRIPTS = {
    "token_form.js": "data-token-form",
    "allowlist.js": "data-allowlist-form",
    "role_form.js": "data-role-form",
    "list.js": "data-filter-form",
    "log_filter.js": "data-local-time",
    "export.js": "data-export-dialog",
    "live.js": "data-live",
    "once.js": "data-shown-once",
    "password.js": "data-password",
    "session.js": "data-ending",
}


def test_a_page_names_the_scripts_that_it_needs_and_no_others(page: Page) -> None:
    """So that all of them have run when the browser calls the page loaded: what a person, or a
    test, does from then on is seen by them."""
    for script, attribute in SCRIPTS.items():
        assert (static(script) in page.html) == (f" {attribute}" in page.html), script


def test_the_favicon_is_ours(stranger: Visit) -> None:
    assert (
        stranger.get("/favicon.ico", follow=True).answer.headers["content-type"] == "image/svg+xml"
    )


def test_another_site_can_post_nothing(installation: Installation, ada: Visit) -> None:
    token = installation.access_token("charges:get")[:21]
    # A holder of a link's secret may use it from anywhere: there is no cookie to misuse.
    forms = [path for method, path in page_routes() if method == "POST" and "{token}" not in path]
    assert "/sign-out" in forms
    for path in forms:
        path = re.sub(
            "{.*?}", "nobody", path.replace("/access-tokens/{id}", f"/access-tokens/{token}")
        )
        for site in ("cross-site", "same-site"):
            page = ada.send(path, {"do": "create"}, headers={"Sec-Fetch-Site": site})
            assert page.answer.status_code == 403, path
            assert "another site" in page.text
        foreign = ada.client.post(path, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
    assert ada.get("/access-tokens").answer.status_code == 200
