"""A sign-in that ends while a form is being filled in: the input is kept."""

import pytest

from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Form, Page, Visit

NEW = "/access-tokens/new"
ADA = {"email": "ada@example.com", "password": PASSWORD}


@pytest.fixture
def ended(installation: Installation, ada: Visit) -> Visit:
    """Ada, whose sign-in was deactivated."""
    at = ada.client.cookies["gatepass"]
    installation.client(at).post("/v1/sign-out")
    return ada


def typed(ada: Visit) -> list[tuple[str, str]]:
    """A half-filled form with quotes and a repeated field."""
    return [
        ("form_id", "A" * 22),
        ("label", 'A "quoted" <label>\r\nü'),
        ("permissions", "charges:get"),
        ("permissions", "refunds:get"),
        ("network_address", "203.0.113.0"),
        ("network_bits", "24"),
        ("do", "create"),
    ]


def late(visit: Visit, path: str = NEW, fields: list[tuple[str, str]] | None = None) -> Page:
    page = visit.send(path, typed(visit) if fields is None else fields)
    assert page.answer.status_code == 401
    assert page.answer.headers["www-authenticate"] == 'Bearer realm="gatepass"'
    assert "Not saved: your sign-in had ended" in page.text
    return page


def tokens(visit: Visit) -> str:
    return visit.get("/access-tokens?status=any").text


def resumed(page: Page, path: str = NEW) -> Form:
    assert page.answer.status_code == 200
    assert "You are signed in again" in page.text
    return page.form(path)


def test_the_form_is_shown_again_after_signing_in(ended: Visit) -> None:
    page = late(ended)
    form = page.form("/sign-in")
    assert form.one("next") == NEW
    again = ended.send("/sign-in", form.filled(**ADA))
    going_on = resumed(again)
    assert going_on.fields == [*typed(ended)[:-1], ("do", "resume")]
    shown = ended.send(NEW, going_on.fields)
    assert shown.answer.status_code == 200
    kept = shown.form(NEW)
    assert kept.one("label") == 'A "quoted" <label>\r\nü'
    assert kept.all("permissions") == ["charges:get", "refunds:get"]
    assert kept.one("network_address") == "203.0.113.0"
    assert kept.one("form_id") == "A" * 22
    assert "quoted" not in tokens(ended)


def test_a_mistyped_password_keeps_the_input(ended: Visit) -> None:
    form = late(ended).form("/sign-in")
    wrong = ended.send("/sign-in", form.filled(email="ada@example.com", password="wrong"))
    assert wrong.answer.status_code == 401
    assert wrong.form("/sign-in").filled(**ADA) == form.filled(**ADA)
    going_on = resumed(ended.send("/sign-in", wrong.form("/sign-in").filled(**ADA)))
    assert going_on.one("network_bits") == "24"


def test_an_expired_sign_in_keeps_the_input(
    installation: Installation, ada: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = installation.node.clock
    now = clock.now() + 3 * 3_600_000
    monkeypatch.setattr(type(clock), "now", lambda self: now)
    going_on = resumed(ada.send("/sign-in", late(ada).form("/sign-in").filled(**ADA)))
    assert going_on.one("form_id") == "A" * 22


def test_another_user_does_not_get_the_input(installation: Installation, ended: Visit) -> None:
    installation.new_user("bob@example.com")
    form = late(ended).form("/sign-in")
    taken = ended.send("/sign-in", form.filled(email="bob@example.com", password=PASSWORD))
    assert taken.answer.status_code == 303
    assert taken.answer.headers["location"] == "/access-tokens"
    assert "quoted" not in taken.html


def test_input_that_waited_in_the_browser_is_shown_again(
    installation: Installation, ended: Visit
) -> None:
    """On the way through an OIDC provider."""
    fields = [pair for pair in late(ended).form("/sign-in").fields if pair[0] not in ADA]
    again = Visit.signed_in(installation.client())
    assert resumed(again.send("/sign-in/resume", fields)).one("network_bits") == "24"
    installation.new_user("bob@example.com")
    for visit, expected in (
        (Visit.signed_in(installation.client(), "bob@example.com"), 303),
        (Visit(installation.client()), 401),
    ):
        taken = visit.send("/sign-in/resume", fields)
        assert taken.answer.status_code == expected
        assert "quoted" not in taken.html
    nothing = again.send("/sign-in/resume", [("next", "//evil.example")])
    assert nothing.answer.headers["location"] == "/access-tokens"


def test_input_of_an_unknown_user_is_not_kept(ended: Visit) -> None:
    """After signing out, another person may use this browser."""
    ended.client.cookies.clear()
    page = late(ended)
    assert "quoted" not in page.html
    assert page.form("/sign-in").fields == [
        ("next", NEW),
        ("email", ""),
        ("password", ""),
        ("code", ""),
    ]


def test_secrets_are_never_kept(ended: Visit) -> None:
    words = "password current_password new_password Password2 code token setup client_secret"
    fields = [(name, f"hidden-{at}") for at, name in enumerate(words.split())]
    page = late(ended, "/account", [*fields, ("name", "Augusta")])
    assert "hidden-" not in page.html
    assert page.form("/sign-in").one("typed.name") == "Augusta"


def test_a_name_is_shown_again_without_saving(ended: Visit) -> None:
    form = ended.get("/account")
    assert form.answer.status_code == 303
    page = late(
        ended, "/account", [("former", "Ada Lovelace"), ("name", "Augusta"), ("do", "save")]
    )
    going_on = resumed(ended.send("/sign-in", page.form("/sign-in").filled(**ADA)), "/account")
    shown = ended.send("/account", going_on.fields)
    assert shown.answer.status_code == 200
    assert shown.form("/account").one("name") == "Augusta"
    assert ended.get("/account").form("/account").one("name") == "Ada Lovelace"


@pytest.mark.parametrize("extra", [[], [("do", "create")]])
def test_a_form_without_resume_is_opened_without_acting(
    installation: Installation, ada: Visit, extra: list[tuple[str, str]]
) -> None:
    token = installation.access_token("charges:get")
    path = f"/access-tokens/{token[:21]}/deactivate"
    opened = ada.send(path, [*extra, ("label", "sample"), ("do", "resume")])
    assert opened.answer.status_code == 303
    assert opened.answer.headers["location"] == path
    assert installation.verify(token, permission="charges:get")["allowed"]
    # A path without a page redirects to the start page.
    out = ada.send("/sign-out", [*extra, ("do", "resume")])
    assert out.answer.headers["location"] == "/access-tokens"
    assert ada.get("/access-tokens").answer.status_code == 200


def test_buttons_that_act_are_not_resumed(installation: Installation, ended: Visit) -> None:
    token = installation.access_token("charges:get")
    path = f"/access-tokens/{token[:21]}/deactivate"
    page = late(ended, path, [("label", "sample")])
    going_on = resumed(ended.send("/sign-in", page.form("/sign-in").filled(**ADA)), path)
    asked = ended.send(path, going_on.fields, follow=True)
    assert "Deactivate sample?" in asked.text
    assert installation.verify(token, permission="charges:get")["allowed"]


def test_an_edited_token_is_shown_again_without_saving(
    installation: Installation, ada: Visit
) -> None:
    path = f"/access-tokens/{installation.access_token('charges:get')[:21]}/edit"
    fields = ada.get(path).form(path).filled(label="Renamed", do="save")
    installation.client(ada.client.cookies["gatepass"]).post("/v1/sign-out")
    page = late(ada, path, fields)
    going_on = resumed(ada.send("/sign-in", page.form("/sign-in").filled(**ADA)), path)
    shown = ada.send(path, going_on.fields)
    assert shown.form(path).one("label") == "Renamed"
    assert "Renamed" not in tokens(ada)
    ada.send(path, shown.form(path).filled(do="save"))
    assert "Renamed" in tokens(ada)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/company/users/invite", {"email": "new@example.com", "role": "reporting"}),
        ("/company", {"name": "Difference Engines"}),
        ("/company/roles/new", {"name": "Night shift"}),
        ("/company/security", {"network_address": "198.51.100.0", "network_note": "Office"}),
    ],
)
def test_other_forms_are_shown_again(ended: Visit, path: str, fields: dict[str, str]) -> None:
    page = late(ended, path, [*fields.items(), ("do", "save")])
    going_on = resumed(ended.send("/sign-in", page.form("/sign-in").filled(**ADA)), path)
    shown = ended.send(path, going_on.fields)
    assert shown.answer.status_code == 200
    for name, value in fields.items():
        assert shown.form(path).one(name) == value
    fresh = ended.get(path)
    assert not set(fields.values()) & {value for _, value in fresh.form(path).fields}
    assert "new@example.com" not in ended.get("/company/users").html


def test_another_site_cannot_inject_input(ended: Visit) -> None:
    fields = {**ADA, "next": NEW, "typed_by": "usr_1", "typed.label": "x"}
    page = ended.send("/sign-in", fields, headers={"Sec-Fetch-Site": "cross-site"})
    assert page.answer.status_code == 403
    page = ended.send(NEW, typed(ended), headers={"Sec-Fetch-Site": "cross-site"})
    assert page.answer.status_code == 403
    assert "quoted" not in page.html


def test_a_forged_form_cannot_redirect(installation: Installation, stranger: Visit) -> None:
    fields = {
        **ADA,
        "next": "//evil.example/",
        "typed_by": installation.ada.id,
        "typed.do": "create",
        "typed.label": "x",
    }
    page = stranger.send("/sign-in", fields)
    form = resumed(page, "/access-tokens")
    assert form.all("do") == ["resume"]


def test_signing_in_again_before_the_end_of_a_sign_in(ada: Visit) -> None:
    page = ada.get("/sign-in?again=1")
    assert page.answer.status_code == 200
    assert "return to your other tab" in page.text
    assert ada.get("/sign-in").answer.status_code == 303


def test_pages_have_the_end_of_the_sign_in(installation: Installation, ada: Visit) -> None:
    (body,) = [attributes for tag, attributes in ada.get("/account").elements if tag == "body"]
    until, now = int(body["data-signed-in-until"]), int(body["data-now"])
    assert 0 <= 3 * 3_600_000 - (until - now) < 60_000
    assert body["data-user"] == installation.ada.id
    token = Visit(installation.client(installation.access_token("access-tokens:search")))
    (body,) = [a for tag, a in token.get("/access-tokens").elements if tag == "body"]
    assert body == {}
