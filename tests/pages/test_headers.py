"""Headers of every page, and no inline script, style or handler."""

import re

import pytest

from gatepass.web.pages.layout.static_files import _FILES, static
from tests.support.apps.all_routes import page_routes
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

#: Routes that aren't pages: static files and downloads.
NO_PAGES = {"/favicon.ico", "/static/{version}/{name}", "/audit-log/export"}
#: Pages with a secret in their path send no Referer at all.
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
    # Of the others the 404 page, whose headers are the same.
    path = re.sub("{.*?}", "nobody", path)
    return ada.get(path, headers={"Accept": "text/html"})


def has_the_security_headers(page: Page) -> None:
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


def has_nothing_inline(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith(("/static/", "/components/"))
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for name in ("href", "src", "action"):
            assert re.match(r"/|#|$", attributes.get(name, "")), attributes


def ids_are_there_once(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


#: A script, and the attribute of the elements it needs.
SCRIPTS = {
    "token_form.js": "data-token-form",
    "allowlist.js": "data-allowlist-form",
    "role_form.js": "data-role-form",
    "sentence_form.js": "data-sentence-form",
    "list.js": "data-filter-form",
    "log_filter.js": "data-local-time",
    "export.js": "data-export-dialog",
    "live.js": "data-live",
    "once.js": "data-shown-once",
    "password.js": "data-password",
    "portal.js": "data-without-code",
}


def _classes(name: str) -> set[str]:
    return set(re.findall(r"\.([a-z][\w-]*)", _FILES[name].decode()))


FORM_CLASSES = _classes("forms.css") - _classes("gatepass.css")


def it_includes_exactly_the_scripts_it_needs(page: Page) -> None:
    """All of them have run by the load event, so users and tests can't act before."""
    for script, attribute in SCRIPTS.items():
        assert (static(script) in page.html) == (f" {attribute}" in page.html), script


def it_includes_the_style_sheets_it_needs(page: Page) -> None:
    """The classes that forms.css alone knows; lists and the sign-in do without."""
    if static("forms.css") in page.html:
        return
    used = {name for _, each in page.elements for name in each.get("class", "").split()}
    assert used & FORM_CLASSES == set()


RULES = [
    has_the_security_headers,
    has_nothing_inline,
    ids_are_there_once,
    it_includes_exactly_the_scripts_it_needs,
    it_includes_the_style_sheets_it_needs,
]


def test_every_page_keeps_the_rules(page: Page) -> None:
    for rule in RULES:
        rule(page)


def test_static_files_are_cached_forever_by_content_hash(stranger: Visit) -> None:
    for name in _FILES:
        answer = stranger.client.get(static(name))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    old = stranger.get(static("gatepass.css").replace("/static/", "/static/0")).answer
    assert old.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["..%2f__init__.py", "%2e%2e/templating.py", "nothing.css", ""])
def test_unknown_static_files_are_404(stranger: Visit, name: str) -> None:
    assert stranger.get(f"/static/x/{name}").answer.status_code == 404


def test_scripts_stay_small() -> None:
    """The scripts of every page, as one, are the largest."""
    sizes = {name: len(text) for name, text in _FILES.items() if name.endswith(".js")}
    assert max(sizes.values()) == sizes["gatepass.js"] < 15_000


def test_there_is_a_favicon(stranger: Visit) -> None:
    assert (
        stranger.get("/favicon.ico", follow=True).answer.headers["content-type"] == "image/svg+xml"
    )


def test_posts_of_another_site_are_refused(installation: Installation, ada: Visit) -> None:
    token = installation.access_token("charges:get")[:21]
    # A link's secret may be used from any site: it isn't a cookie.
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
