"""Rotating a token: the form, the new token's text, and what both pages show."""

import pytest

from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.registry.tokens.calls import usage
from gatepass.verify.spools import Batch
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

HOUR = 3_600_000


@pytest.fixture
def path(installation: Installation) -> str:
    token = installation.access_token("charges:get", label="Settlement")
    return f"/access-tokens/{token[:21]}"


def rotate(ada: Visit, path: str, **changes: str) -> Page:
    form = ada.get(f"{path}/rotate").form(f"{path}/rotate")
    return ada.send(f"{path}/rotate", form.filled(do="rotate", **changes))


def called(installation: Installation, path: str, address: str) -> None:
    """Count a call with the token, a moment ago."""
    token, now = path.rpartition("/")[2], installation.node.clock.now()
    batch = Batch({token: (1, now, address, "charges:get")}, {"allowed": 1})
    what = ObservedCall("allowed", ("charges:get",), None, None, address, None)
    call = CountedCall(token, True, what, 1, now, now)
    with installation.node.database.auxiliary_write(now) as write:
        usage.fold(write, address, 0, 1, [batch], [call])


def test_the_sentence_says_what_will_be_true(ada: Visit, path: str) -> None:
    page = ada.get(path)
    assert page.links["Rotate"] == f"{path}/rotate"
    form = ada.get(f"{path}/rotate").form(f"{path}/rotate")
    assert (form.one("close"), form.one("seconds"), form.one("label")) == (
        *("when_silent", "86400"),
        "Settlement",
    )
    for close, words in (
        ("now", "Settlement stops working at once, on every server."),
        ("after", "Settlement works too, until "),
        ("when_silent", "until no call with it was seen for 7 days; at the latest until "),
        ("other", "until no call with it was seen for 7 days"),
    ):
        part = ada.send(f"{path}/rotate", form.filled(do="sentence", close=close, seconds="604800"))
        assert words in part.text
        assert "<html" not in part.html
    assert "Rotated" not in ada.get(path).text


def test_the_text_is_shown_once_and_both_pages_lead_to_each_other(
    installation: Installation, ada: Visit, path: str
) -> None:
    page = rotate(ada, path, label="Settlement 2")
    page.shows("Created: Settlement 2", "works too, until no call with it was seen for 24 hours")
    (new,) = {link for link in page.links.values() if link.startswith("/access-tokens/gpat_")} - {
        path
    }
    old, successor = ada.get(path), ada.get(new)
    old.shows("Being replaced", "Nobody was seen using it within 24 hours", "0 of 24 hours")
    assert old.links["Settlement 2"] == new
    assert "Rotate" not in old.links
    successor.shows("Replaces", "Settlement")
    assert successor.links["Settlement"] == path
    assert "Rotate" in successor.links
    ada.get("/access-tokens").shows("Being replaced")
    again = ada.send(f"{path}/rotate", {"do": "rotate", "close": "now"})
    assert (again.answer.status_code, again.answer.headers["location"]) == (303, path)
    assert ada.get(f"{path}/rotate").answer.status_code == 303


def test_the_old_tokens_page_shows_who_still_uses_it(
    installation: Installation, ada: Visit, path: str
) -> None:
    rotate(ada, path)
    called(installation, path, "203.0.113.7")
    ada.get(path).shows("1 caller still uses it", "203.0.113.7", "charges:get,")
    called(installation, path, "203.0.113.8")
    ada.get(path).shows("2 callers still use it", "203.0.113.8")


def test_now_ends_the_old_token(ada: Visit, path: str) -> None:
    rotate(ada, path, close="now").shows("stops working at once, on every server")
    page = ada.get(path)
    page.shows("Deactivated permanently because it was replaced just now", "Replaced by")
    assert "Being replaced" not in page.text


def test_a_wrong_label_keeps_the_choices(ada: Visit, path: str) -> None:
    page = rotate(ada, path, close="after", label="a\u202eb")
    assert page.answer.status_code == 422
    form = page.form(f"{path}/rotate")
    assert form.one("close") == "after"
    page.shows("Must not have bidirectional control characters")


def test_only_the_owner_rotates_a_users_token(
    installation: Installation, ada: Visit, path: str
) -> None:
    bob = Visit(installation.joined("bob@example.com", "Bob", role="manager"))
    assert "Rotate" not in bob.get(path).links
    for page in (bob.get(f"{path}/rotate"), bob.send(f"{path}/rotate", {"do": "rotate"})):
        assert page.answer.status_code == 403
