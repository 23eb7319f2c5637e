"""Pasted text is never truncated by the browser."""

from importlib.resources import files

import pytest

from gatepass.web import pages
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Visit

TEMPLATES = files(pages) / "templates"


def test_no_field_has_a_maxlength() -> None:
    """Truncating would change a password, and widen a search. The server reports text that is too
    long."""
    for path in (
        *TEMPLATES.iterdir(),
        *(each for one in TEMPLATES.iterdir() if one.is_dir() for each in one.iterdir()),
    ):
        if path.is_file():
            assert "maxlength" not in path.read_text(), path.name


@pytest.mark.parametrize(
    ("path", "field", "form_path"),
    [
        ("/access-tokens/new", "label", "/access-tokens/new"),
        ("/company/roles/new", "name", "/company/roles/new"),
        ("/company", "name", "/company"),
        ("/account", "name", "/account"),
    ],
)
def test_a_name_that_is_too_long_is_refused(
    ada: Visit, path: str, field: str, form_path: str
) -> None:
    page = ada.get(path)
    form = next(form for form in page.forms if form.method == "post" and form.all(field))
    pressed = dict(form.buttons).get("do", "save")
    given = {field: "x" * 101, "permissions": "charges:get"}
    answer = ada.send(form.action, [*form.filled(**given), ("do", pressed)])
    assert answer.answer.status_code == 422
    assert "Must have 1 to 100 characters." in answer.text
    assert answer.form(form.action).one(field) == "x" * 101


def test_every_form_takes_a_long_password_completely(installation: Installation) -> None:
    """Its first 256 characters alone don't sign in."""
    text = ("correct horse battery staple " * 20)[:256]
    visit = Visit.signed_in(installation.client())
    form = visit.get("/account/password").form("/account/password")
    for password, status in ((text + "x", 422), (text, 303)):
        fields = form.filled(current_password=PASSWORD, password=password, do="change")
        assert visit.send("/account/password", fields).answer.status_code == status
    for password, status in ((text + "x", 401), (text, 303)):
        fields = {"email": "ada@example.com", "password": password, "next": "/"}
        assert Visit(installation.client()).send("/sign-in", fields).answer.status_code == status
