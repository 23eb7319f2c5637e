"""After a refusal, the page begins with a summary that has the focus and leads to each field."""

import re

import pytest

from gatepass.core.errors import Unavailable
from gatepass.registry.tokens import access_tokens
from gatepass.web.pages.layout.form_state import NotSaved
from gatepass.web.pages.layout.problem_summary import ProblemSummary, field_name
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

NEW = "/access-tokens/new"


def summary(page: Page) -> str:
    """The summary's markup; it is the first thing on the page, and there is one."""
    (found,) = re.findall(r'<div class="problems".*?\n</div>\n</div>', page.html, re.DOTALL)
    main = page.html.partition('<main id="main"')[2]
    assert main.index('<div class="problems"') < main.index("<h1")
    return str(found)


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("permissions", "Permissions"),
        ("network-0", "IP address 1"),
        ("domain-11", "Domain 12"),
        ("metadata-2", "Metadata row 3"),
        ("email", "E-mail address"),
        ("external_id", "External id"),
        ("disable-code", "Two-factor code"),
        ("typed-name", "Name"),
    ],
)
def test_fields_are_named_in_words(id: str, name: str) -> None:
    assert field_name(id) == name


def test_a_message_goes_on_after_the_name() -> None:
    problems = ProblemSummary(422)
    assert not problems
    problems.note_field("label", "Must be given.")
    problems.note_field("label", "Must be given.")
    problems.note_field("name", "A role with this name exists.")
    assert [each.words for each in problems.listed] == [
        "Label: must be given.",
        "Name: A role with this name exists.",
    ]
    assert problems.heading == "Not saved: 2 fields need your attention."


def test_many_fields_are_counted() -> None:
    problems = ProblemSummary(422)
    for number in range(500):
        problems.note_field(f"network-{number}", "Must be an IP address.")
    assert (len(problems.listed), problems.unlisted) == (10, 490)


def test_a_busy_server_is_not_the_persons_mistake() -> None:
    busy = ProblemSummary(503, form=[NotSaved("The server can't save changes right now.")])
    assert busy.heading == "Not saved: the server is busy"
    assert busy.is_ours
    assert busy.can_retry
    # It may have been saved.
    unknown = ProblemSummary(503, form=["Check whether it was made."])
    assert (unknown.heading, unknown.is_ours, unknown.can_retry) == ("", True, False)


def test_each_line_of_the_summary_leads_to_its_field(ada: Visit) -> None:
    form = ada.get(NEW).form(NEW)
    token = form.filled(kind="ui", network_address="300.1.1.1", network_bits="", domain="*.co.uk")
    for path, fields, names in (
        (NEW, [*token, ("do", "create")], ["Label", "Permissions", "Domain 1", "IP address 1"]),
        ("/company/users/invite", [("email", "nobody"), ("role", "reporting")], ["E-mail address"]),
        ("/company/roles/new", [("do", "save")], ["Name", "Permissions"]),
        ("/account", [("name", ""), ("do", "save")], ["Name"]),
    ):
        page = ada.send(path, fields)
        assert page.answer.status_code == 422, path
        found = summary(page)
        assert 'tabindex="-1" data-problems autofocus' in found
        assert 'role="alert"' in found
        links = re.findall(r'href="#([^"]+)">([^:<]+): ', found)
        assert [name for _, name in links] == names, path
        for name in names:
            # "Label: must be given." says it twice.
            noun = name.lower().removesuffix("s")
            assert not re.search(f"{name}: must have (an?|at least one) {noun}", found), found
        ids = {each.get("id") for _, each in page.elements}
        assert {target for target, _ in links} <= ids, path
        assert "Try again" not in found


@pytest.mark.parametrize("query", ["permission=foo", "method=POST", "path=%2Fx&address=there"])
def test_a_page_that_asks_saves_nothing(installation: Installation, ada: Visit, query: str) -> None:
    token = installation.access_token("charges:get")[:21]
    page = ada.get(f"/access-tokens/{token}/explain?{query}")
    assert page.answer.status_code == 422
    assert re.search(r"<h2>[12] fields? needs? your attention\.</h2>", summary(page))
    assert "Not saved" not in page.text


def test_a_server_that_cannot_save_offers_another_try(
    ada: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(error: Unavailable) -> Page:
        def create(*_: object, **__: object) -> None:
            raise error

        fields = ada.get(NEW).form(NEW).filled(label="Kept", permissions=["charges:get"])
        monkeypatch.setattr(access_tokens, "create", create)
        page = ada.send(NEW, [*fields, ("do", "create")])
        assert page.answer.status_code == 503
        assert page.form(NEW).one("label") == "Kept"
        return page

    busy = summary(refuse(Unavailable("The database can't be used right now.")))
    for words in ('class="notice warn"', "Not saved: the server is busy", "Try again"):
        assert words in busy
    assert "attention" not in busy
    lost = Unavailable("Check whether it was made.", reason="outcome_unknown")
    unknown = summary(refuse(lost))
    assert "Check whether it was made." in unknown
    assert "Not saved" not in unknown
    assert "Try again" not in unknown
