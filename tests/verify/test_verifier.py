"""Text in, decision out."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass.core.credentials import _ALPHABET
from gatepass.core.grants import CompanyRules, Holder
from gatepass.core.reason import Reason
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import Samples, networks

GET = {"permission": "charges:get"}

#: name of one of the samples' tokens, the question, the reason
TABLE: list[tuple[str | None, dict[str, Any], str]] = [
    ("good", GET, "allowed"),
    ("good", {"permission": "charges:create"}, "allowed"),
    ("good", {"method": "GET", "path": "/v1/charges/1"}, "allowed"),
    ("good", {"method": "HEAD", "path": "/v1/charges/1?x=../.."}, "allowed"),
    ("good", {**GET, "method": "POST", "path": "/v1/charges"}, "allowed"),
    ("good", {**GET, "address": "not an address"}, "allowed"),
    (None, GET, "token_missing"),
    ("empty", GET, "token_missing"),
    (None, {}, "token_missing"),
    ("unknown", GET, "token_invalid"),
    ("wrong secret", GET, "token_invalid"),
    ("bad checksum", GET, "token_invalid"),
    ("invitation", GET, "token_invalid"),
    ("reset", GET, "token_invalid"),
    ("verifier", GET, "token_invalid"),
    ("ended verifier", GET, "token_invalid"),
    ("deactivated", GET, "token_deactivated"),
    ("expired", GET, "token_expired"),
    ("gone", GET, "account_deactivated"),
    ("closed", GET, "account_deactivated"),
    ("listed", GET, "company_address_not_allowed"),
    ("listed", {**GET, "address": "203.0.113.255"}, "allowed"),
    ("listed", {**GET, "address": "::ffff:203.0.113.1"}, "allowed"),
    ("listed", {**GET, "address": "203.0.114.0"}, "company_address_not_allowed"),
    ("listed", {**GET, "address": " 203.0.113.1"}, "company_address_not_allowed"),
    ("listed", {**GET, "address": "203.0.113.1" * 100_000}, "company_address_not_allowed"),
    ("networked", GET, "address_not_allowed"),
    ("networked", {**GET, "address": "198.51.100.7"}, "allowed"),
    ("networked", {**GET, "address": "198.51.101.7"}, "address_not_allowed"),
    ("ui", GET, "origin_missing"),
    ("ui", {**GET, "origin": "https://shop.example.com"}, "allowed"),
    ("ui", {**GET, "referer": "https://shop.example.com/basket?x"}, "allowed"),
    ("ui", {**GET, "origin": "https://evil.example"}, "origin_not_allowed"),
    ("ui", {**GET, "origin": ""}, "origin_not_allowed"),
    ("ui", {**GET, "origin": "null"}, "origin_not_allowed"),
    (
        "ui",
        {**GET, "origin": "https://evil.example", "referer": "https://shop.example.com/"},
        "origin_not_allowed",
    ),
    ("good", {**GET, "origin": "https://evil.example"}, "allowed"),
    ("login", {**GET, "origin": "https://evil.example"}, "allowed"),
    ("good", {"method": "GET", "path": "/v1//charges"}, "path_ambiguous"),
    ("good", {"method": "get", "path": "/v1/charges/1"}, "route_unknown"),
    ("good", {**GET, "method": "GET", "path": "/v2"}, "route_unknown"),
    ("good", {"method": "", "path": ""}, "path_ambiguous"),
    ("good", {"permission": "refunds:create"}, "permission_missing"),
    ("good", {**GET, "method": "POST", "path": "/v1/charges/1/refund"}, "permission_missing"),
    (
        "good",
        {"permission": "refunds:create", "method": "GET", "path": "/v1/charges/1"},
        "permission_missing",
    ),
    ("good", {}, "permission_missing"),
    ("login", {}, "permission_missing"),
    ("admin login", {}, "permission_missing"),
    ("admin login", {"permission": "*"}, "permission_missing"),
    ("admin login", {"permission": "anything:whatever"}, "allowed"),
    ("admin login", {"permission": "charges"}, "permission_missing"),
    ("poor", GET, "permission_missing"),
    ("wide", GET, "allowed"),
    ("wide", {"permission": "refunds:create"}, "permission_missing"),
    ("login", GET, "allowed"),
    ("login", {"permission": "refunds:create"}, "permission_missing"),
]


@pytest.mark.parametrize(("name", "asked", "reason"), TABLE)
def test_check(
    samples: Samples, verifier: Verifier, name: str | None, asked: dict[str, Any], reason: str
) -> None:
    """Every reason there is, from text to decision, read and cached."""
    text = None if name is None else samples.texts[name]
    for _ in range(2):
        decision = verifier.check(text, **asked)
        assert decision.reason == reason
        assert decision.allowed == (reason == "allowed")
        matched = reason not in ("token_missing", "token_invalid")
        assert (decision.grant is not None) == matched


@pytest.mark.parametrize("half", [{"method": "GET"}, {"path": "/v1/charges/1"}])
def test_method_and_path_go_together(
    samples: Samples, verifier: Verifier, half: dict[str, Any]
) -> None:
    """One without the other is a mistake of the caller's, never "nothing to check"."""
    with pytest.raises(ValueError, match="together"):
        verifier.check(samples.texts["good"], **GET, **half)


def test_facts_of_someone_else_are_none(samples: Samples, verifier: Verifier) -> None:
    """A holder of another company, or none at all, decides for nobody."""
    samples.put(Holder("usr_dev", "cmp_listed", True, "developer"))
    assert verifier.check(samples.texts["good"], **GET).reason is Reason.account_deactivated
    samples.put(
        samples.token("orphan", user="usr_nowhere"), samples.token("stray", company="cmp_no")
    )
    assert verifier.check(samples.texts["orphan"], **GET).reason is Reason.account_deactivated
    assert verifier.check(samples.texts["stray"], **GET).reason is Reason.account_deactivated


def test_a_grant_without_company_or_user_is_nobodys(samples: Samples, verifier: Verifier) -> None:
    """Empty ids aren't looked up, and stand for nobody."""
    samples.put(
        samples.token("nobody's", user="", company=""),
        Holder("", "", True, "developer"),
        CompanyRules("", True, None, {"developer": frozenset({"*"})}),
    )
    assert verifier.check(samples.texts["nobody's"], **GET).reason is Reason.account_deactivated


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("verifier", "allowed"),
        ("ended verifier", "token_deactivated"),
        ("good", "token_invalid"),
        ("login", "token_invalid"),
        ("admin login", "token_invalid"),
        ("unknown", "token_invalid"),
        ("invitation", "token_invalid"),
        ("reset", "token_invalid"),
        ("bad checksum", "token_invalid"),
    ],
)
def test_verifier_key(samples: Samples, verifier: Verifier, name: str, reason: str) -> None:
    """Only a verifier key asks for decisions, and none that was deactivated."""
    assert verifier.verifier_key(samples.texts[name]) == (reason, None)


@pytest.mark.parametrize("absent", [Reason.token_missing, Reason.token_invalid])
def test_a_missing_credential_is_no_verifier_key(verifier: Verifier, absent: Reason) -> None:
    """The reason stays what it was."""
    assert verifier.verifier_key(absent) == (absent, None)
    assert verifier.admit(absent, address=None, origin=None)[0].reason is absent


def test_admission_asks_for_no_permission(samples: Samples, verifier: Verifier) -> None:
    """Rows 1-8 alone: who it is, and whether they may from here."""
    assert verifier.admit(samples.texts["poor"], address=None, origin=None)[0].allowed
    assert verifier.admit(samples.texts["login"], address=None, origin=None)[0].allowed
    refused = {
        "deactivated": "token_deactivated",
        "listed": "company_address_not_allowed",
        "networked": "address_not_allowed",
        "ui": "origin_missing",
        "verifier": "token_invalid",
    }
    for name, reason in refused.items():
        decision, _ = verifier.admit(samples.texts[name], address=None, origin=None)
        assert decision.reason == reason


def test_garbage_for_an_address_is_refused_everywhere(samples: Samples, verifier: Verifier) -> None:
    """A gateway that can't say where a call comes from, whether or not anything is restricted."""
    for name in ("good", "login", "listed", "networked"):
        decision, _ = verifier.judge(samples.texts[name], "charges:get", address_garbage=True)
        assert decision.reason is Reason.address_not_allowed
    decision, _ = verifier.judge(samples.texts["expired"], "charges:get", address_garbage=True)
    assert decision.reason is Reason.token_expired


def test_a_strangers_long_texts_are_not_kept(samples: Samples, verifier: Verifier) -> None:
    """They would fill the memory."""
    for number in range(50):
        verifier.check(samples.texts["good"], **GET, address=f"{number}" + "x" * 100_000)
        verifier.check("gpat_" + "0" * 100_000 + str(number), **GET)
    kept = [*verifier._rows._tokens.recent, *verifier.remembered._decisions.recent]
    assert max(map(len, kept)) <= 64
    assert len(verifier._rows._tokens) == 1


@pytest.mark.parametrize(
    "text",
    ["gpat_" + "ä" * 54, "gpat_" + "٣" * 54, "\ud800" * 59, "gpat_" + "\x00" * 54, " " * 59],
)
def test_text_that_no_token_has_is_invalid(verifier: Verifier, text: str) -> None:
    """Of the right length, in another alphabet."""
    assert verifier.check(text, **GET).reason is Reason.token_invalid


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_token_that_differs_is_another_token(
    samples: Samples, verifier: Verifier, data: st.DataObject
) -> None:
    """One character exchanged, dropped, doubled or added, anywhere: never allowed, though the real
    one is cached."""
    text = samples.texts["good"]
    assert verifier.check(text, **GET).allowed
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(_ALPHABET + "_ -.\n\x00ä") | st.characters())
    for mutated in {
        text[:at] + other + text[at + 1 :],
        text[:at] + text[at + 1 :],
        text[:at] + other + text[at:],
        text[:at] + text[at].swapcase() + text[at + 1 :],
        text + other,
        other + text,
    } - {text}:
        assert verifier.check(mutated, **GET).reason is Reason.token_invalid


def test_the_companys_list_comes_before_the_tokens(samples: Samples, verifier: Verifier) -> None:
    """The order of the rules: the first refusal is the reason."""
    both = samples.token(
        "both", user="usr_listed", company="cmp_listed", networks=networks("198.51.100.0/24")
    )
    samples.put(both)
    for address, reason in (
        ("198.51.100.1", "company_address_not_allowed"),
        ("203.0.113.1", "address_not_allowed"),
    ):
        assert verifier.check(samples.texts["both"], **GET, address=address).reason == reason
