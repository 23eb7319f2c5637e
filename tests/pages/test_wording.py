"""Words on pages: terms of the field, and operators' terms on operators' pages only."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from gatepass.web.pages.reference import styleguide
from tests.support.apps.every_page import every_page, one_of_everything
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit
from tests.support.grants.fake_verifiers import STALENESS, acknowledge, complete, register

#: Terms for operators only.
OPERATORS_WORDS = r"verifiers?|grant(?:s|ed|ing)?|revisions?|leases?"
#: Words that need decoding.
NOBODYS_WORDS = r"whoever|whom|anew|vouch\w*|let go of|shuts? out|met|meets?|tells|stands?"
_words = re.compile(rf"\b(?:{OPERATORS_WORDS}|{NOBODYS_WORDS})\b", re.IGNORECASE)
#: Attributes that are shown or read aloud.
_READ = ("title", "aria-label", "placeholder", "alt")
#: The API reference uses the API's names.
_REFERENCE = "/v1/docs"


class _Reader(HTMLParser):
    """Collects every sentence of a page, attributes included."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in ("code", "pre", "script", "style")
        self.said += [value or "" for name, value in attrs if name in _READ]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("code", "pre", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.said.append(" ".join(data.split()))


def wrong_words(html: str) -> list[str]:
    """The sentences of *html* with a forbidden word."""
    reader = _Reader()
    reader.feed(html)
    return sorted({sentence for sentence in reader.said if _words.search(sentence)})


def pages(installation: Installation, admin: Visit) -> Iterator[tuple[str, Page]]:
    """Every page that an administrator can open, and each state of a receipt."""
    node = installation.node
    register(node.database, node.clock.now(), "node_a", "node_b")
    ids = one_of_everything(installation, "Settlement")
    ended = f"/access-tokens/{ids['ended']}"
    acknowledge(node.database, node.clock.now(), "node_a")
    for path in every_page(ids):
        if path != _REFERENCE:
            yield path, admin.get(path)
    for ago in (2 * STALENESS, 0):
        complete(node.database, node.clock.now() - ago)
    for path in (ended, "/audit-log", "/no/such/page"):
        yield path, admin.get(path)
    forms = {
        "/access-tokens/new": {"do": "create"},
        "/company/security": {"do": "trial", "network_address": "203.0.113.7"},
        "/company/users/invite": {"email": "nobody"},
        "/company/roles/new": {"do": "save"},
        "/account": {"name": "", "do": "save"},
        "/account/email": {"email": "nobody"},
        "/account/password": {},
        "/account/two-factor": {"do": "enable"},
    }
    for path, fields in forms.items():
        yield f"POST {path}", admin.send(path, fields)


def test_administrators_pages_have_no_operators_terms(
    installation: Installation, admin: Visit
) -> None:
    wrong, opened = {}, 0
    for path, page in pages(installation, admin):
        assert page.answer.status_code < 500, path
        opened += page.answer.status_code == 200
        if found := wrong_words(page.html):
            wrong[path] = found
    assert not wrong, "\n".join(f"{path}: {each}" for path, each in wrong.items())
    assert opened > 30


def test_signed_out_pages_have_no_operators_terms(stranger: Visit) -> None:
    for path in (
        "/sign-in",
        "/sign-in?left=1",
        "/password-resets",
        "/password-resets/gprs_nothing",
        "/invitations/gpiv_nothing",
        "/email-changes/nothing",
        "/invitations/accepted",
    ):
        assert wrong_words(stranger.get(path).html) == [], path
    sent = stranger.send("/password-resets", {"email": "ada@example.com"})
    assert wrong_words(sent.html) == []


def test_no_component_has_operators_terms(installation: Installation) -> None:
    """The style guide shows every state; its section on nodes is for operators."""
    html = bytes(styleguide.show_styleguide(installation.node).body).decode()
    before, _, rest = html.partition('<section class="specimen" aria-labelledby="sg-nodes">')
    assert rest, "the section of nodes has moved"
    assert wrong_words(before + rest.partition("</section>\n\n<section")[2]) == []
