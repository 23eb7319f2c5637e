"""Approving a pending token in the dashboard."""

import pytest

from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit


@pytest.fixture
def mona(installation: Installation) -> Visit:
    installation.new_user("mona@example.com", role="manager")
    return Visit.signed_in(installation.client(), "mona@example.com")


def test_a_second_person_approves(installation: Installation, ada: Visit, mona: Visit) -> None:
    installation.require_approval("charges:create")
    needs = "Needs a second person: charges:create."
    form = ada.get("/access-tokens/new").form("/access-tokens/new")
    chosen = {"label": "Till", "permissions": ["charges:create"]}
    ada.send("/access-tokens/new", form.filled(**chosen, do="sentence")).shows(needs)
    created = ada.send("/access-tokens/new", form.filled(**chosen, do="create"))
    created.shows("It waits for a second person.")
    listed = ada.get("/access-tokens")
    path = ada.get(listed.links["Pending 1"]).links["Till"]

    page = ada.get(path)
    page.shows("Waits for a second person", "token_pending", "Somebody Else can approve it")
    assert "Rehearse Deactivating…" not in page.links
    assert f"{path}/approve" not in {form.action for form in page.forms}
    assert ada.send(f"{path}/approve", {}).answer.status_code == 403
    # What was looked at is what is approved.
    seen = mona.get(path).form(f"{path}/approve")
    edit = ada.get(f"{path}/edit").form(f"{path}/edit")
    ada.send(f"{path}/edit", edit.filled(label="Other till", do="save"))
    page = mona.send(f"{path}/approve", seen.filled(), follow=True)
    page.shows("Not approved: somebody changed the token meanwhile.")
    page = mona.send(f"{path}/approve", page.form(f"{path}/approve").filled(), follow=True)
    page.shows("Approved. The token works from now on.", "by Somebody Else")
    # Sent once more, it leads to the token.
    again = mona.send(f"{path}/approve", seen.filled())
    assert again.answer.status_code == 303
    assert "Pending 1" not in ada.get("/access-tokens").links


def test_an_active_token_gets_no_such_permission(installation: Installation, ada: Visit) -> None:
    text = installation.access_token("charges:get", label="Reader")
    installation.require_approval("charges:create")
    path = f"/access-tokens/{text[:21]}/edit"
    form, chosen = ada.get(path).form(path), ["charges:get", "charges:create"]
    sentence = ada.send(path, form.filled(permissions=chosen, do="sentence"))
    sentence.shows("Can't be added to an active token")
    page = ada.send(path, form.filled(permissions=chosen, do="save"))
    assert page.answer.status_code == 409
    page.shows("charges:create needs a second person")


def test_nobody_else_can_approve(installation: Installation, ada: Visit) -> None:
    installation.require_approval("charges:create")
    text = installation.access_token("charges:create", label="Till")
    ada.get(f"/access-tokens/{text[:21]}").shows("Nobody can approve it now")
