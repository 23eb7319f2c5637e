"""``POST /v1/access-tokens/self/rotate``: the answers, lost ones, reuse, and what is told of it."""

from typing import Any

import httpx
import pytest

from gatepass.registry.grants.publishing import publish
from gatepass.registry.notifications import token_alarms
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import access_tokens, outgoing_mail
from gatepass.registry.tokens import store
from gatepass.registry.tokens.records import grant_of
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons

PATH = "/v1/access-tokens/self/rotate"
LIFE = {"expires_at": "2125-01-01T00:00:00Z"}


@pytest.fixture
def ada(any_installation: Installation) -> httpx.Client:
    return any_installation.signed_in()


def create(client: httpx.Client, **more: Any) -> Any:
    token = {
        "label": "Pipeline",
        "kind": "api",
        "permissions": ["charges:get", "own-token:rotate"],
    }
    answer = client.post("/v1/access-tokens", json={**token, **LIFE, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def rotate(installation: Installation, token: Any, **more: Any) -> httpx.Response:
    client = installation.client()
    headers = {"Authorization": f"Bearer {token['token']}", **more.pop("headers", {})}
    return client.post(PATH, headers=headers, **more)


def got(client: httpx.Client, token: Any) -> Any:
    return client.get(f"/v1/access-tokens/{token['id']}").json()


def use(installation: Installation, token: Any) -> str:
    """Use a token, and count its use; the reason."""
    decision = installation.verify(token["token"], permission="charges:get", address="192.0.2.7")
    installation.node.usage.flush()
    installation.node.fold()
    reason: str = decision["reason"]
    return reason


def mails(installation: Installation, kind: str, token: Any) -> list[str]:
    with installation.node.database.read(0) as reading:
        found = reading.session.execute(
            outgoing_mail.select().where(
                outgoing_mail.c.kind == kind,
                outgoing_mail.c.subject_id.startswith(f"{token['id']}:"),
            )
        )
        return [row.recipient for row in found]


def events(client: httpx.Client, action: str, token: Any) -> list[Any]:
    found = client.get(f"/v1/audit-events?token={token['id']}").json()["items"]
    return [event for event in found if event["action"] == action]


def test_it_answers_with_the_new_token(any_installation: Installation, ada: httpx.Client) -> None:
    token = create(ada)
    made = rotate(any_installation, token)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    new = made.json()
    assert made.headers["location"] == f"/v1/access-tokens/{new['id']}"
    text = new.pop("token")
    assert new == got(ada, new)
    assert new["rotation"]["replaces"] == token["id"]
    old = got(ada, token)["rotation"]
    assert (old["replaced_by"], old["close"]) == (new["id"], "after")
    for each in (token["token"], text):
        assert any_installation.verify(each, permission="charges:get")["allowed"]
    lost = rotate(any_installation, token, json={"after": 60})
    assert lost.status_code == 201
    assert got(ada, new)["deactivated_by"] == "rotation"


def test_a_used_successor_ends_the_family(
    any_installation: Installation, ada: httpx.Client
) -> None:
    token = create(ada)
    key = {"Idempotency-Key": "rotate-in-pipeline-7"}
    made = rotate(any_installation, token, headers=key)
    again = rotate(any_installation, token, headers=key)
    assert (again.status_code, again.json()) == (201, made.json())
    new = made.json()
    assert use(any_installation, new) == "allowed"
    # The kept answer has the successor's text; it isn't given to somebody else who asks with it.
    refused = rotate(any_installation, token, headers=key)
    assert reasons(refused) == (401, "token_deactivated")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert new["token"] not in refused.text
    for each in (token, new):
        record = got(ada, each)
        assert (record["status"], record["deactivated_by"]) == ("deactivated", "reuse")
        assert use(any_installation, each) == "token_deactivated"
    assert mails(any_installation, "token_reuse", token) == ["ada@example.com"]
    with any_installation.node.database.read(0) as reading:
        letter = token_alarms.letter(reading, f"{token['id']}:{got(ada, token)['created_by']}")
    assert letter is not None
    assert (letter.token, letter.label, letter.company) == (
        token["id"],
        "Pipeline",
        any_installation.company.name,
    )
    assert len(events(ada, "access_token.reuse_detected", token)) == 1
    assert reasons(rotate(any_installation, token)) == (401, "token_deactivated")
    assert len(mails(any_installation, "token_reuse", token)) == 1


def test_a_call_of_the_api_is_use(installation: Installation) -> None:
    ada = installation.signed_in()
    token = create(ada)
    new = rotate(installation, token).json()
    assert installation.client(new["token"]).get("/v1/me").status_code == 200
    installation.node.usage.flush()
    installation.node.fold()
    assert got(ada, new)["last_used"] is not None
    assert reasons(rotate(installation, token)) == (401, "token_deactivated")


def test_late_use_is_told_of_once_a_day(any_installation: Installation, ada: httpx.Client) -> None:
    token = create(ada)
    new = rotate(any_installation, token).json()
    with any_installation.node.database.write(any_installation.node.clock.now()) as change:
        # As if its overlap had passed; verifiers know it from the published grant.
        row = store.find(change, None, token["id"])
        ended = {"expires_at": change.now - 1}
        update_row(change, access_tokens, token["id"], **ended)
        publish(change, grant_of({**row._mapping, **ended}))
    assert reasons(rotate(any_installation, token)) == (401, "token_expired")
    for _ in "ab":
        assert use(any_installation, token) == "token_expired"
    assert got(ada, new)["status"] == "active"
    (told,) = events(ada, "access_token.used_late", token)
    assert told["after"] == {"access_token": token["id"]}
    assert mails(any_installation, "token_late_use", token) == ["ada@example.com"]


def test_other_credentials_and_bodies(any_installation: Installation, ada: httpx.Client) -> None:
    token = create(ada)
    assert reasons(ada.post(PATH)) == (403, "access_token_required")
    assert reasons(any_installation.client().post(PATH)) == (401, "token_missing")
    for body, field in (({"after": 59}, "after"), ({"after": 3601}, "after"), ({"a": 1}, "a")):
        assert fields(rotate(any_installation, token, json=body)) == [field]
    endless = create(ada, expires_at=None)
    assert reasons(rotate(any_installation, endless)) == (409, "no_expiry")
    plain = create(ada, permissions=["charges:get"])
    refused = rotate(any_installation, plain)
    assert reasons(refused) == (403, "permission_missing")
    assert 'scope="own-token:rotate"' in refused.headers["www-authenticate"]
