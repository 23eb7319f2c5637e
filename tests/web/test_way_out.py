"""Every refusal says what was needed, from which address, and where it is explained.

``help`` must open: it names the call as the registry lists it once it is counted.
"""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gatepass.core.credentials import ID_LENGTH
from gatepass.embed import open_verifier
from gatepass.embed.gate import RouteGate
from gatepass.embed.refusal import Refusal
from gatepass.registry.actor import Actor
from gatepass.registry.directory import verifier_keys
from gatepass.verify.freshness import SharedMap
from gatepass.verify.spools import by_kind, spools
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier
from tests.support.apps.installation import CATALOGUE, Installation
from tests.support.apps.problems import reasons
from tests.support.grants.grant_fixtures import header_lines
from tests.web.api.tokens.test_observed_calls import fold
from tests.web.test_imported_keys import TEXT, id_of, imported

CHARGE = {"method": "GET", "path": "/v1/charges/ch_1"}
REFUND = {"permission": "refunds:get"}

#: Calls of a token that holds charges:get alone, from 203.0.113.0/24 and from anywhere by IPv6.
#: What they need, and the reason.
REFUSED: list[tuple[dict[str, Any], list[str], str]] = [
    (REFUND | {"address": "203.0.113.9"}, ["refunds:get"], "permission_missing"),
    (REFUND | {"address": "2001:DB8:0::1"}, ["refunds:get"], "permission_missing"),
    (CHARGE | REFUND | {"address": "203.0.113.9"}, ["refunds:get", "charges:get"],
     "permission_missing"),
    ({"method": "HEAD", "path": "/v1/refunds/re_1?a=b", "address": "203.0.113.9"},
     ["refunds:get"], "permission_missing"),
    (REFUND | {"address": "203.0.113.9", "origin": "https://A.com:443"}, ["refunds:get"],
     "permission_missing"),
    (REFUND | {"address": "203.0.113.9", "referer": "https://b.com/page?x=1"}, ["refunds:get"],
     "permission_missing"),
    (CHARGE, ["charges:get"], "address_not_allowed"),
    (CHARGE | {"address": "198.51.100.9"}, ["charges:get"], "address_not_allowed"),
    (CHARGE | {"address": "::ffff:198.51.100.8"}, ["charges:get"], "address_not_allowed"),
    ({"method": "GET", "path": "/nowhere", "address": "203.0.113.9"}, [], "route_unknown"),
    ({"method": "GET", "path": "/v1/../x", "address": "203.0.113.9"} | REFUND, ["refunds:get"],
     "path_ambiguous"),
]  # fmt: skip
#: Calls that are kept as one of those, by its place.
SAME: list[tuple[dict[str, Any], int]] = [
    (REFUND | {"address": "203.0.113.9", "origin": "null"}, 0),
    (REFUND | {"address": "203.0.113.9", "origin": "x" * 300}, 0),
    (REFUND | {"address": "203.0.113.9", "origin": "https://a.com"}, 4),
    (CHARGE | {"address": "?"}, 6),
]


@pytest.fixture
def token(any_installation: Installation) -> str:
    return any_installation.access_token(
        "charges:get", networks=["203.0.113.0/24", "2001:db8::/32"]
    )


def listed(installation: Installation, token: str) -> dict[str, Any]:
    """The refused calls of a token, by the address that explains them."""
    fold(installation)
    path = f"/v1/access-tokens/{token[:ID_LENGTH]}/calls"
    items = installation.signed_in().get(path, params={"outcome": "refused"}).json()["items"]
    url = installation.node.settings.public_url
    return {f"{url}/decisions/{item['decision']}": item for item in items}


def from_afar(client: httpx.Client, path: str, address: str, **headers: str) -> httpx.Response:
    """Ask through a proxy."""
    return client.get(path, headers={"X-Forwarded-For": address, **headers})


def test_help_of_verify_names_the_call(any_installation: Installation, token: str) -> None:
    client = any_installation.client(any_installation.verifier_key())
    calls = [call for call, _, _ in REFUSED] + [call for call, _ in SAME]
    body = {"calls": [{"token": token, **call} for call in calls]}
    # The second time they are remembered.
    for _ in range(2):
        answers = client.post("/v1/verify/batch", json=body).json()["decisions"]
        assert [(answer["needed"], answer["reason"]) for answer in answers[: len(REFUSED)]] == [
            case[1:] for case in REFUSED
        ]
        helps = [answer["help"] for answer in answers]
        assert helps[len(REFUSED) :] == [helps[at] for _, at in SAME]
    found = listed(any_installation, token)
    assert found.keys() == set(helps)
    assert len(found) == len(REFUSED)
    for (_, needed, reason), help in zip(REFUSED, helps, strict=False):
        assert (found[help]["reason"], found[help]["permission"]) == (reason, (needed or [None])[0])


def test_help_of_a_gateway_names_the_call(installation: Installation) -> None:
    token = installation.access_token("charges:get", networks=["203.0.113.0/24"])
    client, helps = installation.client(token), set()
    usual = {"X-Original-URI": "/v1/refunds/1", "X-Original-Method": "GET"}
    cases: list[tuple[str, dict[str, str], str]] = [
        ("203.0.113.9", {}, "permission_missing"),
        ("203.0.113.9", {"X-Original-Method": "HEAD", "Origin": "https://a.com"},
         "permission_missing"),
        ("203.0.113.9:80, 127.0.0.1", {"Referer": "https://b.com/x"}, "permission_missing"),
        ("2001:db8::1", {}, "address_not_allowed"),
        ("?", {}, "address_not_allowed"),
        ("203.0.113.9", {"X-Original-URI": "/nowhere"}, "route_unknown"),
    ]  # fmt: skip
    for address, headers, reason in cases:
        answer = from_afar(client, "/authz/nginx", address, **usual | headers)
        assert answer.headers["x-gatepass-reason"] == reason
        helps.add(answer.headers["x-gatepass-help"])
    assert len(helps) == len(cases)
    assert listed(installation, token).keys() == helps
    # A header of a client is no answer of ours.
    asked = from_afar(installation.client(), "/authz/nginx", "203.0.113.9", **usual)
    assert "x-gatepass-help" not in asked.headers


def test_help_of_a_guard_names_the_call(installation: Installation, tmp_path: Path) -> None:
    """On the machine's grant file, where it is known by what the node wrote beside it."""
    token = installation.access_token("charges:get", networks=["203.0.113.0/24"])
    file = tmp_path / "catalogue.yaml"
    file.write_text(CATALOGUE)
    verifier = open_verifier(installation.node.file.path)
    gate = RouteGate(verifier, catalogue=file)
    helps = set()
    for method, path, peer, origin, (needed, reason) in (
        ("HEAD", "/v1/refunds/1", "203.0.113.9", {}, (["refunds:get"], "permission_missing")),
        ("GET", "/v1/charges/1", "2001:db8::1", {}, (["charges:get"], "address_not_allowed")),
        ("GET", "/v1/charges/1", "unreadable", {}, (["charges:get"], "address_not_allowed")),
        ("GET", "/v1/refunds/1", "203.0.113.9", {"referer": "https://b.com/x"},
         (["refunds:get"], "permission_missing")),
        ("GET", "/nowhere", "203.0.113.9", {}, ([], "route_unknown")),
    ):  # fmt: skip
        lines = header_lines([("authorization", f"Bearer {token}"), *origin.items()])
        refused = gate.admit(method, path, lines, peer)
        assert isinstance(refused, Refusal)
        assert (refused.way_out["needed"], refused.reason) == (needed, reason)
        assert refused.way_out["address"] == (None if peer == "unreadable" else peer)
        helps.add(refused.way_out["help"])
    nobody = gate.admit("GET", "/v1/charges/1", header_lines([]), "203.0.113.9")
    assert isinstance(nobody, Refusal)
    assert nobody.way_out == {"needed": ["charges:get"], "address": "203.0.113.9"}
    verifier.close()
    assert len(helps) == 5
    assert listed(installation, token).keys() == helps


def test_help_of_a_follower_names_the_call(installation: Installation, tmp_path: Path) -> None:
    """Its calls are reported to the registry, which makes the ids."""
    token = installation.access_token("charges:get", networks=["203.0.113.0/24", "2001:db8::/32"])
    node, usage = installation.node, Usage(tmp_path / "use")
    verifier = Verifier(node.file, node.clock, node.catalogue.routes, usage=usage)
    helps = {verifier.help(verifier.check(token, **call)) for call, _, _ in REFUSED}
    usage.flush()
    (spool,) = spools(tmp_path / "use")
    batches, calls = by_kind(spool.lines(0))
    report = {"spool": "1-00000000000000ff", "start": 0, "end": spool.size}
    answer = installation.client(installation.verifier_key()).post(
        "/v1/feed/use",
        content=msgspec.json.encode(report | {"batches": batches, "calls": calls}),
    )
    usage.close()
    assert answer.status_code == 200, answer.text
    assert listed(installation, token).keys() == helps


def test_an_operation_says_what_was_needed(any_installation: Installation) -> None:
    """An access token's refusal is counted with the permission, so that ``help`` opens."""
    token = any_installation.access_token("charges:get")
    client = any_installation.client(token)
    refused = from_afar(client, "/v1/users", "2001:DB8::9")
    assert reasons(refused) == (403, "permission_missing")
    problem = refused.json()
    assert (problem["needed"], problem["address"]) == (["users:get"], "2001:db8::9")
    (item,) = (found := listed(any_installation, token)).values()
    assert found.keys() == {problem["help"]}
    assert (item["permission"], item["address"], item["count"]) == ("users:get", "2001:db8::9", 1)
    # No decision with one of the ten reasons: nothing explains it but its sentence.
    body = {"label": "x", "kind": "api", "permissions": ["charges:get"]}
    answer = client.post("/v1/access-tokens", json=body)
    assert reasons(answer) == (403, "signed_in_user_required")
    assert (answer.json()["needed"], answer.json()["address"]) == ([], "127.0.0.1")
    assert "help" not in answer.json()


def test_a_caller_who_isnt_admitted_sees_the_address(any_installation: Installation) -> None:
    token = any_installation.access_token("charges:get", networks=["203.0.113.0/24"])
    refused = from_afar(any_installation.client(token), "/v1/me", "198.51.100.7")
    assert reasons(refused) == (403, "address_not_allowed")
    problem = refused.json()
    assert (problem["needed"], problem["address"]) == ([], "198.51.100.7")
    assert listed(any_installation, token).keys() == {problem["help"]}
    nobody = from_afar(any_installation.client(), "/v1/me", "198.51.100.7")
    assert reasons(nobody) == (401, "token_missing")
    assert nobody.json()["address"] == "198.51.100.7"
    assert "help" not in nobody.json()
    # Unreadable, the server saw none.
    garbled = from_afar(any_installation.client(token), "/v1/me", "?").json()
    assert (garbled["reason"], garbled["address"]) == ("address_not_allowed", None)


def test_who_has_no_help(installation: Installation) -> None:
    """Calls that aren't kept: of sign-ins, decoys, unknown texts, other companies' tokens."""
    carl = installation.of_another_company()
    body = {"label": "theirs", "kind": "api", "permissions": ["charges:get"]}
    theirs = carl.post("/v1/access-tokens", json=body).json()["token"]
    decoy = installation.signed_in().post(
        "/v1/access-tokens", json={"label": "bait", "kind": "decoy"}
    )
    ended = installation.sign_in()
    installation.client(ended).post("/v1/sign-out")
    own = installation.access_token("charges:get")
    key = installation.do(
        verifier_keys.create,
        Actor.command_line(),
        label="one company's",
        companies=[installation.company.id],
    )[1]

    def ask(token: str) -> Any:
        return installation.client(key).post("/v1/verify", json={"token": token, **REFUND}).json()

    wrong = own[:30] + ("a" if own[30] != "a" else "b") + own[31:]
    answers = [ask(text) for text in (theirs, decoy.json()["token"], wrong, "x", ended)]
    assert [answer.pop("needed") for answer in answers] == [["refunds:get"]] * 5
    assert not any("help" in answer for answer in answers)
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert ask(own)["help"] in listed(installation, own)


def test_imported_keys_have_help(installation: Installation) -> None:
    imported(installation, TEXT)
    answer = installation.verify(TEXT, **REFUND)
    assert listed(installation, id_of(TEXT)).keys() == {answer["help"]}


def test_without_a_public_url_there_is_no_help(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a verifier that follows a node of a former release."""
    token = installation.access_token("charges:get")
    monkeypatch.setattr(SharedMap, "public_url", None)
    answer = installation.verify(token, **REFUND)
    assert (answer["reason"], answer["needed"]) == ("permission_missing", ["refunds:get"])
    assert "help" not in answer
