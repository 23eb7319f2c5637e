"""Portal sessions in the registry: no operation accepts one unless it says so."""

from collections.abc import Callable
from typing import Any

import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.decision import held
from gatepass.core.errors import Forbidden
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions
from gatepass.registry.directory import companies, owners, roles, user_search, verifier_keys
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import (
    published_grant,
    published_holder,
    published_rules,
)
from gatepass.registry.membership import invitations, offboarding, owner_offboarding
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.lists import search as token_search
from tests.support.database.small_registry import HOUR, SmallRegistry


@pytest.fixture
def portal(registry: SmallRegistry) -> Actor:
    """A portal session whose permissions would be enough for all of it."""
    owner = registry.external_owner()
    token = registry.portal_session(owner)[:21]
    return Actor(
        kind="portal_session",
        company=owner.company,
        user=owner.id,
        name=owner.name,
        permissions=frozenset({"*"}),
        credential=token,
        operator=True,
    )


READING: list[Callable[..., Any]] = [
    lambda reading, actor: companies.own(reading, actor),
    lambda reading, actor: companies.list_(reading, actor),
    lambda reading, actor: roles.list_(reading, actor, catalogue=parse_catalogue(None)),
    lambda reading, actor: user_search.list_(reading, actor),
    lambda reading, actor: invitations.list_(reading, actor),
    lambda reading, actor: sessions.list_(reading, actor),
    lambda reading, actor: access_tokens.receipt(reading, actor, "gpat_0000000000000000"),
]
CHANGING: list[Callable[..., Any]] = [
    lambda change, actor: acting(change, actor),
    lambda change, actor: acting(change, actor, "access-tokens:create"),
    lambda change, actor: acting(change, actor, area="portal"),
    lambda change, actor: acting(change, actor, operator=True),
    lambda change, actor: sessions.deactivate_others(change, actor),
    lambda change, actor: offboarding.deactivate(change, actor, "usr_0000000000000000"),
    lambda change, actor: owner_offboarding.deactivate(change, actor, actor.user or ""),
    lambda change, actor: verifier_keys.create(change, actor, label="x"),
    lambda change, actor: owners.modify(
        change, actor, actor.user or "", catalogue=parse_catalogue(None), changes={"name": "x"}
    ),
]


def test_operations_refuse_it(registry: SmallRegistry, portal: Actor) -> None:
    for run, operations in ((registry.ask, READING), (registry.do, CHANGING)):
        for operation in operations:
            with pytest.raises(Forbidden) as refused:
                run(operation, portal)
            assert refused.value.reason == "portal_session"


def test_it_gives_nothing_that_no_token_can_do(portal: Actor) -> None:
    assert portal.may("charges:get")
    assert not portal.may("service-accounts:manage")


def test_it_is_checked_again_under_the_lock(registry: SmallRegistry, portal: Actor) -> None:
    """A session that ended while its request waited creates nothing."""

    def create() -> Any:
        return registry.do(
            access_tokens.create,
            portal,
            catalogue=registry.catalogue,
            label="x",
            kind="api",
            permissions=["charges:get"],
        )

    token, _ = create()
    assert [each.id for each in registry.ask(token_search.list_, portal).items] == [token.id]
    company = registry.northwind.id
    registry.do(owner_offboarding.deactivate_of, Actor.command_line(), company, portal.user or "")
    with pytest.raises(Forbidden) as refused:
        create()
    assert refused.value.reason == "account_deactivated"


def test_its_permissions_are_those_of_its_owners_role(registry: SmallRegistry) -> None:
    owner = registry.external_owner()
    token = registry.portal_session(owner)[:21]
    with registry.read() as reading:
        grant = published_grant(reading, token)
        assert grant is not None
        permissions = held(
            grant,
            published_holder(reading, owner.id),
            published_rules(reading, owner.company),
            reading.now,
        )
    assert set(permissions) == set(registry.catalogue.from_file)
    assert (grant.kind, grant.user, grant.company) == ("portal", owner.id, owner.company)
    assert grant.domains == ("https://shop.example", "https://gatepass.example")
    assert grant.expires_at == registry.now + HOUR // 4
