"""Decoys: what they have, what can be done with them, and which lists they are in."""

from typing import Any

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.grants.publishing import published_grant
from gatepass.registry.tokens import access_tokens, provisioning, rotation
from gatepass.registry.tokens.ending import bulk
from gatepass.registry.tokens.lists import search
from gatepass.registry.tokens.policy import policy_breaches, token_policies
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.tokens.temporary import rehearsals
from tests.support.database.small_registry import SmallRegistry

EMPTY: dict[str, Any] = {"networks": [], "domains": [], "metadata": {}, "permissions": []}


def decoy(registry: SmallRegistry, actor: Actor, **fields: Any) -> tuple[AccessToken, str]:
    return registry.do(
        access_tokens.create,
        actor,
        catalogue=registry.catalogue,
        **({"label": "In the wiki", "kind": "decoy"} | fields),
    )


def test_it_has_a_label_alone(registry: SmallRegistry, ada: Actor) -> None:
    made, text = decoy(registry, ada)
    assert (made.kind, made.status, made.permissions) == ("decoy", "active", ())
    assert registry.get(made) == made
    assert decoy(registry, ada, **EMPTY, expires_at=None, external_id=None)[0].kind == "decoy"
    assert registry.reason(text) is Reason.token_invalid
    assert registry.events()[-1].after is not None
    for field, value in (
        ("permissions", ["charges:get"]),
        ("networks", ["10.0.0.1"]),
        ("domains", ["shop.example"]),
        ("expires_at", registry.now + 1000),
        ("metadata", {"team": "x"}),
        ("external_id", "x"),
        ("external_id", ""),
        ("unused_days", 0),
        ("owner", registry.carl.id),
    ):
        with pytest.raises(InvalidInput) as caught:
            decoy(registry, ada, **{field: value})
        assert caught.value.errors[0][0] == field
    with pytest.raises(InvalidInput) as caught:
        decoy(registry, ada, label="")
    assert caught.value.errors[0][0] == "label"


def test_others_still_need_permissions(registry: SmallRegistry, ada: Actor) -> None:
    for kind in ("api", "ui"):
        with pytest.raises(InvalidInput) as caught:
            decoy(registry, ada, kind=kind)
        assert [field for field, _ in caught.value.errors] == ["permissions"]


def test_its_label_changes_and_nothing_else(registry: SmallRegistry, ada: Actor) -> None:
    made, text = decoy(registry, ada)
    assert registry.modify(ada, made, label="Elsewhere", networks=[]).label == "Elsewhere"
    with pytest.raises(InvalidInput) as caught:
        registry.modify(ada, made, permissions=["charges:get"])
    assert caught.value.errors[0][0] == "permissions"
    how = Closing("now")
    for what in (
        lambda: registry.do(rotation.rotate, ada, made.id, how),
        lambda: registry.do(rehearsals.start, ada, made.id, minutes=1, share=1),
    ):
        with pytest.raises(Conflict) as refused:
            what()
        assert refused.value.reason == "decoy"
    ended = registry.do(access_tokens.deactivate, ada, made.id)
    assert ended.status == "deactivated"
    # It stays unknown, so that nobody who tries it learns anything.
    assert registry.reason(text) is Reason.token_invalid


def test_only_the_company_s_own_people_make_decoys(registry: SmallRegistry, ada: Actor) -> None:
    owner = registry.external_owner()
    with pytest.raises(InvalidInput) as caught:
        registry.do(
            provisioning.create,
            registry.admin_key(),
            registry.northwind.id,
            catalogue=registry.catalogue,
            owner=owner.id,
            kind="decoy",
            values={"label": "x"},
        )
    assert caught.value.errors[0][0] == "kind"
    reader = registry.colleague("reporting")
    with pytest.raises(Forbidden):
        decoy(registry, reader)


def test_lists_have_it_and_clean_ups_leave_it_out(registry: SmallRegistry, ada: Actor) -> None:
    made, _ = decoy(registry, ada)
    token, _ = registry.token(ada)

    def listed(**filters: Any) -> set[str]:
        return {each.id for each in registry.every(search.list_, ada, **filters)}

    assert listed() == listed(status="active") == {made.id, token.id}
    assert listed(kind="decoy") == listed(q="wiki") == {made.id}
    later = registry.now + 1
    for filters in ({"used": "never"}, {"unused_since": later}, {"network": "none"}):
        for sort in ("created_at", "last_used", "label"):
            assert listed(sort=sort, **filters) == {token.id}
        assert registry.ask(search.count, ada, filters) == 1
    outcome = registry.do(bulk.deactivate_matching, ada, {"used": "never"}, expect=1)
    assert outcome.deactivated == 1
    assert registry.do(bulk.deactivate_listed, ada, [made.id]).deactivated == 1


def test_policies_don_t_bind_it(registry: SmallRegistry, ada: Actor) -> None:
    registry.token(ada)
    given = {
        "longest_life_days": 1,
        "networks_required": True,
        "unused_days": 1,
        "approval_required": [],
        "warn_days": [],
    }
    policy = registry.do(token_policies.replace, ada, given, catalogue=registry.catalogue)
    with pytest.raises(InvalidInput):
        registry.token(ada)
    made, _ = decoy(registry, ada)
    made = registry.modify(ada, made, label="Elsewhere")
    assert (made.expires_at, made.unused_days) == (None, None)
    broken = registry.ask(policy_breaches.of_company, registry.northwind.id, policy)
    assert broken.count == 1
    assert policy_breaches.of_token(policy, made) == ()


def test_former_releases_refuse_it(registry: SmallRegistry, ada: Actor) -> None:
    """They know no such kind; it permits nothing even to a reader that ignores kinds."""
    made, _ = decoy(registry, ada)
    grant = registry.ask(published_grant, made.id)
    assert grant is not None
    assert (grant.kind, grant.permissions) == ("decoy", frozenset())
