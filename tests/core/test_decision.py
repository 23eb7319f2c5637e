"""The decision, held against the vectors and against a slow table of its rows."""

import ipaddress
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepass.core.credentials import Credential, make, parse
from gatepass.core.decision import (
    STATUS,
    Call,
    Decision,
    Reason,
    admin_key_refusal,
    admit,
    admit_verifier,
    decide,
    decide_within,
    held,
    introspect,
)
from gatepass.core.grants import CompanyRules, Grant, Holder, Rehearsal, Trial, external_role
from gatepass.core.networks import Networks, parse_address, parse_network
from gatepass.core.permissions import NOT_FOR_TOKENS, resource_wildcard
from gatepass.core.routes import CatalogueRoute, Routes
from tests.support.vector_files import cases, load

VECTORS = load("decision.yaml")
ROUTES = Routes(VECTORS["routes"].items())
Facts = tuple[Grant | None, Holder | None, CompanyRules | None]


def networks(texts: list[str] | None) -> Networks | None:
    return None if texts is None else Networks.of(map(parse_network, texts))


def facts(given: dict[str, Any]) -> tuple[Facts, int]:
    """The vectors' facts with the changes of one case."""
    stored = deepcopy(VECTORS["facts"])
    for name, change in given.items():
        stored[name] = None if change is None else stored[name] | change
    grant, holder, company = stored["grant"], stored["holder"], stored["company"]
    if grant is not None:
        grant["digest"] = bytes.fromhex(grant.pop("secret_sha256"))
        grant["permissions"] = frozenset(grant["permissions"])
        grant["networks"] = networks(grant["networks"])
        grant["domains"] = tuple(grant["domains"])
        rehearsal = grant.get("rehearsal")
        grant["rehearsal"] = None if rehearsal is None else Rehearsal(*rehearsal)
    if company is not None:
        company["allowlist"] = networks(company["allowlist"])
        if company["trial"] is not None:
            trial = company["trial"]
            company["trial"] = Trial(
                Networks.of(map(parse_network, trial["networks"])), trial["until"]
            )
        company["roles"] = {role: frozenset(may) for role, may in company["roles"].items()}
    return (
        grant and Grant(**grant),
        holder and Holder(**holder),
        company and CompanyRules(**company),
    ), stored["now"]


def call(said: dict[str, Any]) -> Call:
    """What the asker says, read as an endpoint reads it."""
    token = said.get("token")
    text = VECTORS["tokens"].get(token, token)
    return Call(
        credential=(parse(text) or Reason.token_invalid) if text else Reason.token_missing,
        permission=said.get("permission"),
        route=ROUTES.match(said["method"], said["path"]) if "path" in said else None,
        address=parse_address(said.get("address")),
        address_garbage=said.get("garbage", False),
        origin=said.get("origin"),
        referer=said.get("referer"),
    )


@pytest.mark.parametrize("case", cases("decision.yaml", "cases"))
def test_cases(case: dict[str, Any]) -> None:
    """One reason for one call; a token's facts are told only once its secret matched."""
    stored, now = facts(case.get("given", {}))
    decision = decide(*stored, call(case["call"]), now)
    assert decision.reason == case["reason"]
    assert decision.allowed == (case["reason"] == "allowed")
    assert decision.status == VECTORS["status"][case["reason"]]
    known = case["reason"] not in ("token_missing", "token_invalid")
    assert decision.grant is (stored[0] if known else None)
    assert decision.decoy is (stored[0] if case.get("decoy") else None)
    if "effective" in case:
        assert decision.effective == tuple(case["effective"]) == held(*stored, now)
    if not known:
        assert decision.effective == ()


@pytest.mark.parametrize("case", cases("decision.yaml", "cases"))
def test_admission_ends_before_routes_and_permissions(case: dict[str, Any]) -> None:
    """``admit`` answers as ``decide`` does, but for the last two checks."""
    stored, now = facts(case.get("given", {}))
    if case["shows"] in ("an admin key is no token", "a portal session is no token"):
        # Only ``admit`` accepts one.
        assert admit(*stored, call(case["call"]), now).allowed
        return
    last = ("path_ambiguous", "route_unknown", "permission_missing")
    expected = "allowed" if case["reason"] in last else case["reason"]
    decision = admit(*stored, call(case["call"]), now)
    assert decision.reason == expected
    assert decision.effective == decide(*stored, call(case["call"]), now).effective
    assert introspect(None, *stored, call(case["call"]), now).effective == decision.effective
    assert decision.decoy is (stored[0] if case.get("decoy") else None)


def test_a_decoy_is_reported_to_its_company_for_every_asker() -> None:
    """A limited verifier key can't tell it from an unknown token; its company is told."""
    (grant, holder, company), now = facts({"grant": {"kind": "decoy"}})
    asked = call({"token": "good", "permission": "charges:create"})
    decision = decide_within(frozenset(("cmp_2",)), grant, holder, company, asked, now)
    assert (decision.reason, decision.grant, decision.decoy) == ("token_invalid", None, grant)
    (other, *_), _ = facts({})
    decision = decide_within(frozenset(("cmp_2",)), other, holder, company, asked, now)
    assert (decision.reason, decision.decoy) == ("token_invalid", None)


def test_every_reason_has_a_case_and_a_status() -> None:
    """The vectors cover all reasons, and agree with the table of statuses."""
    assert {case["reason"] for case in VECTORS["cases"]} == set(Reason)
    assert {str(reason): status for reason, status in STATUS.items()} == VECTORS["status"]


@pytest.mark.parametrize(
    ("said", "needed"),
    [
        ({}, ()),
        ({"permission": "charges:get"}, ("charges:get",)),
        ({"method": "POST", "path": "/v1/charges"}, ("charges:create",)),
        (
            {"permission": "charges:get", "method": "POST", "path": "/v1/charges"},
            ("charges:get", "charges:create"),
        ),
        (
            {"permission": "charges:create", "method": "POST", "path": "/v1/charges"},
            ("charges:create",),
        ),
        ({"permission": "charges:get", "method": "PUT", "path": "/x"}, ("charges:get",)),
        ({"method": "PUT", "path": "/x"}, ()),
    ],
)
def test_what_a_call_needed(said: dict[str, Any], needed: tuple[str, ...]) -> None:
    """The permission asked for and the route's, each once."""
    stored, now = facts({})
    assert decide(*stored, call({"token": "good", **said}), now).needed == needed


@pytest.mark.parametrize("claimed", list(Reason))
def test_no_reason_in_place_of_a_credential_is_allowed(claimed: Reason) -> None:
    """A call without credential is denied, whatever stands in its place."""
    stored, now = facts({})
    decision = decide(*stored, Call(claimed, permission="charges:create"), now)
    expected = claimed if claimed is Reason.token_missing else Reason.token_invalid
    assert decision.reason is expected
    assert admit(*stored, Call(claimed), now).reason is expected
    assert admit_verifier(stored[0], claimed) is expected


@pytest.mark.parametrize("claimed", list(Reason))
def test_no_reason_in_place_of_a_route_is_allowed(claimed: Reason) -> None:
    """A route that didn't match is denied, whatever stands in its place."""
    stored, now = facts({})
    credential = call({"token": "good"}).credential
    decision = decide(*stored, Call(credential, "charges:create", claimed), now)
    ambiguous = claimed is Reason.path_ambiguous
    assert decision.reason is (claimed if ambiguous else Reason.route_unknown)


def verifier_key(**changes: Any) -> tuple[Grant, Credential]:
    new = make(changes.pop("prefix", "gpvk"))
    stored = Grant(
        new.id, new.digest, "verifier", "", "", "edge", frozenset(), None, (), None, False
    )
    credential = parse(new.text)
    assert credential is not None
    return msgspec.structs.replace(stored, **changes), credential


def test_a_verifier_key_is_admitted() -> None:
    """A known, active verifier key with the right secret may ask."""
    assert admit_verifier(*verifier_key()) is Reason.allowed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"deactivated": True}, "token_deactivated"),
        ({"digest": bytes(32)}, "token_invalid"),
        ({"digest": bytes(32), "deactivated": True}, "token_invalid"),
        ({"kind": "api"}, "token_invalid"),
        ({"kind": "login"}, "token_invalid"),
        ({"prefix": "gpat"}, "token_invalid"),
        ({"prefix": "gplt"}, "token_invalid"),
    ],
)
def test_what_is_no_verifier_key(changes: dict[str, Any], reason: str) -> None:
    """Deactivated keys, wrong secrets and credentials of other kinds may not ask."""
    assert admit_verifier(*verifier_key(**changes)) == reason


def test_an_unknown_or_malformed_verifier_key() -> None:
    """No grant, and no readable credential."""
    grant, credential = verifier_key()
    assert admit_verifier(None, credential) is Reason.token_invalid
    assert admit_verifier(grant, None) is Reason.token_invalid


def test_decisions_show_no_digest() -> None:
    """A decision in a log line shows ids and the reason alone."""
    stored, now = facts({})
    decision = decide(*stored, call({"token": "good", "permission": "charges:create"}), now)
    assert "digest" not in repr(decision)
    assert "653bb124" not in repr(decision)
    assert repr(parse(VECTORS["tokens"]["good"]).digest) not in repr(decision)  # type: ignore[union-attr]  # it is good


# The oracle: every row of the table as "what must hold", on facts that are spelled out.

ADDRESSES = ["10.0.0.1", "203.0.113.9", "2001:db8::1"]
LISTS = [None, [], ["10.0.0.0/8"], ["203.0.113.9", "2001:db8::/32"], ["::/1"]]
ROLES = {
    "developer": ["charges:create", "charges:get"],
    "reader": ["charges:get"],
    "cashier": ["charges:*", "users:get"],
    "admin": ["*"],
}
CHOSEN = ["charges:get", "charges:create", "charges:*", "users:get"]
ASKED = [None, *CHOSEN, "users:*", "users:manage", "*", "rubbish", ""]
MATCHED = [None, "charges:get", "charges:create", Reason.path_ambiguous, Reason.route_unknown]
ORIGINS = {
    None: None,
    "https://shop.example.com": "shop.example.com",
    "https://a.example.org": "*.example.org",
    "https://evil.example": "",
    "null": None,
    "": None,
}
KNOWN = make("gpat"), make("gplt"), make("gpvk")
STRANGER = make("gpat")


def listed(entries: list[str] | None, address: str | None) -> bool:
    if entries is None:
        return True
    return address is not None and any(
        ipaddress.ip_address(address) in ipaddress.ip_network(entry) for entry in entries
    )


def counting(say: Callable[[Any], Any]) -> list[str] | None:
    """The allowlist that counts at 1,000: one on trial until then doesn't any more."""
    trial = say("trial")
    return say("allowlist") if trial is None or trial[1] <= 1_000 else trial[0]


def origin_holds(say: Callable[[Any], Any], *, missing: bool) -> bool:
    if say("kind") != "ui":
        return True
    if missing:
        return say("origin") is not None or say("referer") is not None
    origin = say("origin")
    if origin is None:
        origin = say("referer") and say("referer").removesuffix("/pay")
    entry = ORIGINS[origin]
    return entry is not None and (not say("domains") or entry in say("domains"))


def holds(may: list[str], name: str) -> bool:
    resource, colon, _ = name.partition(":")
    return bool(colon) and bool(set(may) & {name, f"{resource}:*", "*"})


def granted(say: Callable[[Any], Any]) -> bool:
    wanted = [name for name in (say("asked"), say("matched")) if name is not None]
    role = ROLES.get(say("role"), [])
    chosen = ["*"] if say("kind") == "login" else say("chosen")
    excepted = [name for name, until in (say("excepted") or {}).items() if until > 1_000]
    return bool(wanted) and all(
        holds(role, name)
        and (holds(chosen, name) or (name in excepted and name not in NOT_FOR_TOKENS))
        for name in wanted
    )


TABLE: list[tuple[str, Callable[[Callable[[Any], Any]], bool]]] = [
    ("token_missing", lambda say: say("presented") != "nothing"),
    (
        "token_invalid",
        lambda say: (
            say("presented") not in ("rubbish", "stranger")
            and say("stored")
            and (say("prefix"), say("kind")) in [("gpat", "api"), ("gpat", "ui"), ("gplt", "login")]
        ),
    ),
    (
        "token_deactivated",
        lambda say: not say("deactivated") or say("pending") or say("rehearsed") is not None,
    ),
    ("token_pending", lambda say: not say("deactivated") or not say("pending")),
    (
        "token_rehearsed",
        lambda say: not say("deactivated") or say("rehearsed") is None or say("rehearsed") <= 1_000,
    ),
    ("token_expired", lambda say: say("expires_at") is None or say("expires_at") > 1_000),
    ("account_deactivated", lambda say: say("user") == "active" and say("company") == "active"),
    ("address_not_allowed", lambda say: not say("garbage")),
    ("company_address_not_allowed", lambda say: listed(counting(say), say("address"))),
    ("address_not_allowed", lambda say: listed(say("networks"), say("address"))),
    ("origin_missing", lambda say: origin_holds(say, missing=True)),
    ("origin_not_allowed", lambda say: origin_holds(say, missing=False)),
    ("path_ambiguous", lambda say: say("matched") is not Reason.path_ambiguous),
    ("route_unknown", lambda say: say("matched") is not Reason.route_unknown),
    ("permission_missing", granted),
]

worlds = st.fixed_dictionaries(
    {
        "presented": st.sampled_from(["good"] * 8 + ["nothing", "rubbish", "stranger"]),
        "prefix": st.sampled_from(["gpat"] * 4 + ["gplt"] * 2 + ["gpvk"]),
        "kind": st.sampled_from(["api", "ui", "login", "verifier"]),
        "stored": st.sampled_from([True] * 8 + [False]),
        "deactivated": st.sampled_from([False] * 8 + [True] * 3),
        "pending": st.sampled_from([False] * 3 + [True]),
        "rehearsed": st.sampled_from([None, 1_000, 1_001]),
        "expires_at": st.sampled_from([None, 999, 1_000, 1_001, 9_999]),
        "user": st.sampled_from(["active"] * 8 + ["inactive", "unknown", "another"]),
        "company": st.sampled_from(["active"] * 8 + ["inactive", "unknown", "another"]),
        "role": st.sampled_from([*ROLES, "vanished"]),
        "garbage": st.sampled_from([False] * 8 + [True]),
        "allowlist": st.sampled_from([None] * 4 + LISTS),
        "trial": st.sampled_from(
            [None] * 4 + [(some, until) for some in LISTS if some for until in (1_000, 1_001)]
        ),
        "networks": st.sampled_from([None] * 4 + LISTS),
        "address": st.sampled_from([None, *ADDRESSES]),
        "domains": st.sampled_from([[], ["shop.example.com"], ["*.example.org", "x.example"]]),
        "origin": st.sampled_from(list(ORIGINS)),
        "referer": st.sampled_from([None, "https://shop.example.com/pay", "https://evil.example"]),
        "chosen": st.lists(st.sampled_from(CHOSEN), max_size=3, unique=True),
        "excepted": st.none()
        | st.dictionaries(
            st.sampled_from(["charges:get", "charges:create", "users:get", "users:manage"]),
            st.sampled_from([999, 1_000, 1_001]),
            max_size=2,
        ),
        "asked": st.sampled_from(ASKED),
        "matched": st.sampled_from(MATCHED),
    }
)


def oracle(world: dict[str, Any]) -> str:
    """The first row of the table that doesn't hold."""
    return next((reason for reason, row in TABLE if not row(world.__getitem__)), "allowed")


def build(world: dict[str, Any]) -> tuple[Facts, Call]:
    """The same world as the decision sees it."""
    own = next(new for new in KNOWN if new.id.startswith(world["prefix"]))
    stored = Grant(
        id=own.id,
        digest=own.digest,
        kind=world["kind"],
        company="cmp_1",
        user="usr_1",
        label="",
        permissions=frozenset(world["chosen"]),
        networks=networks(world["networks"]),
        domains=tuple(world["domains"]),
        expires_at=world["expires_at"],
        deactivated=world["deactivated"],
        rehearsal=None if world["rehearsed"] is None else Rehearsal(0, world["rehearsed"], 100),
        pending=world["pending"],
        exceptions=world["excepted"],
    )
    holder = Holder(
        id="usr_2" if world["user"] == "another" else "usr_1",
        company="cmp_1",
        active=world["user"] != "inactive",
        role=world["role"],
    )
    company = CompanyRules(
        id="cmp_2" if world["company"] == "another" else "cmp_1",
        active=world["company"] != "inactive",
        allowlist=networks(world["allowlist"]),
        roles={role: frozenset(may) for role, may in ROLES.items()},
        trial=world["trial"]
        and Trial(Networks.of(map(parse_network, world["trial"][0])), world["trial"][1]),
    )
    presented: dict[str, Credential | Reason | None] = {
        "good": parse(own.text),
        "stranger": parse(STRANGER.text),
        "rubbish": Reason.token_invalid,
        "nothing": Reason.token_missing,
    }
    credential = presented[world["presented"]]
    assert credential is not None
    attempted = Call(
        credential,
        permission=world["asked"],
        route=CatalogueRoute("GET /x", "GET", "/x", matched)
        if type(matched := world["matched"]) is str
        else matched,
        address=parse_address(world["address"]),
        address_garbage=world["garbage"],
        origin=world["origin"],
        referer=world["referer"],
    )
    return (
        stored if world["stored"] else None,
        None if world["user"] == "unknown" else holder,
        None if world["company"] == "unknown" else company,
    ), attempted


@settings(max_examples=1_000)
@given(worlds)
def test_the_decision_is_the_tables(world: dict[str, Any]) -> None:
    """Whatever the facts, the reason is the first row that doesn't hold."""
    stored, attempted = build(world)
    decision = decide(*stored, attempted, 1_000)
    assert decision.reason == oracle(world)
    assert isinstance(decision, Decision)
    assert not decision.allowed or set(decision.needed) <= {world["asked"], world["matched"]}


@given(worlds)
def test_what_is_allowed_stays_within_both(world: dict[str, Any]) -> None:
    """What a decision says is effective is within the role and, for a token, the choice."""
    stored, attempted = build(world)
    decision = decide(*stored, attempted, 1_000)
    excepted = {name for name, until in (world["excepted"] or {}).items() if until > 1_000}
    for name in decision.effective:
        assert name == "*" or holds(ROLES[world["role"]], name)
        assert world["kind"] == "login" or name in excepted or holds(world["chosen"], name)


@pytest.mark.parametrize("name", sorted(NOT_FOR_TOKENS))
def test_what_no_token_can_do(name: str) -> None:
    """Stored, or under a wildcard of its own or of its role; a sign-in can."""
    wildcard = resource_wildcard(name)
    for kind, allowed in (("api", False), ("login", True)):
        made = make("gplt" if kind == "login" else "gpat")
        for chosen in ({name}, {wildcard}):
            for role in ({name}, {wildcard}, {"*"}):
                grant = Grant(
                    made.id, made.digest, kind, "cmp_1", "usr_1", "", frozenset(chosen), None, (),
                    None, False, exceptions={name: 1},
                )  # fmt: skip
                rules = CompanyRules("cmp_1", True, None, {"role": frozenset(role)})
                holder = Holder("usr_1", "cmp_1", True, "role")
                decision = decide(
                    grant, holder, rules, Call(Credential(made.id, made.digest), name), 0
                )
                assert decision.allowed is allowed, (kind, chosen, role)
                assert allowed or name not in decision.effective


@pytest.mark.parametrize(
    ("change", "address", "reason"),
    [
        ({}, None, None),
        ({"deactivated": True, "expires_at": 5}, None, "token_deactivated"),
        ({"expires_at": 5, "company": "com_1"}, None, "token_expired"),
        ({"expires_at": 11}, None, None),
        ({"company": "com_1"}, "10.0.0.1", None),
        ({"company": "com_1"}, "192.0.2.1", "company_address_not_allowed"),
        ({"company": "com_1"}, None, "company_address_not_allowed"),
        ({"company": "com_2"}, "10.0.0.1", "account_deactivated"),
        ({"networks": ("10.0.0.0/24",)}, "10.0.0.1", None),
        ({"networks": ("10.0.0.0/24",)}, "10.0.1.1", "address_not_allowed"),
        ({"networks": ("10.0.0.0/24",)}, None, "address_not_allowed"),
        ({"networks": ()}, "10.0.0.1", "address_not_allowed"),
    ],
)
def test_an_admin_key_passes_the_checks_before_permissions(
    change: dict[str, Any], address: str | None, reason: str | None
) -> None:
    change = dict(change)
    networks = change.pop("networks", None)
    listed = None if networks is None else Networks.of(map(parse_network, networks))
    areas = frozenset({"companies"})
    plain = Grant("gpak_1", b"", "admin", "", "", "", areas, listed, (), None, False)
    grant = msgspec.structs.replace(plain, **change)
    allowlist = Networks.of([parse_network("10.0.0.0/8")])
    company = CompanyRules("com_1", True, allowlist, {}) if grant.company else None
    packed = None if address is None else parse_address(address)
    assert admin_key_refusal(grant, company, packed, 10) == reason
    garbage = admin_key_refusal(grant, company, packed, 10, address_garbage=True)
    assert garbage is not None
    if grant.company == "com_1":
        for other in (None, CompanyRules("com_1", False, None, {})):
            refused = admin_key_refusal(grant, other, packed, 10)
            assert refused in ("account_deactivated", "token_expired")


PORTAL = make("gpps")


def portal_session(**change: Any) -> Grant:
    origins = ("https://shop.example", "http://localhost:3000")
    permissions = frozenset({"charges:*", "charges:get", "users:get"})
    grant = Grant(
        PORTAL.id, PORTAL.digest, "portal", "com_1", "ext_1", "Shop", permissions, None, origins,
        1_000, False,
    )  # fmt: skip
    return msgspec.structs.replace(grant, **change)


@pytest.mark.parametrize(
    ("change", "sent", "reason"),
    [
        ({}, {"origin": "https://shop.example"}, "allowed"),
        ({}, {"origin": "https://SHOP.example.:443"}, "allowed"),
        ({}, {"origin": "http://localhost:3000"}, "allowed"),
        ({}, {"referer": "https://shop.example/tokens?x=1"}, "allowed"),
        ({}, {}, "origin_missing"),
        ({}, {"origin": ""}, "origin_not_allowed"),
        ({}, {"origin": "null"}, "origin_not_allowed"),
        ({}, {"origin": "https://localhost:3000"}, "origin_not_allowed"),
        ({}, {"origin": "http://shop.example"}, "origin_not_allowed"),
        ({}, {"origin": "https://a.shop.example"}, "origin_not_allowed"),
        ({}, {"origin": "x", "referer": "https://shop.example/"}, "origin_not_allowed"),
        ({}, {"referer": "shop"}, "origin_not_allowed"),
        # No origin is none, not any.
        ({"domains": ()}, {"origin": "https://shop.example"}, "origin_not_allowed"),
        ({"deactivated": True}, {}, "token_deactivated"),
        ({"expires_at": 10}, {}, "token_expired"),
        ({"user": "ext_2"}, {}, "account_deactivated"),
        ({"company": "com_2"}, {}, "account_deactivated"),
        ({"digest": bytes(32)}, {"origin": "https://shop.example"}, "token_invalid"),
    ],
)
def test_a_portal_session_is_admitted_on_its_own_pages(
    change: dict[str, Any], sent: dict[str, Any], reason: str
) -> None:
    holder = Holder("ext_1", "com_1", True, external_role("clerk"), "external", "A", "7")
    roles = {
        "clerk": frozenset({"charges:*"}),
        external_role("clerk"): frozenset({"charges:get", "charges:create"}),
    }
    company = CompanyRules("com_1", True, None, roles)
    call = Call(Credential(PORTAL.id, PORTAL.digest), **sent)
    grant = portal_session(**change)
    decision = admit(grant, holder, company, call, 10)
    assert decision.reason == reason
    asked = msgspec.structs.replace(call, permission="charges:get")
    assert decide(grant, holder, company, asked, 10).reason == "token_invalid"
    if reason == "allowed":
        # Whole resources, too: its owner's tokens have them.
        assert held(grant, holder, company, 10) == ("charges:*", "charges:get")
        inactive = msgspec.structs.replace(holder, active=False)
        assert admit(grant, inactive, company, call, 10).reason == "account_deactivated"
        listed = Networks.of([parse_network("10.0.0.0/8")])
        limited = msgspec.structs.replace(company, allowlist=listed)
        refused = admit(grant, holder, limited, call, 10)
        assert refused.reason == "company_address_not_allowed"
