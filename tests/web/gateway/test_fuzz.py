"""Generated requests to the gateway endpoints: a documented answer, and never a wrong "allowed"."""

import json
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass.core.reason import STATUS
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.verification import VERIFY
from tests.support.apps.gateway_clients import GATEWAY, plain
from tests.support.grants.grant_fixtures import Samples

pytestmark = pytest.mark.slow

REASONS = {*STATUS, "peer_not_trusted"}
quick = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])

NAMES = ["good", "login", "ui", "listed", "networked", "expired", "wide", "many", "verifier"]
#: Mutations of a valid text; the result is never valid.
MUTATIONS = st.sampled_from(
    [
        lambda text, at, with_: text[:at] + with_ + text[at + 1 :],
        lambda text, at, with_: text[:at] + text[at + 1 :],
        lambda text, at, with_: text[:at] + with_ + text[at:],
        lambda text, at, with_: text + with_,
        lambda text, at, with_: with_ + text,
        lambda text, at, with_: text[::-1],
        lambda text, at, with_: text[:at] + text[at:].swapcase(),
        lambda text, at, with_: "gplt" + text[4:],
        lambda text, at, with_: text * 2,
    ]
)
raw_values = st.binary(max_size=60) | st.text(string.printable, max_size=60).map(str.encode)
addresses = st.sampled_from(["203.0.113.7", "198.51.100.7", "10.0.0.1", "::1", "unknown", ""])
values = {
    "X-Original-URI": st.sampled_from(
        ["/v1/charges/1", "/v1/charges", "/v1/charges/1/refund", "/v1/charges/%31", "/", "//"]
    ).map(str.encode)
    | raw_values.map(lambda value: b"/v1/charges/" + value),
    "X-Original-Method": st.sampled_from([b"GET", b"HEAD", b"POST", b"get", b"DELETE"]),
    "X-Forwarded-For": st.lists(addresses, max_size=4).map(",".join).map(str.encode),
    "Origin": st.sampled_from(
        [b"https://shop.example.com", b"https://evil.example", b"null", b"http://localhost"]
    ),
    "Referer": st.sampled_from([b"https://shop.example.com/x", b"about:blank"]),
    "X-Access-Token": raw_values,
    "Authorization": raw_values | raw_values.map(lambda value: b"Bearer " + value),
    "Sec-Fetch-Site": st.sampled_from([b"same-origin", b"cross-site", b"none"]),
    "X-Forwarded-Host": st.sampled_from([b"shop.example.com", b"evil.example", b"*.example.org"]),
    "Upgrade": st.sampled_from([b"websocket", b"h2c"]),
    "Sec-WebSocket-Protocol": raw_values | raw_values.map(lambda value: b"gatepass, " + value),
    "X-Gatepass-User": raw_values,
    "Cookie": raw_values,
}
headers = st.lists(
    st.sampled_from(sorted(values)).flatmap(
        lambda name: st.tuples(st.just(name), values[name] | raw_values)
    ),
    max_size=8,
)


def mutated_text(samples: Samples, data: st.DataObject) -> str:
    """A mutation of a valid text that isn't valid itself."""
    text = samples.texts[data.draw(st.sampled_from(NAMES))]
    at = data.draw(st.integers(0, len(text) - 1))
    mutated: str = data.draw(MUTATIONS)(text, at, data.draw(st.characters(codec="ascii")))
    return mutated if mutated not in samples.texts.values() else mutated + "x"


@quick
@given(headers=headers, peer=st.sampled_from(["127.0.0.1", "203.0.113.9", "", "::1", "x"]))
def test_every_gateway_request_gets_a_documented_answer(
    shared_samples: Samples, endpoints: Endpoints, headers: list[tuple[str, bytes]], peer: str
) -> None:
    """204, 401 or 403 with a known reason; never 204 without a valid token."""
    answer = plain(endpoints, peer)("GET", GATEWAY, headers)
    assert answer.status in (401, 403)
    reason = answer.header("x-gatepass-reason")
    assert reason in REASONS
    assert peer == "127.0.0.1" or reason == "peer_not_trusted"
    assert all(name.isascii() and value.isprintable() for name, value in answer.headers)


@quick
@given(headers=headers, name=st.sampled_from(NAMES))
def test_a_valid_token_among_generated_headers(
    shared_samples: Samples, endpoints: Endpoints, headers: list[tuple[str, bytes]], name: str
) -> None:
    """Allowed or refused, without an error, and only for the route that was decided."""
    token = ("Authorization", b"Bearer " + shared_samples.texts[name].encode())
    answer = plain(endpoints)("GET", GATEWAY, [token, *headers])
    assert answer.status in (204, 401, 403)
    if answer.status == 204:
        uris = [value for key, value in headers if key == "X-Original-URI"]
        assert len(uris) == 1
        assert uris[0].startswith(b"/v1/charges")
        assert name not in ("expired", "verifier")
        assert answer.header("x-gatepass-token") == shared_samples.grants[name].id
        assert all(len(value) < 5_000 for _, value in answer.headers)


@quick
@given(data=st.data(), other=st.booleans())
def test_a_mutated_token_is_never_allowed(
    shared_samples: Samples, endpoints: Endpoints, data: st.DataObject, other: bool
) -> None:
    """At either endpoint, as token or as verifier key."""
    text = mutated_text(shared_samples, data)
    ask = plain(endpoints)
    name, value = ("X-Access-Token", text) if other else ("Authorization", f"Bearer {text}")
    call = [("X-Original-URI", "/v1/charges/1"), ("X-Original-Method", "GET")]
    if text.strip(" ") not in shared_samples.texts.values():
        assert ask("GET", GATEWAY, [(name, value), *call]).status == 401
        question = json.dumps({"token": "x", "permission": "charges:get"}).encode()
        assert ask("POST", VERIFY, [(name, value)], question).status == 401
    key = [("Authorization", "Bearer " + shared_samples.texts["verifier"])]
    question = json.dumps({"token": text, "permission": "charges:get"}).encode()
    answer = ask("POST", VERIFY, key, question)
    assert (answer.status, answer.json["reason"]) == (200, "token_invalid")


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
any_text = st.text(st.characters(), max_size=40)
questions = st.fixed_dictionaries(
    {},
    optional={
        "token": any_text | json_values | st.sampled_from(NAMES),
        "permission": st.sampled_from(["charges:get", "charges:create", "*", ""]) | json_values,
        "method": st.sampled_from(["GET", "POST"]) | any_text | json_values,
        "path": st.sampled_from(["/v1/charges/1", "/v1/charges"]) | any_text | json_values,
        "address": addresses | any_text | json_values,
        "origin": st.sampled_from(["https://shop.example.com"]) | any_text | json_values,
        "referer": any_text | json_values,
        "other": json_values,
    },
)


@quick
@given(question=questions)
def test_every_question_of_a_service_gets_a_documented_answer(
    shared_samples: Samples, endpoints: Endpoints, question: dict[str, Any]
) -> None:
    """200 with a decision, or 422; allowed only with a valid token."""
    if isinstance(question.get("token"), str):
        question["token"] = shared_samples.texts.get(question["token"], question["token"])
    key = [("Authorization", "Bearer " + shared_samples.texts["verifier"])]
    answer = plain(endpoints)("POST", VERIFY, key, json.dumps(question).encode())
    assert answer.status in (200, 422)
    if answer.status == 200 and answer.json["allowed"]:
        assert question["token"] in shared_samples.texts.values()
        assert question.get("permission") or question.get("path")
        assert "other" not in question


@quick
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode), key=st.booleans())
def test_any_bytes_get_a_documented_answer(
    shared_samples: Samples, endpoints: Endpoints, body: bytes, key: bool
) -> None:
    """400 or 422, or 401 without a key."""
    headers = [("Authorization", "Bearer " + shared_samples.texts["verifier"])] if key else []
    answer = plain(endpoints)("POST", VERIFY, headers, body)
    assert answer.status in ((400, 422) if key else (401,))
    assert answer.json["status"] == answer.status
