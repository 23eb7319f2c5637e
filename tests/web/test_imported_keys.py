"""An imported key, through every door: decided like a token of ours, until it ends."""

from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import select

from gatepass.core.imported_keys import of_digest
from gatepass.registry.actor import Actor
from gatepass.registry.storage.tables import idempotent_answers
from gatepass.registry.tokens import importing
from tests.support.apps.installation import Installation
from tests.support.apps.problems import reasons
from tests.support.browser.page_reader import Visit
from tests.support.feed.asgi_feed import OpenFeed, here
from tests.web.api.tokens.test_observed_calls import fold

TEXT = "acme_live_0123456789abcdefghijklmnop"
# As long as a token of ours.
LONG = "acme_live_".ljust(59, "x")
CALL = {"permission": "charges:get"}


def imported(installation: Installation, *texts: str, **fields: Any) -> None:
    lines = [
        (
            number,
            {
                "sha256": sha256(text.encode()).hexdigest(),
                "prefix": text[:10],
                "label": f"Key {number}",
                "permissions": ["charges:get", "access-tokens:get"],
                **fields,
            },
        )
        for number, text in enumerate(texts, 1)
    ]
    installation.do(
        importing.import_keys,
        Actor.command_line(),
        installation.company.id,
        lines,
        catalogue=installation.node.catalogue,
    )


def id_of(text: str) -> str:
    return of_digest(sha256(text.encode()).digest()).id


@pytest.mark.parametrize("text", [TEXT, LONG], ids=["short", "as long as ours"])
def test_it_is_decided_through_every_door(any_installation: Installation, text: str) -> None:
    installation, id = any_installation, id_of(text)
    assert installation.verify(text, **CALL)["reason"] == "token_invalid"
    imported(installation, text, networks=["127.0.0.1", "203.0.113.0/24"])
    service = installation.client(installation.verifier_key())
    call = {"token": text, "address": "203.0.113.9"}
    # Remembered the second time.
    for _ in range(2):
        answer = service.post("/v1/verify", json=call | CALL).json()
        assert answer["allowed"], answer
        assert (answer["grant"]["id"], answer["grant"]["kind"]) == (id, "api")
        batch = service.post("/v1/verify/batch", json={"calls": [call | CALL]}).json()
        assert batch == {"decisions": [answer]}
    for wrong, reason in (
        ({"address": "198.51.100.1"}, "address_not_allowed"),
        ({"permission": "charges:create"}, "permission_missing"),
        ({"token": text + "x"}, "token_invalid"),
        ({"token": text[:-1] + "y"}, "token_invalid"),
        ({"token": id}, "token_invalid"),
    ):
        answer = service.post("/v1/verify", json=call | CALL | wrong).json()
        assert answer["reason"] == reason, wrong
    route = {"X-Original-URI": "/v1/charges/1", "X-Original-Method": "GET"}
    for client in (
        installation.client(text),
        installation.client(),
    ):
        if "Authorization" not in client.headers:
            client.headers["x-access-token"] = text
        answer = client.get("/authz/nginx", headers=route)
        assert (answer.status_code, answer.headers["x-gatepass-token"]) == (204, id)
        assert client.get("/v1/me").json()["kind"] == "api"
        record = client.get(f"/v1/access-tokens/{id}").json()
        assert (record["id"], record["imported"]) == (id, True)
    fold(installation)
    record = installation.signed_in().get(f"/v1/access-tokens/{id}").json()
    assert record["last_used"]["address"] == "127.0.0.1"
    calls = installation.signed_in().get(f"/v1/access-tokens/{id}/calls").json()["items"]
    assert {"address_not_allowed", "permission_missing"} <= {each["reason"] for each in calls}


def test_it_ends_like_a_token(installation: Installation) -> None:
    texts = [f"acme_live_{number:030}" for number in range(3)]
    imported(installation, *texts)
    ada = installation.signed_in()
    page = Visit.signed_in(installation.client(), "ada@example.com")
    page.get("/access-tokens").shows("Key 1", "Imported")
    page.get(f"/access-tokens/{id_of(texts[0])}").shows("Another system issued its text.")
    rotated = ada.post(f"/v1/access-tokens/{id_of(texts[0])}/rotate", json={"close": "now"})
    assert rotated.status_code == 201
    assert (rotated.json()["imported"], rotated.json()["token"][:5]) == (False, "gpat_")
    assert ada.post(f"/v1/access-tokens/{id_of(texts[1])}/deactivate", json={}).status_code == 200
    answer = installation.client().post("/v1/credentials/revoke", json={"credentials": texts[2:]})
    assert answer.status_code == 202
    assert ada.get(f"/v1/access-tokens/{id_of(texts[2])}").json()["deactivated_by"] == "reported"
    for text in texts:
        assert installation.verify(text, **CALL)["reason"] == "token_deactivated"
        assert reasons(installation.client(text).get("/v1/me")) == (401, "token_deactivated")
    exported = ada.get("/v1/access-tokens/export?format=csv").text
    assert f"{id_of(texts[2])},Key 3,api,true" in exported


def test_feeds_carry_it_within_their_limits(
    any_installation: Installation, open_feed: OpenFeed
) -> None:
    imported(any_installation, TEXT)

    def keys(**limits: Any) -> set[str]:
        feed = open_feed(**limits)
        feed.reached(here(any_installation.node.database))
        return {key for table, key in feed.copy if key.startswith("gpim")}

    both = {id_of(TEXT), "gpim/acme_live_"}
    assert keys() == keys(permissions=("charges:get",)) == both
    assert keys(companies=(any_installation.company.id,)) == both
    # Without the permission only the prefix, with which the follower finds nothing.
    assert keys(permissions=("refunds:get",)) == {"gpim/acme_live_"}
    assert keys(companies=("com_other",)) == set()


def test_an_idempotent_answer_keeps_nothing_of_its_text(installation: Installation) -> None:
    imported(installation, TEXT)
    answer = installation.client(TEXT).post(
        "/v1/access-requests",
        json={"permission": "charges:create"},
        headers={"Idempotency-Key": "order-4711-attempt"},
    )
    assert answer.status_code == 202, answer.text
    with installation.node.database.read(0) as reading:
        (row,) = reading.session.execute(select(idempotent_answers)).all()
    assert row.credential == id_of(TEXT)
    assert TEXT[10:20] not in repr(row)
