"""Answering access requests in the dashboard."""

from typing import Any

import pytest

from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit


@pytest.fixture
def text(installation: Installation) -> str:
    return installation.access_token("charges:get", label="Till")


def ask(installation: Installation, text: str, **more: Any) -> str:
    """Let a token ask for ``charges:create``; the path of the request's page."""
    answer = installation.client(text).post(
        "/v1/access-requests", json={"permission": "charges:create", **more}
    )
    assert answer.status_code == 202, answer.text
    return f"/access-requests/{answer.json()['id']}"


def answered(visit: Visit, path: str, value: str) -> Page:
    return visit.send(path, visit.get(path).form(path).filled(answer=value), follow=True)


def test_the_call_in_words_and_an_answer(installation: Installation, ada: Visit, text: str) -> None:
    call = {"method": "POST", "path": "/v1/charges", "address": "192.0.2.9"}
    assert not installation.verify(text, **call)["allowed"]
    installation.node.usage.flush()
    installation.node.fold()
    path = ask(installation, text, justification="Order 7 <needs> it.")
    token = f"/access-tokens/{text[:21]}"
    assert ada.get("/access-tokens").links["Ask for access 1"] == "/access-requests"
    assert ada.get("/access-requests").links["charges:create"] == path
    ada.get(token).shows("It asks for charges:create")
    page = ada.get(path)
    page.shows(
        "Till asks for charges:create",
        "Its call POST /v1/charges from 192.0.2.9 was refused",
        "Create charges",
        "Order 7 <needs> it.",
        "Nobody has checked it.",
    )
    ada.get(page.links["Why it was refused"]).shows("permission")
    buttons = [value for name, value in page.form(path).buttons if name == "answer"]
    assert buttons == ["900", "3600", "always", "no"]
    page = answered(ada, path, "900")
    page.shows("Ada Lovelace allowed it", "The exception ends in 15 min")
    shown = ada.get(token)
    shown.shows("Exceptions", "charges:create", "ends in 15 min")
    shown.shows("It can read charges.", "1 exception lets it do more for a while.")
    assert "It asks for" not in shown.text
    end = f"{token}/exceptions/charges:create/end"
    ended = ada.send(end, shown.form(end).filled(), follow=True)
    assert "ends in 15 min" not in ended.text
    ada.get(path).shows("The exception ended just now")
    # Sent once more, it shows the answer.
    assert ada.send(path, [("answer", "no")]).answer.status_code == 303
    ada.get("/access-requests").shows("No pending requests")
    assert ada.get("/access-tokens").links["Access requests"] == "/access-requests?status=any"
    ada.get("/access-requests?status=any").shows("Approved")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("no", "Ada Lovelace denied it"), ("always", ", for good.")],
)
def test_the_other_answers(
    installation: Installation, ada: Visit, text: str, value: str, shown: str
) -> None:
    path = ask(installation, text)
    ada.get(path).shows("A program with this token was refused")
    ada.send(path, [("answer", "7")]).shows("Pending")
    answered(ada, path, value).shows(shown)


def test_an_owner_who_cannot_answer_sees_who_can(installation: Installation, ada: Visit) -> None:
    role = installation.signed_in().post(
        "/v1/roles",
        json={
            "name": "Maker",
            "permissions": ["access-tokens:create", "charges:get", "charges:create"],
        },
    )
    maker = installation.joined("mia@example.com", "Mia", role=role.json()["id"])
    made = maker.post(
        "/v1/access-tokens", json={"label": "Mine", "kind": "api", "permissions": ["charges:get"]}
    )
    path = ask(installation, made.json()["token"])
    mia = Visit.signed_in(installation.client(), "mia@example.com")
    page = mia.get(path)
    page.shows("You can't answer this.", "Ada Lovelace can.")
    assert path not in {form.action for form in page.forms}
    assert mia.send(path, [("answer", "900")]).answer.status_code == 403
    installation.new_user("rita@example.com", "Rita", role="customer-service")
    Visit.signed_in(installation.client(), "rita@example.com").get(path).shows("can't answer")


def test_a_second_person_answers(installation: Installation, ada: Visit, text: str) -> None:
    installation.require_approval("charges:create")
    path = ask(installation, text)
    page = ada.get(path)
    page.shows("To allow it takes a second person")
    assert [value for _, value in page.form(path).buttons] == ["no"]
    installation.new_user("mona@example.com", "Mona", role="manager")
    mona = Visit.signed_in(installation.client(), "mona@example.com")
    assert [value for _, value in mona.get(path).form(path).buttons] == ["900", "3600", "no"]
    refused = mona.send(path, [("answer", "always")])
    assert refused.answer.status_code == 409
    refused.shows("charges:create needs a second person")
    answered(mona, path, "3600").shows("Mona allowed it", "ends in 1 h")
