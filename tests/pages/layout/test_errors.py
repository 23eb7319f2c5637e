"""Errors are shown as pages that explain them."""

import pytest
from starlette.exceptions import HTTPException

from gatepass.core.errors import Conflict, Forbidden, NotFound, TooManyAttempts, Unavailable
from gatepass.node.node import Node
from gatepass.registry.membership import email_changes, invitations
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.lists import search as token_search
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit

SECRET = "typed by " + "someone"


def fail(*_: object, **__: object) -> None:
    raise RuntimeError(SECRET)


def away(*_: object, **__: object) -> None:
    raise Unavailable("The database can't be used right now.")


def test_an_unexpected_error_shows_no_details(
    ada: Visit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(token_search, "list_", fail)
    page = ada.get("/access-tokens")
    assert page.answer.status_code == 500
    assert "Something went wrong on our side" in page.text
    assert SECRET not in page.html
    assert SECRET not in caplog.text
    assert "RuntimeError" in caplog.text
    assert page.answer.headers["cache-control"] == "no-store"


def test_an_outage_is_a_page_with_retry_after(ada: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_search, "list_", away)
    page = ada.get("/access-tokens")
    assert page.answer.status_code == 503
    assert page.answer.headers["retry-after"] == "1"
    page.shows("Temporarily unavailable", "Wait a few seconds, then try again.")
    assert page.links["Try again"] == "/access-tokens"


def test_a_form_lost_to_an_outage_can_be_sent_again(
    ada: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not one with a secret, which the page would then contain."""
    monkeypatch.setattr(Node, "admit", away)
    path, typed = "/access-tokens/deactivate", {"ids": "gpat_1", "label": '"<b>'}
    page = ada.send(path, typed)
    assert page.answer.status_code == 503
    assert page.form(path).fields == list(typed.items())
    page = ada.send("/account/password", {"current_password": SECRET, "password": SECRET})
    assert page.answer.status_code == 503
    assert SECRET not in page.html
    assert "Try again" not in page.text


def test_an_unknown_outcome_suggests_no_reload(ada: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reloading would submit the form again."""

    def lost(*_: object, **__: object) -> None:
        raise Unavailable("Check whether it was made.", reason="outcome_unknown")

    monkeypatch.setattr(email_changes, "cancel_own", lost)
    page = ada.send("/account/email/cancel", {})
    assert page.answer.status_code == 503
    page.shows("Check whether it was made.", "Don't reload this page")
    assert "reload the page" not in page.text
    assert "partly saved" not in page.text


def test_an_outage_during_authentication_is_a_page(
    ada: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Node, "admit", away)
    page = ada.get("/access-tokens")
    assert page.answer.status_code == 503
    assert "Profile menu" not in page.text


def test_an_outage_on_create_keeps_the_input(ada: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/access-tokens/new"
    fields = ada.get(path).form(path).filled(label="Kept", permissions=["charges:get"], do="create")
    with monkeypatch.context() as outage:
        outage.setattr(access_tokens, "create", away)
        page = ada.send(path, fields)
        assert page.answer.status_code == 503
        assert "Press Create again." in page.text
        assert page.form(path).one("label") == "Kept"
    again = ada.send(path, page.form(path).filled(do="create"))
    assert "Created: Kept" in again.text


def test_an_outage_on_inviting_keeps_what_was_typed(
    ada: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, typed = "/company/users/invite", {"email": "new@example.com", "role": "reporting"}
    with monkeypatch.context() as outage:
        outage.setattr(invitations, "create", away)
        page = ada.send(path, typed)
        assert page.answer.status_code == 503
        page.shows("Press Create invitation again.")
    assert ada.send(path, page.form(path).filled()).answer.status_code == 303


def test_a_node_on_sqlite_never_lags(ada: Visit) -> None:
    assert "hasn't applied the change yet" not in ada.get("/access-tokens?unconfirmed=1").text


def test_an_unconfirmed_token_is_shown(
    installation: Installation, ada: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text is shown once, although this node's copy lags behind."""

    path = "/access-tokens/new"
    fields = ada.get(path).form(path).filled(label="Late", permissions=["charges:get"], do="create")
    monkeypatch.setattr(installation.node.database, "_confirm", lambda revision: False)
    page = ada.send(path, fields)
    assert page.answer.status_code == 200
    page.shows("Created: Late", "hasn't applied the change yet")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (NotFound("There is no such thing."), 404, "Page not found"),
        (Conflict("It has ended.", reason="ended"), 409, "It has ended."),
        (TooManyAttempts(61), 429, "Try again in 61 seconds."),
        (HTTPException(410), 410, "This link is broken"),
        (HTTPException(408), 408, "within 15 seconds"),
        (HTTPException(413), 413, "at most 1 MiB"),
        (HTTPException(418), 418, "Something went wrong"),
        (Forbidden("Only operators may do this.", reason="operator_required"), 403, "operators"),
    ],
)
def test_every_error_has_its_text(
    ada: Visit, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(token_search, "list_", refuse)
    page = ada.get("/access-tokens")
    assert page.answer.status_code == status
    page.shows(words, "Ada Lovelace")
    assert (status == 429) == ("retry-after" in page.answer.headers)


@pytest.mark.parametrize("path", ["/nothing", "/access-tokens/a/b", "/static", "/sign-in/"])
def test_an_unknown_path_is_a_page(ada: Visit, path: str) -> None:
    page = ada.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.answer.status_code == 404
    assert "Page not found" in page.text
    assert page.links["Access Tokens"] == "/access-tokens"


def test_a_wrong_method_is_a_page(ada: Visit) -> None:
    page = ada.send("/access-tokens", {}, headers={"Accept": "text/html"})
    assert page.answer.status_code == 405
    assert "GET" in page.answer.headers["allow"]
    assert "Method not allowed" in page.text
    assert ada.client.head("/access-tokens").status_code == 200


def test_a_missing_permission_is_named(installation: Installation, ada: Visit) -> None:
    text = installation.access_token("charges:get")
    page = Visit(installation.client(text)).get("/access-tokens")
    assert page.answer.status_code == 403
    assert "access-tokens:search" in page.text
