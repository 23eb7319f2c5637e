"""Fixes: each is allowed when asked about again, and the smallest come first."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.decision import Call, Reason, decide
from gatepass.core.grants import CompanyRules, Grant, Holder, external_role
from gatepass.core.networks import Networks, parse_address, parse_network
from gatepass.core.token_policy import TokenPolicy
from gatepass.registry.directory import role_records
from gatepass.registry.directory.role_records import Role
from gatepass.registry.explanations import fixes
from gatepass.registry.explanations.asked import Asked
from gatepass.registry.explanations.fixes import Fix
from gatepass.registry.network_policy.allowlist_entries import Allowlist, Entry

NOW = 1_800_000_000_000
DAY = 86_400_000
CATALOGUE = parse_catalogue("""
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get:    {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
  refunds:create: {title: "Refund", routes: ["POST /v1/refunds"]}
""")
ROLES = {
    **{role.id: role for role in role_records.built_in(CATALOGUE)},
    "till": Role("till", "Till", ("charges:*",), False),
    "reader": Role("reader", "Reader", ("charges:get",), False),
}
ENTRIES = (Entry("203.0.113.0/24", "Office"),)


def asked(**world: Any) -> Asked:
    """A call, refused by what *world* says."""
    given: dict[str, Any] = {
        "kind": "api",
        "permissions": ["charges:get"],
        "networks": [],
        "domains": [],
        "expires_at": None,
        "deactivated": False,
        "active": True,
        "owner_type": "user",
        "role": "till",
        "allowlist": (),
        "permission": "charges:get",
        "method": None,
        "path": None,
        "address": "192.0.2.9",
        "origin": None,
        "sees_list": True,
        "sees_roles": True,
        "policy": TokenPolicy(),
        "replaced": False,
    } | world
    listed, entries = given["networks"], given["allowlist"]
    token: Any = SimpleNamespace(
        networks=listed,
        domains=given["domains"],
        permissions=given["permissions"],
        expires_at=given["expires_at"],
        created_at=NOW - 10 * DAY,
        owner_type=given["owner_type"],
        owner_role=given["role"],
        replaced_by="gpat_1" if given["replaced"] else None,
        rotated_at=NOW - 80 * DAY,
    )
    grant = Grant(
        id="gpat_0000000000000000",
        digest=bytes(32),
        kind=given["kind"],
        company="com_1",
        user="usr_1",
        label="Till",
        permissions=frozenset(given["permissions"]),
        networks=Networks.of(map(parse_network, listed)) if listed else None,
        domains=tuple(given["domains"]),
        expires_at=given["expires_at"],
        deactivated=given["deactivated"],
    )
    permits = {name: role_records.permits(role, CATALOGUE) for name, role in ROLES.items()}
    external = {external_role(name): CATALOGUE.external(its) for name, its in permits.items()}
    role = given["role"]
    if given["owner_type"] == "external":
        role = external_role(role)
    networks = Networks.of(parse_network(each.network) for each in entries) if entries else None
    route = None
    if given["path"] is not None:
        route = CATALOGUE.routes.match(given["method"], given["path"])
    roles = {**permits, role: {**permits, **external}[role]}
    call = Call(
        Reason.token_missing,
        permission=given["permission"],
        route=route,
        address=parse_address(given["address"]),
        origin=given["origin"],
    )
    return Asked(
        token=token,
        grant=grant,
        holder=Holder("usr_1", "com_1", given["active"], role, given["owner_type"]),
        company=CompanyRules("com_1", True, networks, roles),
        call=call,
        at=NOW,
        now=NOW,
        rule=decide,
        change={},
        allowlist=Allowlist(entries, None, entries) if given["sees_list"] else None,
        roles=ROLES if given["sees_roles"] else None,
        policy=given["policy"],
        catalogue=CATALOGUE,
    )


def told(**world: Any) -> list[tuple[str, set[str], str]]:
    return [(fix.fix, set(fix.change), fix.permission) for fix in fixes.find(asked(**world))]


def only(**world: Any) -> Fix:
    (found,) = fixes.find(asked(**world))
    return found


def test_an_allowed_call_needs_none() -> None:
    assert told() == []


def test_one_obstacle_is_one_member() -> None:
    found = only(networks=["203.0.113.0/24"])
    assert (found.fix, found.permission) == ("add_network", "access-tokens:modify")
    assert found.change == {"networks": ["203.0.113.0/24", "192.0.2.9/32"]}
    assert found.summary == "Add 192.0.2.9 to the token's networks."
    assert found.held == {"access-tokens:modify", "charges:get"}
    found = only(networks=["203.0.113.0/24"], address="2001:db8::1")
    assert found.change == {"networks": ["203.0.113.0/24", "2001:db8::1/128"]}
    found = only(kind="ui", domains=["a.example"], origin="https://Shop.Example.com:443")
    assert (found.fix, found.change) == (
        "add_domain",
        {"domains": ["a.example", "shop.example.com"]},
    )
    found = only(permission="charges:create")
    assert (found.fix, found.change) == (
        "add_permission",
        {"permissions": ["charges:get", "charges:create"]},
    )
    assert found.held == {"access-tokens:modify", "charges:get", "charges:create"}
    found = only(expires_at=NOW)
    assert (found.fix, found.change) == ("extend_expiry", {"expires_at": NOW + 10 * DAY})
    found = only(allowlist=ENTRIES)
    assert (found.fix, found.permission) == ("add_allowlist_entry", "company:modify")
    assert found.change == {"allowlist": [*ENTRIES, Entry("192.0.2.9/32")]}
    assert found.held == {"company:modify"}


def test_several_obstacles_are_one_change() -> None:
    found = only(
        networks=["203.0.113.0/24"],
        allowlist=ENTRIES,
        permission="charges:create",
        expires_at=NOW - 1,
    )
    assert set(found.change) == {"expires_at", "allowlist", "networks", "permissions"}
    assert (found.fix, found.permission) == ("extend_expiry", "company:modify")
    assert found.summary.count(" and ") == 3


def test_a_role_is_changed_to_the_smallest_that_suffices() -> None:
    found = fixes.find(asked(role="reader", permissions=["charges:*"], permission="charges:create"))
    assert found[0].change == {"role": "till"}
    assert found[-1].change == {"role": "admin"}
    assert {fix.permission for fix in found} == {"users:manage"}
    assert "charges:*" in found[0].held
    assert (
        told(
            role="reader", permissions=["charges:*"], permission="charges:create", sees_roles=False
        )
        == []
    )


def test_token_and_role_may_both_lack_it() -> None:
    found = fixes.find(asked(role="reader", permission="charges:create"))
    assert set(found[0].change) == {"permissions", "role"}
    assert (found[0].fix, found[0].permission) == ("add_permission", "users:manage")


def test_roles_of_other_owners_hold_nothing_of_the_control_plane() -> None:
    for owner in ("service_account", "external"):
        found = told(
            owner_type=owner,
            role="reader",
            permissions=["charges:create"],
            permission="charges:create",
        )
        assert found[0] == ("change_role", {"role"}, "service-accounts:manage")
        changed = fixes.find(
            asked(
                owner_type=owner,
                role="reader",
                permissions=["charges:create"],
                permission="charges:create",
            )
        )
        assert [fix.change["role"] for fix in changed] == ["till", "customer-service"]


@pytest.mark.parametrize(
    "world",
    [
        {"deactivated": True},
        {"active": False},
        {"permission": None, "method": "GET", "path": "/nowhere"},
        {"permission": None, "method": "GET", "path": "//"},
        # What can't be read.
        {"networks": ["203.0.113.0/24"], "address": "nowhere"},
        {"allowlist": ENTRIES, "address": None},
        {"kind": "ui"},
        {"kind": "ui", "domains": ["a.example"], "origin": "null"},
        # What no token may have.
        {"permission": "users:manage", "role": "admin"},
        {"permission": "unknown:get"},
        {"permission": "users:get", "owner_type": "external"},
        # What the actor may not see.
        {"allowlist": ENTRIES, "sees_list": False},
        # What PATCH would refuse.
        {"kind": "ui", "domains": ["a.example"], "origin": "https://192.0.2.9"},
        {"permission": "charges:create", "policy": TokenPolicy(approval_required=("charges:*",))},
        {"expires_at": NOW, "policy": TokenPolicy(longest_life_days=10)},
    ],
)
def test_what_no_change_allows(world: dict[str, Any]) -> None:
    found = asked(**world)
    assert not found.explain({}).decision.allowed
    assert fixes.find(found) == []


def test_an_expiry_stays_within_what_can_be_saved() -> None:
    policy = TokenPolicy(longest_life_days=12)
    assert only(expires_at=NOW, policy=policy).change == {"expires_at": NOW + 2 * DAY}
    # A replaced token closes 90 days after its replacement.
    assert only(expires_at=NOW, replaced=True).change == {"expires_at": NOW + 10 * DAY}
    assert only(expires_at=NOW + 0, replaced=True, policy=TokenPolicy(longest_life_days=11)).change


def test_local_origins_and_apps_have_entries_of_their_own() -> None:
    def added(origin: str) -> str:
        return only(kind="ui", domains=["a.example"], origin=origin).change["domains"][-1]

    assert added("http://localhost:3000") == "localhost:3000"
    assert added("http://127.0.0.1") == "127.0.0.1:80"
    assert added("capacitor://localhost") == "capacitor://localhost"


worlds = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["api", "ui"]),
        "permissions": st.lists(
            st.sampled_from(["charges:get", "charges:create", "refunds:*"]), min_size=1, unique=True
        ),
        "networks": st.sampled_from([[], ["203.0.113.0/24"], ["2001:db8::/32"]]),
        "domains": st.sampled_from([[], ["a.example"], ["*.example.com"]]),
        "expires_at": st.sampled_from([None, NOW - 1, NOW + 1]),
        "owner_type": st.sampled_from(["user", "service_account", "external"]),
        "role": st.sampled_from([*ROLES]),
        "allowlist": st.sampled_from([(), ENTRIES]),
        "permission": st.sampled_from([None, "charges:create", "refunds:create", "users:get"]),
        "method": st.just("POST"),
        "path": st.sampled_from([None, "/v1/charges", "/v1/refunds", "/nowhere"]),
        "address": st.sampled_from(["192.0.2.9", "203.0.113.9", "2001:db8::1", None]),
        "origin": st.sampled_from([None, "https://b.example", "https://a.example", "null"]),
        "sees_list": st.booleans(),
        "sees_roles": st.booleans(),
    }
)


@settings(max_examples=150)
@given(worlds)
def test_every_fix_is_allowed_when_asked_about(world: dict[str, Any]) -> None:
    found = asked(**world)
    offered = fixes.find(found)
    sizes = [len(fix.change) for fix in offered]
    assert len(offered) <= fixes.MOST
    assert sizes == sorted(sizes)
    for fix in offered:
        assert found.explain(fix.change).decision.allowed
        assert "allowlist" not in fix.change or world["sees_list"]
        assert "role" not in fix.change or world["sees_roles"]
        for member in fix.change:
            # None of it can be left out.
            less: Any = {name: fix.change[name] for name in fix.change if name != member}
            assert not found.explain(less).decision.allowed
