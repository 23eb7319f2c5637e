"""Limited verifier keys: to each, tokens of other companies are unknown, through every door."""

from typing import Any

import httpx
import pytest

from gatepass.core.credentials import ID_LENGTH
from gatepass.registry.actor import Actor
from gatepass.registry.directory import verifier_keys
from tests.support.apps.installation import Installation
from tests.support.feed.asgi_feed import Loop, OpenFeed, here
from tests.support.waiting import until

UNKNOWN = "gpat_0000000000000000" + "0" * 32


@pytest.fixture
def tokens(any_installation: Installation) -> tuple[str, str]:
    """A token of the company that the key names, and one of another."""
    carl = any_installation.of_another_company()
    body = {"label": "theirs", "kind": "api", "permissions": ["charges:get"]}
    theirs = carl.post("/v1/access-tokens", json=body).json()["token"]
    return any_installation.access_token("charges:get"), theirs


def limited_key(installation: Installation) -> str:
    return installation.do(
        verifier_keys.create,
        Actor.command_line(),
        label="one company's gateway",
        companies=[installation.company.id],
    )[1]


def ask(client: httpx.Client, token: str) -> Any:
    question = {"token": token, "permission": "charges:get"}
    answer = client.post("/v1/verify", json=question)
    batch = client.post("/v1/verify/batch", json={"calls": [question]}).json()["decisions"]
    assert batch == [answer.json()]
    return answer


def test_it_decides_for_its_companies_alone(
    any_installation: Installation, tokens: tuple[str, str]
) -> None:
    own, theirs = tokens
    limited = any_installation.client(limited_key(any_installation))
    unlimited = any_installation.client(any_installation.verifier_key())
    # Each asks first once, so that an answer that is remembered for one can't reach the other.
    for first, second in ((limited, unlimited), (unlimited, limited)):
        for client in (first, second, first):
            assert ask(client, own).json()["reason"] == "allowed"
            foreign = ask(client, theirs)
            if client is limited:
                unknown = ask(client, theirs[:ID_LENGTH] + UNKNOWN[ID_LENGTH:] + theirs[53:])
                assert foreign.content == unknown.content
                assert foreign.json()["reason"] == "token_invalid"
            else:
                assert foreign.json()["reason"] == "allowed"


def test_it_does_not_count_as_a_use_of_another_companys_token(
    any_installation: Installation, tokens: tuple[str, str]
) -> None:
    limited = any_installation.client(limited_key(any_installation))
    # A busy machine's copy may be late.
    until(lambda: ask(limited, tokens[0]).json()["allowed"])
    ask(limited, tokens[1])
    any_installation.node.usage.flush()
    any_installation.node.fold()
    own, theirs = (token[:ID_LENGTH] for token in tokens)
    assert any_installation.signed_in().get(f"/v1/access-tokens/{own}").json()["last_used"]
    carl = any_installation.signed_in("carl@example.com")
    assert carl.get(f"/v1/access-tokens/{theirs}").json()["last_used"] is None


def test_it_follows_its_companies_alone(
    any_installation: Installation, tokens: tuple[str, str], open_feed: OpenFeed
) -> None:
    own, theirs = (token[:ID_LENGTH] for token in tokens)
    key = limited_key(any_installation)
    feed = open_feed(key=key)
    feed.reached(here(any_installation.node.database))
    assert ("grants", own) in feed.copy
    assert ("grants", theirs) not in feed.copy
    rules = {name for table, name in feed.copy if table == "company_rules"}
    assert rules == {any_installation.company.id}
    named = open_feed(key=key, companies=(any_installation.company.id,))
    named.reached()
    assert named.copy == feed.copy
    assert open_feed(key=key, companies=("com_0000000000000000",)).status == 422


def test_no_feed_has_admin_keys(any_installation: Installation, open_feed: OpenFeed) -> None:
    ada = any_installation.signed_in()
    for limits in ({}, {"company": any_installation.company.id}):
        assert ada.post("/v1/admin-keys", json={"label": "x", **limits}).status_code == 201
    feed = open_feed(key=any_installation.verifier_key())
    feed.reached(here(any_installation.node.database))
    kinds = {name[:4] for table, name in feed.copy if table == "grants"}
    assert kinds <= {"gpat", "gplt"}


def test_it_reports_for_its_companies_alone(
    any_installation: Installation, tokens: tuple[str, str], loop: Loop
) -> None:
    now = any_installation.node.clock.now()
    counts = {token[:ID_LENGTH]: [3, now, None, "charges:get"] for token in tokens}
    batch = {"tokens": counts, "decisions": {"allowed": 6}}
    calls = [[token, False, None, 3, now, now] for token in counts]
    sent = {
        "spool": "17-0123456789abcdef",
        "start": 0,
        "end": 9,
        "batches": [batch],
        "calls": calls,
    }
    answer = loop.post(
        any_installation.app, limited_key(any_installation), "/v1/feed/use", json=sent
    )
    assert answer.json() == {"folded_to": 9}
    own, theirs = (token[:ID_LENGTH] for token in tokens)
    assert any_installation.signed_in().get(f"/v1/access-tokens/{own}").json()["last_used"]
    carl = any_installation.signed_in("carl@example.com")
    assert carl.get(f"/v1/access-tokens/{theirs}").json()["last_used"] is None
    assert carl.get(f"/v1/access-tokens/{theirs}/calls").json()["items"] == []


def test_the_endpoint_creates_them(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    company = any_installation.company.id
    made = ada.post("/v1/verifier-keys", json={"label": "gateway", "companies": [company]})
    assert made.status_code == 201
    assert made.json()["companies"] == [company]
    client = any_installation.client(made.json()["key"])
    assert ask(client, any_installation.access_token("charges:get")).json()["allowed"]
    listed = ada.get("/v1/verifier-keys").json()["items"]
    assert [each["companies"] for each in listed] == [[company]]
    for wrong in ([], ["com_0000000000000000"], [company] * 201, ["\0"]):
        answer = ada.post("/v1/verifier-keys", json={"label": "gateway", "companies": wrong})
        assert answer.status_code == 422, wrong
    ended = ada.post(f"/v1/verifier-keys/{made.json()['id']}/deactivate")
    assert ended.json()["companies"] == [company]
    refused = client.post("/v1/verify", json={"token": "x", "permission": "charges:get"})
    assert refused.status_code == 401
