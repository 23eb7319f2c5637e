"""The sign-in form."""

import pytest

from gatepass.web.pages.sign_in.sign_in import own_path
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Visit


def test_a_signed_out_visitor_is_redirected_to_the_form_and_back(stranger: Visit) -> None:
    asked = stranger.get("/access-tokens?q=a+b&status=any")
    assert asked.answer.status_code == 303
    page = stranger.get(asked.answer.headers["location"])
    assert page.answer.status_code == 200
    form = page.form("/sign-in")
    assert form.one("next") == "/access-tokens?q=a+b&status=any"
    done = stranger.send("/sign-in", form.filled(email="Ada@Example.com", password=PASSWORD))
    assert done.answer.status_code == 303
    assert done.answer.headers["location"] == "/access-tokens?q=a+b&status=any"
    assert stranger.get("/access-tokens").answer.status_code == 200


def test_the_cookie_is_http_only(stranger: Visit) -> None:
    answer = stranger.send("/sign-in", {"email": "ada@example.com", "password": PASSWORD}).answer
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("gatepass=gplt_")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie


@pytest.mark.parametrize(
    ("email", "password"),
    [("ada@example.com", "wrong"), ("nobody@example.com", PASSWORD), ("", ""), ("<b>", "x" * 2000)],
)
def test_every_failure_shows_the_same_text(stranger: Visit, email: str, password: str) -> None:
    page = stranger.send("/sign-in", {"email": email, "password": password, "next": "/v1/docs"})
    assert page.answer.status_code == 401
    assert "Incorrect e-mail address, password or two-factor code." in page.text
    assert "set-cookie" not in page.answer.headers
    assert page.form("/sign-in").one("next") == "/v1/docs"
    assert page.form("/sign-in").one("email") == email
    assert password == "" or password not in page.html


def test_throttling_says_when_to_try_again(stranger: Visit) -> None:
    for _ in range(11):
        stranger.send("/sign-in", {"email": "ada@example.com", "password": "wrong"})
    page = stranger.send("/sign-in", {"email": "ada@example.com", "password": PASSWORD})
    assert page.answer.status_code == 429
    assert 0 < int(page.answer.headers["retry-after"]) <= 900
    assert "Try again in 15 minutes." in page.text


def test_a_known_address_is_not_locked_out(installation: Installation, stranger: Visit) -> None:
    owner, fields = Visit(installation.client()), {"email": "ada@example.com"}
    owner.client.headers["X-Forwarded-For"] = "2001:db8:1:2::1"
    owner.sign_in()
    for n in range(11):
        stranger.client.headers["X-Forwarded-For"] = f"192.0.2.{n}"
        stranger.send("/sign-in", fields | {"password": "wrong"})
    assert stranger.send("/sign-in", fields | {"password": PASSWORD}).answer.status_code == 429
    owner.client.headers["X-Forwarded-For"] = "2001:db8:1:2:ffff::9"
    owner.sign_in()


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "/%0d%0aSet-Cookie:x=y\r\nX: y",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/ü",
        "/" + "a" * 3000,
    ],
)
def test_next_never_leads_to_another_site(stranger: Visit, elsewhere: str) -> None:
    assert own_path(elsewhere) == "/access-tokens"
    fields = {"email": "ada@example.com", "password": PASSWORD, "next": elsewhere}
    assert stranger.send("/sign-in", fields).answer.headers["location"] == "/access-tokens"


def test_next_may_be_a_path_of_the_dashboard() -> None:
    for path in ("/", "/v1/docs", "/access-tokens?q=%C3%BC&status=any", "/access-tokens/new"):
        assert own_path(path) == path


def test_a_signed_in_visitor_is_redirected(ada: Visit) -> None:
    assert ada.get("/sign-in?next=/v1/docs").answer.headers["location"] == "/v1/docs"
    assert ada.get("/sign-in?next=//evil.example").answer.headers["location"] == "/access-tokens"


def test_signing_out_deactivates_the_login_token(ada: Visit) -> None:
    cookie = ada.client.cookies["gatepass"]
    page = ada.send("/sign-out", {}, follow=True)
    assert "You are signed out." in page.text
    assert "gatepass" not in ada.client.cookies
    ada.client.cookies.set("gatepass", cookie)
    assert ada.get("/access-tokens").answer.status_code == 303
    assert "Your sign-in has ended." in ada.get("/sign-in").text
    assert ada.send("/sign-out", {}).answer.status_code == 303


def test_outside_the_allowlist_pages_explain_the_refusal(
    installation: Installation, ada: Visit
) -> None:
    installation.allow_only("203.0.113.0/24")
    for path in (
        "/",
        "/access-tokens",
        "/access-tokens/new",
        "/sign-in",
        "/v1/docs",
        "/password-resets",
        "/password-resets/done",
        "/invitations/accepted",
    ):
        page = ada.get(path)
        assert page.answer.status_code == 403, path
        page.shows("company_address_not_allowed", "127.0.0.1 isn't one of them")
    inside = ada.get("/access-tokens", headers={"X-Forwarded-For": "203.0.113.9"})
    assert inside.answer.status_code == 200
    bearer = {"Authorization": f"Bearer {ada.client.cookies['gatepass']}"}
    for path in ("/", "/sign-in"):
        assert Visit(installation.client()).get(path, headers=bearer).answer.status_code == 403


def test_signing_out_deactivates_the_requests_credential(installation: Installation) -> None:
    """A page that says "signed out" while the login token stays valid would be wrong."""
    bearer = {"Authorization": f"Bearer {installation.sign_in()}"}
    assert installation.client().get("/v1/me", headers=bearer).status_code == 200
    left = installation.client().post("/sign-out", headers=bearer, follow_redirects=False)
    assert left.status_code == 303
    assert installation.client().get("/v1/me", headers=bearer).status_code == 401


def test_a_form_that_is_too_large_gets_a_page(ada: Visit) -> None:
    page = ada.send("/access-tokens/new", {"label": "x" * (1 << 20)})
    assert page.answer.status_code == 413
    assert "Form too large" in page.text
    assert "frame-ancestors 'none'" in page.answer.headers["content-security-policy"]


def test_an_unreadable_forwarding_header_is_outside_every_network(ada: Visit) -> None:
    for path in ("/access-tokens", "/sign-in"):
        page = ada.get(path, headers={"X-Forwarded-For": "somewhere"})
        assert page.answer.status_code == 403, path
        assert "address_not_allowed" in page.text
    tried = ada.send(
        "/sign-in",
        {"email": "ada@example.com", "password": PASSWORD},
        headers={"X-Forwarded-For": "somewhere"},
    )
    assert tried.answer.status_code == 403


def test_an_unparsable_form_is_refused(ada: Visit) -> None:
    json = ada.send("/access-tokens/new", {"a": "b"}, headers={"Content-Type": "application/json"})
    assert json.answer.status_code == 415
    many = ada.send("/access-tokens/new", [("a", "")] * 6000)
    assert many.answer.status_code == 400
    bad = ada.client.post(
        "/access-tokens/new",
        content=b"label=%ff",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert bad.status_code == 400


def test_while_many_sign_in_the_form_asks_to_try_again(
    stranger: Visit, ada: Visit, busy: None
) -> None:
    typed = {"email": "ada@example.com", "password": PASSWORD, "next": "/audit-log"}
    page = stranger.send("/sign-in", typed)
    assert page.answer.status_code == 503
    assert page.answer.headers["retry-after"] == "5"
    page.shows("Many people are signing in right now. Try again in a few seconds.")
    form = page.form("/sign-in")
    assert (form.one("email"), form.one("next")) == ("ada@example.com", "/audit-log")
    assert PASSWORD not in page.html


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("/account/password", {"current_password": PASSWORD, "password": "a wholly new phrase"}),
        ("/account/email", {"current_password": PASSWORD, "email": "lovelace@example.com"}),
        ("/account/two-factor", {"current_password": PASSWORD, "code": "123456", "do": "enable"}),
    ],
)
def test_every_form_with_a_password_asks_to_try_again(
    ada: Visit, busy: None, path: str, typed: dict[str, str]
) -> None:
    page = ada.send(path, typed)
    assert page.answer.status_code == 503
    assert page.answer.headers["retry-after"] == "5"
    page.shows("Many people are signing in right now. Try again in a few seconds.")
    assert page.form(path).one("current_password") == ""
