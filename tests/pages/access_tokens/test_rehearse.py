"""Rehearsing the deactivation of a token in the dashboard."""

import pytest

from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit


@pytest.fixture
def text(installation: Installation) -> str:
    return installation.access_token("charges:get", label="Settlement")


def test_it_runs_is_shown_and_is_ended(installation: Installation, ada: Visit, text: str) -> None:
    path = f"/access-tokens/{text[:21]}"
    page = ada.get(path)
    assert page.links["Rehearse Deactivating…"] == f"{path}/rehearse"
    form = ada.get(f"{path}/rehearse").form(f"{path}/rehearse")
    assert (form.one("share"), form.one("minutes")) == ("10", "5")
    page = ada.send(f"{path}/rehearse", form.filled(share="100", minutes="1"), follow=True)
    page.shows("A rehearsal is running: 100 % of the calls are refused", "0 calls were refused")
    assert "Rehearse Deactivating…" not in page.links
    asked = {"permission": "charges:get"}
    assert installation.verify(text, **asked)["reason"] == "token_rehearsed"
    # Sent twice, or opened again, it leads to the token.
    for again in (ada.get(f"{path}/rehearse"), ada.send(f"{path}/rehearse", {"share": "1"})):
        assert (again.answer.status_code, again.answer.headers["location"]) == (303, path)
    page = ada.send(f"{path}/rehearse/end", {}, follow=True)
    assert "A rehearsal is running" not in page.text
    assert installation.verify(text, **asked)["allowed"]


def test_it_takes_the_permission(installation: Installation, text: str) -> None:
    installation.new_user("rita@example.com", role="reporting")
    rita = Visit.signed_in(installation.client(), "rita@example.com")
    path = f"/access-tokens/{text[:21]}"
    assert "Rehearse Deactivating…" not in rita.get(path).links
    for page in (
        rita.get(f"{path}/rehearse"),
        rita.send(f"{path}/rehearse", {"share": "100", "minutes": "60"}),
        rita.send(f"{path}/rehearse/end", {}),
    ):
        assert page.answer.status_code == 403
    assert installation.verify(text, permission="charges:get")["allowed"]
