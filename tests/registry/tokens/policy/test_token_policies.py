"""A company's token policy: who may change it, what it binds, and which tokens break it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import insert, select

from gatepass.core.errors import Conflict, Forbidden, InvalidInput
from gatepass.core.token_policy import DAY_MS, NO_POLICY, TokenPolicy, breaches
from gatepass.registry.actor import Actor
from gatepass.registry.storage.tables import access_tokens as table
from gatepass.registry.tokens import provisioning, rotation
from gatepass.registry.tokens.policy import policy_breaches, token_policies
from gatepass.registry.tokens.policy.policy_enforcement import limits_of
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import Closing
from tests.support.database.small_registry import NOW, SmallRegistry, nothing_changes

NOTHING: dict[str, object] = {
    "longest_life_days": None,
    "networks_required": False,
    "unused_days": None,
    "approval_required": [],
    "warn_days": [14, 7, 1],
}
STRICT = {"longest_life_days": 90, "networks_required": True, "unused_days": 30}
KEPT = {"expires_at": NOW + 90 * DAY_MS, "networks": ["10.0.0.0/8"]}


def put(registry: SmallRegistry, actor: Actor, if_match: Any = None, **given: object) -> Any:
    return registry.do(
        token_policies.replace,
        actor,
        NOTHING | given,
        catalogue=registry.catalogue,
        if_match=if_match,
    )


@contextmanager
def wrong(registry: SmallRegistry, *fields: str) -> Iterator[None]:
    """Expect errors of these fields, and no change."""
    with nothing_changes(registry), pytest.raises(InvalidInput) as refusal:
        yield
    assert [field for field, _ in refusal.value.errors] == list(fields)


def test_a_policy_is_stored_audited_and_versioned(registry: SmallRegistry, ada: Actor) -> None:
    none = registry.ask(token_policies.own, ada)
    assert none == NO_POLICY == put(registry, ada)
    assert registry.events(action="token_policy.changed") == []
    given = STRICT | {"approval_required": ["charges:*", "charges:*"], "warn_days": [1, 30, 1]}
    saved = put(registry, ada, [token_policies.etag(none)], **given)
    assert saved == TokenPolicy(90, True, 30, ("charges:*",), (30, 1))
    assert registry.ask(token_policies.own, ada) == saved
    assert registry.ask(token_policies.of, registry.contoso.id) == NO_POLICY
    with nothing_changes(registry), pytest.raises(Conflict) as refusal:
        put(registry, ada, [token_policies.etag(none)])
    assert (refusal.value.reason, refusal.value.current) == ("changed_meanwhile", saved)
    assert put(registry, ada) == NO_POLICY
    _, lifted = registry.events(action="token_policy.changed")
    assert (lifted.company, lifted.subject.id) == (registry.northwind.id, registry.northwind.id)
    assert lifted.after == NOTHING
    assert lifted.before == STRICT | {"approval_required": ["charges:*"], "warn_days": [30, 1]}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"longest_life_days": 0}, "longest_life_days"),
        ({"longest_life_days": 3_651}, "longest_life_days"),
        ({"longest_life_days": True}, "longest_life_days"),
        ({"networks_required": None}, "networks_required"),
        ({"unused_days": 366}, "unused_days"),
        ({"approval_required": None}, "approval_required"),
        ({"approval_required": ["charges:get", "charges:delete"]}, "approval_required.1"),
        ({"approval_required": ["*"]}, "approval_required.0"),
        ({"approval_required": ["roles:manage"]}, "approval_required.0"),
        ({"warn_days": [7, 0]}, "warn_days.1"),
        ({"warn_days": list(range(1, 12))}, "warn_days"),
    ],
)
def test_an_invalid_rule_is_named(
    sqlite_registry: SmallRegistry, given: dict[str, object], field: str
) -> None:
    ada = sqlite_registry.signed_in(sqlite_registry.ada)
    with wrong(sqlite_registry, field):
        put(sqlite_registry, ada, **given)


def test_who_may_read_and_change_it(sqlite_registry: SmallRegistry) -> None:
    registry = sqlite_registry
    ada = registry.signed_in(registry.ada)
    manager, desk = registry.colleague("manager"), registry.colleague("customer-service", "Desk")
    token, _ = registry.token(ada, permissions=["company:*"])
    assert registry.ask(token_policies.own, manager) == NO_POLICY
    assert registry.ask(token_policies.own, registry.with_token(token)) == NO_POLICY
    with pytest.raises(Forbidden):
        registry.ask(token_policies.own, desk)
    for actor, reason in (
        (manager, "permission_missing"),
        (registry.with_token(token), "signed_in_user_required"),
        (registry.admin_key(), "admin_key"),
    ):
        with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
            put(registry, actor, **STRICT)
        assert refusal.value.reason == reason
        with pytest.raises(Forbidden):
            registry.ask(
                policy_breaches.preview, actor, NOTHING | STRICT, catalogue=registry.catalogue
            )


def test_every_way_to_create_a_token_keeps_within_it(sqlite_registry: SmallRegistry) -> None:
    registry = sqlite_registry
    ada = registry.signed_in(registry.ada)
    customer = registry.external_owner()
    put(registry, ada, **STRICT)

    def provided(**more: object) -> AccessToken:
        values = {"label": "Shop", "permissions": ["charges:get"], **more}
        token, _ = registry.do(
            provisioning.create,
            Actor.command_line(),
            registry.northwind.id,
            catalogue=registry.catalogue,
            owner=customer.id,
            kind="api",
            values=values,
        )
        return token

    def created(**more: object) -> AccessToken:
        return registry.token(ada, **more)[0]

    for create in (created, provided):
        with wrong(registry, "expires_at", "networks"):
            create()
        with wrong(registry, "expires_at", "unused_days"):
            create(**KEPT | {"expires_at": NOW + 90 * DAY_MS + 1, "unused_days": 31})
        assert create(**KEPT).unused_days == 30
        assert create(**KEPT, unused_days=7).unused_days == 7


def test_changes_keep_within_it_and_other_fields_stay_free(
    sqlite_registry: SmallRegistry,
) -> None:
    registry = sqlite_registry
    ada = registry.signed_in(registry.ada)
    old, text = registry.token(ada)
    provided, _ = registry.token(ada, owner=registry.service_account(ada).id)
    put(registry, ada, **STRICT)
    assert registry.decide(text).allowed, "a policy ends nothing"
    assert registry.modify(ada, old, label="Still").label == "Still"
    assert registry.modify(ada, old, networks=[], expires_at=None).networks == ()
    with wrong(registry, "expires_at"):
        registry.modify(ada, old, expires_at=NOW + 91 * DAY_MS)
    with wrong(registry, "unused_days"), registry.write() as change:
        provisioning.modify(
            change,
            Actor.command_line(),
            registry.northwind.id,
            provided.id,
            catalogue=registry.catalogue,
            changes={"unused_days": 31},
        )
    # What a token without a number of days gets.
    assert registry.modify(ada, old, unused_days=None).unused_days == 30
    # A life counts from the token's creation, however often it is changed.
    registry.now += 3_600_000
    kept = registry.modify(ada, old, **KEPT)
    with wrong(registry, "expires_at"):
        registry.modify(ada, kept, expires_at=registry.now + 90 * DAY_MS)
    with wrong(registry, "networks"):
        registry.modify(ada, kept, networks=[])


def test_successors_keep_within_it(sqlite_registry: SmallRegistry) -> None:
    registry = sqlite_registry
    ada = registry.signed_in(registry.ada)
    endless, _ = registry.token(ada, networks=["10.0.0.0/8"], unused_days=60)
    short, _ = registry.token(ada, networks=["10.0.0.0/8"], expires_at=NOW + DAY_MS, unused_days=7)
    anywhere, _ = registry.token(ada)
    put(registry, ada, **STRICT)

    def rotated(token: AccessToken) -> AccessToken:
        return registry.do(rotation.rotate, ada, token.id, Closing("now"))[0]

    new = rotated(endless)
    assert (new.expires_at, new.unused_days) == (NOW + 90 * DAY_MS, 30)
    new = rotated(short)
    assert (new.expires_at, new.unused_days) == (NOW + DAY_MS, 7)
    with wrong(registry, "networks"):
        rotated(anywhere)


def test_the_preview_finds_what_breaks_it(registry: SmallRegistry, ada: Actor) -> None:
    """By SQL, and the same tokens as by the rule."""
    pick = random.Random(7)
    registry.token(ada)
    with registry.read() as reading:
        row = dict(reading.session.execute(select(table)).one()._mapping)
    rows = [
        row
        | {
            "id": f"gpat_{number:016}",
            "kind": pick.choice(["api", "ui", "decoy"]),
            "networks": pick.choice([[], ["10.0.0.0/8"]]),
            "domains": pick.choice([[], ["a.example"]]),
            "created_at": NOW + number,
            "expires_at": pick.choice([None, NOW, NOW + number + 9 * DAY_MS + pick.choice([0, 1])]),
            "unused_days": pick.choice([None, 9, 10]),
            "deactivated_at": pick.choice([None, None, None, NOW]),
        }
        for number in range(1, 300)
    ]
    with registry.database.auxiliary_write(NOW) as write:
        write.session.execute(insert(table), rows)
    active = [
        each
        for each in [row, *rows]
        if each["kind"] != "decoy"
        and each["deactivated_at"] is None
        and (each["expires_at"] is None or each["expires_at"] > NOW)
    ]
    for given in (
        {},
        {"longest_life_days": 9},
        {"networks_required": True},
        {"unused_days": 9},
        {"longest_life_days": 9, "networks_required": True, "unused_days": 9},
    ):
        found = registry.ask(
            policy_breaches.preview, ada, NOTHING | given, catalogue=registry.catalogue
        )
        policy = token_policies.read(NOTHING | given, registry.catalogue)
        broken = [(each["id"], tuple(breaches(policy, limits_of(each)))) for each in active]
        broken = [(id, rules) for id, rules in broken if rules]
        assert found.count == len(broken)
        assert found.by_rule == {rule: sum(rule in rules for _, rules in broken) for rule in given}
        named = [(each.id, each.breaks) for each in found.items]
        assert named == broken[::-1][: policy_breaches.NAMED]
