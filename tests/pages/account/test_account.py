"""My account without scripts: name, password, two-factor."""

import re

import pyotp
import pytest
from sqlalchemy import update

from gatepass.registry.storage.tables import companies
from gatepass.web.pages.widgets.qr import qr_code
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Page, Visit

NEW = "seven brass kettles sing"
TWO_FACTOR = "/account/two-factor"


class Phone:
    """An authenticator app; each code is a later one. The first is the current step's, which is
    valid for at least another 30 seconds."""

    def __init__(self, installation: Installation, secret: str) -> None:
        self._clock = installation.node.clock
        self._totp = pyotp.TOTP(secret)
        self._step = 0

    def code(self) -> str:
        self._step = max(self._clock.now() // 30_000, self._step + 1)
        return self._totp.generate_otp(self._step)


def set_up(installation: Installation, visit: Visit) -> tuple[Phone, list[str]]:
    page = visit.get(TWO_FACTOR)
    secret = re.search(r'id="secret"[^>]*>([A-Z2-7 ]+)<', page.html)
    assert secret is not None
    phone = Phone(installation, secret[1].replace(" ", ""))
    fields = page.form(TWO_FACTOR).filled(code=phone.code(), current_password=PASSWORD, do="enable")
    shown = visit.send(TWO_FACTOR, fields)
    assert "Two-factor authentication is on" in shown.text
    return phone, codes_of(shown)


def codes_of(page: Page) -> list[str]:
    return re.findall(r"\b(?:[a-z2-9]{4}-){3}[a-z2-9]{4}\b", page.html)


def test_the_profile_shows_the_user(ada: Visit) -> None:
    page = ada.get("/account")
    assert page.answer.status_code == 200
    page.shows("ada@example.com", "Admin", "Analytical Engines", "Last sign-in", "Off")
    assert "Not recorded" not in page.text
    saved = ada.send("/account", page.form("/account").filled(name="Augusta", do="save"))
    assert saved.answer.headers["location"] == "/account?done=saved"
    again = ada.get("/account?done=saved")
    assert "Name saved." in again.text
    assert again.form("/account").one("name") == "Augusta"
    # The first page's form has an outdated name.
    second = ada.send("/account", page.form("/account").filled(name="Countess", do="save"))
    assert second.answer.status_code == 409
    second.shows("You changed this in another tab while you were editing", "You saved changes")
    assert second.form("/account").one("name") == "Countess"
    ada.send("/account", second.form("/account").filled(do="save"))
    assert ada.get("/account").form("/account").one("name") == "Countess"


def test_an_invalid_name_is_reported_at_its_field(ada: Visit) -> None:
    form = ada.get("/account").form("/account")
    page = ada.send("/account", form.filled(name="x" * 101, do="save"))
    assert page.answer.status_code == 422
    assert "Must have 1 to 100 characters." in page.text
    assert page.form("/account").one("name") == "x" * 101


def test_changing_the_password_deactivates_other_sign_ins(
    installation: Installation, ada: Visit, stranger: Visit
) -> None:
    stranger.sign_in()
    form = ada.get("/account/password").form("/account/password")
    fields = form.filled(current_password=PASSWORD, password=NEW, do="change")
    done = ada.send("/account/password", fields, follow=True)
    assert "Password changed" in done.text
    assert stranger.get("/account").answer.status_code == 303
    assert ada.get("/account").answer.status_code == 200
    Visit(installation.client()).sign_in(password=NEW)


@pytest.mark.parametrize(
    ("current", "new", "words"),
    [
        ("wrong", NEW, "This isn't your current password."),
        (PASSWORD, "fourteen signs", "Must have 15 to 256 characters."),
        (PASSWORD, "never cut 38 " * 23, "Must have at most 256 characters."),
        (PASSWORD, "the analytical engines", "Must not contain the company's name."),
    ],
)
def test_invalid_passwords_are_refused(ada: Visit, current: str, new: str, words: str) -> None:
    form = ada.get("/account/password").form("/account/password")
    page = ada.send(
        "/account/password", form.filled(current_password=current, password=new, do="change")
    )
    assert page.answer.status_code == 422
    assert words in page.text
    assert current not in page.html
    assert new not in page.html


def test_guessing_the_password_from_a_session_is_throttled(ada: Visit, stranger: Visit) -> None:
    wrong = {"current_password": "wrong", "password": NEW, "do": "change"}
    for _ in range(10):
        assert ada.send("/account/password", wrong).answer.status_code == 422
    page = ada.send("/account/password", wrong)
    assert page.answer.status_code == 429
    assert int(page.answer.headers["retry-after"]) > 0
    assert "Try again in 15 minutes." in page.text
    tried = stranger.send("/sign-in", {"email": "ada@example.com", "password": PASSWORD})
    assert tried.answer.status_code == 429


def test_two_factor_from_setup_to_disabling(
    installation: Installation, ada: Visit, stranger: Visit
) -> None:
    page = ada.get(TWO_FACTOR)
    assert "Set up two-factor" in page.text
    sealed = page.form(TWO_FACTOR).one("setup")
    wrong = ada.send(
        TWO_FACTOR,
        page.form(TWO_FACTOR).filled(code="000000", current_password=PASSWORD, do="enable"),
    )
    assert wrong.answer.status_code == 422
    assert "This code is wrong or was already used." in wrong.text
    # After a mistyped code the secret stays the same.
    assert wrong.form(TWO_FACTOR).one("setup") == sealed
    phone, recovery = set_up(installation, ada)
    assert len(recovery) == 10
    shown = ada.get(TWO_FACTOR)
    assert "10 recovery codes left." in shown.text
    assert not codes_of(shown)

    def attempt(code: str) -> int:
        fields = {"email": "ada@example.com", "password": PASSWORD, "code": code}
        return stranger.send("/sign-in", fields).answer.status_code

    code = phone.code()
    assert [attempt(each) for each in ("", "000000", code, code)] == [401, 401, 303, 401]
    assert [attempt(recovery[0]), attempt(recovery[0])] == [303, 401]
    fresh = ada.send(TWO_FACTOR, {"code": recovery[1], "do": "codes"})
    assert len(codes_of(fresh)) == 10
    assert not set(codes_of(fresh)) & set(recovery)
    assert attempt(recovery[2]) == 401
    off = {"current_password": PASSWORD, "code": codes_of(fresh)[0], "do": "disable"}
    assert "Two-factor authentication is off." in ada.send(TWO_FACTOR, off, follow=True).text
    assert attempt("") == 303


def test_another_users_setup_is_refused(installation: Installation, ada: Visit) -> None:
    installation.new_user("bob@example.com")
    bob = Visit.signed_in(installation.client(), "bob@example.com")
    form = bob.get(TWO_FACTOR).form(TWO_FACTOR)
    for setup in (form.one("setup"), "", "@@@", "ü"):
        fields = form.filled(setup=setup, code="000000", current_password=PASSWORD, do="enable")
        page = ada.send(TWO_FACTOR, fields)
        assert page.answer.status_code == 422
        assert "Scan the new one." in page.text
        assert page.form(TWO_FACTOR).one("setup") != setup


def test_an_unknown_button_does_nothing(ada: Visit) -> None:
    assert ada.send(TWO_FACTOR, {"do": "explode"}).answer.status_code == 303


def test_a_requirement_leaves_only_the_setup_page(
    installation: Installation, ada: Visit, rita: Visit
) -> None:
    with installation.write() as change:
        change.session.execute(update(companies).values(second_factor_required=True))
    for visit in (ada, rita):
        for path in ("/access-tokens", "/account", "/account/password", "/access-tokens/new"):
            assert visit.get(path).answer.headers["location"] == TWO_FACTOR, path
        sent = visit.send("/access-tokens/new", {"do": "create", "label": "x"})
        assert sent.answer.headers["location"] == TWO_FACTOR
        page = visit.get("/access-tokens", follow=True)
        assert "Analytical Engines requires a second factor." in page.text
    phone, _ = set_up(installation, ada)
    assert ada.get("/access-tokens").answer.status_code == 200
    page = ada.get(TWO_FACTOR)
    assert "so you can't turn yours off" in page.text
    off = {"current_password": PASSWORD, "code": phone.code(), "do": "disable"}
    assert ada.send(TWO_FACTOR, off).answer.status_code == 409
    assert "You are signed out." in rita.send("/sign-out", {}, follow=True).text


def test_an_administrator_sets_the_requirement(
    installation: Installation, ada: Visit, rita: Visit
) -> None:
    path = "/company/second-factor"
    assert "set up two-factor authentication for yourself first" in ada.get("/company").text
    etag = ada.get("/company").form(path).one("etag")
    refused = ada.send(path, {"etag": etag, "do": "require"})
    assert refused.answer.status_code == 409
    assert "Set up a second factor yourself" in refused.text
    set_up(installation, ada)
    form = ada.get("/company").form(path)
    stale = ada.send(path, {**dict(form.fields), "etag": '"old"', "do": "require"}, follow=True)
    assert "Not saved: someone else changed the company." in stale.text
    assert rita.send(path, {**dict(form.fields), "do": "require"}).answer.status_code == 403
    done = ada.send(path, form.filled(do="require"), follow=True)
    done.shows("Second factor required for everyone.", "1 user without one must set it up")
    assert rita.get("/access-tokens").answer.headers["location"] == TWO_FACTOR
    lifted = ada.send(path, done.form(path).filled(do="lift"), follow=True)
    assert "Second factor no longer required." in lifted.text
    assert rita.get("/access-tokens").answer.status_code == 200
    assert ada.get(path).answer.headers["location"] == "/company"


def test_an_access_token_cannot_open_the_account(installation: Installation) -> None:
    visit = Visit(installation.client(installation.access_token("charges:get")))
    for path in ("/account", "/account/password", TWO_FACTOR):
        assert visit.get(path).answer.status_code == 403
        button = "codes" if path == TWO_FACTOR else "save"
        page = visit.send(path, {"do": button, "name": "Somebody", "password": NEW})
        assert (page.answer.status_code, "Sign in to do this" in page.text) == (403, True), path
    for button in ("enable", "codes", "disable"):
        assert visit.send(TWO_FACTOR, {"do": button}).answer.status_code == 403


def test_the_qr_code_is_drawn_from_its_matrix() -> None:
    picture = qr_code("otpauth://totp/x")
    dark = set()
    for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", picture.path):
        dark |= {(int(x) + at, int(y)) for at in range(int(length))}
    import segno

    matrix = segno.make_qr("otpauth://totp/x", error="m").matrix
    assert dark == {
        (x + 4, y + 4) for y, row in enumerate(matrix) for x, cell in enumerate(row) if cell
    }
    assert picture.size == len(matrix) + 8
