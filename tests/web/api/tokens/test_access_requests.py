"""``/v1/access-requests``: a token asks, people answer, and every door decides by it."""

from typing import Any

import httpx
import pytest

from gatepass.registry.storage.tables import outgoing_mail
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons

PATH = "/v1/access-requests"


@pytest.fixture
def ada(any_installation: Installation) -> httpx.Client:
    return any_installation.signed_in()


def ask(client: httpx.Client, permission: str = "charges:create", **more: Any) -> httpx.Response:
    return client.post(PATH, json={"permission": permission, **more})


def test_asked_answered_and_ended(any_installation: Installation, ada: httpx.Client) -> None:
    text = any_installation.access_token("charges:get")
    program, token = any_installation.client(text), f"/v1/access-tokens/{text[:21]}"

    def decided(**question: Any) -> Any:
        return any_installation.verify(text, **question)

    call = {"method": "POST", "path": "/v1/charges"}
    assert decided(**call)["reason"] == "permission_missing"
    asked = ask(program, justification="Order 7\nneeds it.")
    assert asked.status_code == 202, asked.text
    request = asked.json()
    assert list(request) == ["id", "status", "permission", "expires_at"]
    assert (request["status"], request["permission"]) == ("pending", "charges:create")
    assert ask(program).json() == request
    read = program.get(f"{PATH}/{request['id']}").json()
    assert read.items() >= request.items()
    assert (read["justification"], read["access_token"]["label"]) == (
        "Order 7\nneeds it.",
        "sample",
    )
    listed = ada.get(PATH, params={"status": "pending"}).json()
    assert (listed["items"], listed["next"]) == ([read], None)
    with any_installation.node.database.read(0) as reading:
        mail = reading.session.execute(outgoing_mail.select()).all()
    assert [(row.kind, row.recipient) for row in mail] == [("access_requested", "ada@example.com")]

    allowed = ada.post(f"{PATH}/{request['id']}/approve", json={"seconds": 900})
    assert allowed.status_code == 200, allowed.text
    assert (allowed.json()["status"], allowed.json()["always"]) == ("approved", False)
    decision = decided(**call)
    assert (decision["allowed"], decision["grant"]["permissions"]) == (
        True,
        ["charges:create", "charges:get"],
    )
    record = ada.get(token).json()
    assert record["exceptions"] == [
        {
            "permission": "charges:create",
            "until": allowed.json()["until"],
            "request": request["id"],
        }
    ]
    assert record["effective_permissions"] == ["charges:create", "charges:get"]
    assert program.get("/v1/me").json()["permissions"] == ["charges:create", "charges:get"]
    assert reasons(ask(program)) == (409, "already_held")
    again = ada.post(f"{PATH}/{request['id']}/deny", json={})
    assert reasons(again) == (409, "not_pending")
    assert again.json()["current"]["status"] == "approved"

    ended = ada.delete(f"{token}/exceptions/charges:create")
    assert (ended.status_code, ended.content) == (204, b"")
    assert decided(**call)["reason"] == "permission_missing"
    for other in ("charges:create", "refunds:get", "*", "charges%3A*"):
        assert ada.delete(f"{token}/exceptions/{other}").status_code == 404
    found = {event["action"] for event in ada.get("/v1/audit-events").json()["items"]}
    assert found >= {
        "access_request.created",
        "access_request.approved",
        "access_token.exception_added",
        "access_token.exception_ended",
    }


def test_denied_is_429_for_a_day(any_installation: Installation, ada: httpx.Client) -> None:
    program = any_installation.client(any_installation.access_token("charges:get"))
    request = ask(program).json()
    denied = ada.post(f"{PATH}/{request['id']}/deny")
    assert (denied.json()["status"], denied.json()["decided_by_name"]) == ("denied", "Ada Lovelace")
    assert program.get(f"{PATH}/{request['id']}").json()["status"] == "denied"
    again = ask(program)
    assert reasons(again) == (429, "too_many_attempts")
    assert 86_000 < int(again.headers["retry-after"]) <= 86_400
    assert ask(program, "refunds:get").status_code == 202


def test_for_good(any_installation: Installation, ada: httpx.Client) -> None:
    text = any_installation.access_token("charges:get")
    request = ask(any_installation.client(text)).json()
    allowed = ada.post(f"{PATH}/{request['id']}/approve", json={"always": True}).json()
    assert (allowed["status"], allowed["always"], allowed["until"]) == ("approved", True, None)
    record = ada.get(f"/v1/access-tokens/{text[:21]}").json()
    assert sorted(record["permissions"]) == ["charges:create", "charges:get"]


def test_who_can_ask_and_what_is_refused(
    installation: Installation,
) -> None:
    ada = installation.signed_in()
    text = installation.access_token("charges:get", networks=["198.51.100.0/24"])
    assert reasons(ask(installation.client(text))) == (403, "address_not_allowed")
    assert reasons(ask(ada)) == (403, "access_token_required")
    assert ask(installation.client()).status_code == 401
    program = installation.client(installation.access_token("charges:get"))
    for name in ("charges:*", "*", "charges:invent", "users:manage", "x" * 300):
        assert reasons(ask(program, name)) == (404, "not_found")
    clerk = installation.joined("clerk@example.com", role="manager")
    made = clerk.post(
        "/v1/access-tokens",
        json={"label": "x", "kind": "api", "permissions": ["charges:get"]},
    )
    assert made.status_code == 201
    assert fields(ask(program, justification="a\rb")) == ["justification"]
    assert fields(ask(program, decision="dec_1", justification="x" * 501)) == [
        "decision",
        "justification",
    ]
    assert fields(ask(program, status="approved")) == ["status"]
    request = ask(program).json()
    path = f"{PATH}/{request['id']}"
    for body, field in (
        ({}, "seconds"),
        ({"seconds": 1, "always": True}, "seconds"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": 86_401}, "seconds"),
        ({"seconds": 1.5}, "seconds"),
        ({"always": False}, "always"),
        ({"always": "yes"}, "always"),
    ):
        assert fields(ada.post(f"{path}/approve", json=body)) == [field]
    both = ada.post(f"{path}/approve", json={"seconds": 1, "always": True}).json()
    assert both["errors"][0]["message"] == "Must be left out: always is given."
    reader = installation.joined("rita@example.com", role="reporting")
    for answer in (
        reader.get(PATH),
        reader.get(path),
        reader.post(f"{path}/deny"),
        reader.post(f"{path}/approve", json={"seconds": 1}),
    ):
        assert reasons(answer) == (403, "permission_missing")
    for answer in (
        program.get(PATH),
        program.post(f"{path}/deny"),
        program.post(f"{path}/approve", json={"seconds": 1}),
    ):
        assert reasons(answer) == (403, "signed_in_user_required")
    other = installation.client(installation.access_token("charges:get"))
    assert other.get(path).status_code == 404
    assert fields(ada.get(PATH, params={"status": "open"})) == ["status"]


def answered(ada: httpx.Client, asked: httpx.Response, **how: Any) -> httpx.Response:
    assert asked.status_code == 202, asked.text
    return ada.post(f"{PATH}/{asked.json()['id']}/approve", json=how)


def test_who_made_the_first_of_a_family_is_no_second_person(
    installation: Installation,
) -> None:
    """They may have the text of the tokens that it rotated itself to."""
    ada = installation.signed_in()
    installation.require_approval("charges:create")
    held = ["charges:get", "charges:create", "own-token:rotate"]
    role = ada.post("/v1/roles", json={"name": "Jobs", "permissions": held}).json()["id"]
    account = ada.post("/v1/service-accounts", json={"name": "Robot", "role": role}).json()["id"]
    made = {
        "label": "Job",
        "kind": "api",
        "permissions": ["charges:get", "own-token:rotate"],
        "owner": {"id": account},
        "expires_at": "2125-01-01T00:00:00Z",
    }
    first = ada.post("/v1/access-tokens", json=made).json()["token"]
    rotated = installation.client(first).post("/v1/access-tokens/self/rotate", json={})
    second = rotated.json()["token"]
    for text in (first, second):
        refused = answered(ada, ask(installation.client(text)), seconds=60)
        assert reasons(refused) == (403, "second_person_required")


def test_a_second_person_holds_all_that_the_token_has(installation: Installation) -> None:
    ada = installation.signed_in()
    installation.require_approval("charges:create")
    held = ["charges:create", "access-requests:decide", "access-tokens:approve"]
    role = ada.post("/v1/roles", json={"name": "Desk", "permissions": held}).json()["id"]
    bob = installation.joined("bob@example.com", "Bob", role=role)
    asked = ask(installation.client(installation.access_token("refunds:get")))
    assert reasons(answered(bob, asked, seconds=60)) == (403, "permission_missing")


def test_an_exception_counts_as_what_the_token_has(installation: Installation) -> None:
    """Who lacks it can't change the token while it lasts."""
    ada = installation.signed_in()
    held = ["refunds:get", "access-tokens:get", "access-tokens:modify"]
    role = ada.post("/v1/roles", json={"name": "Desk", "permissions": held}).json()["id"]
    bob = installation.joined("bob@example.com", "Bob", role=role)
    text = installation.access_token("refunds:get")
    token = f"/v1/access-tokens/{text[:21]}"
    assert bob.patch(token, json={"label": "before"}).status_code == 200
    assert answered(ada, ask(installation.client(text)), seconds=60).status_code == 200
    assert reasons(bob.patch(token, json={"label": "now"})) == (403, "permission_missing")
    assert ada.patch(token, json={"label": "now"}).status_code == 200


def test_asking_again_and_explaining_write_nothing(installation: Installation) -> None:
    """Anybody may have a token for UI access, and a change voids what is remembered."""
    text = installation.access_token("charges:get")
    program = installation.client(text)
    first = ask(program)
    before = installation.node.file.shared.generation
    call = {"access_token": text[:21], "permission": "charges:create"}
    for number in range(3):
        assert ask(program).json() == first.json()
        key = {"Idempotency-Key": f"another-one-each-time-{number}"}
        assert program.post("/v1/decisions/explain", json=call, headers=key).status_code == 200
    assert installation.node.file.shared.generation == before
