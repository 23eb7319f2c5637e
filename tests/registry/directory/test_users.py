"""Creating companies, users and roles, and publishing them for decisions."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, update

from gatepass.core.catalogue import Catalogue, built_in_permissions, parse_catalogue
from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import Holder
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions
from gatepass.registry.directory import companies, role_records, users
from gatepass.registry.directory.published_roles import follow_catalogue
from gatepass.registry.directory.users import User
from gatepass.registry.grants.authorization import reauthorize
from gatepass.registry.grants.publishing import (
    publish,
    published_holder,
    published_rules,
)
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Database
from tests.support.database.small_registry import (
    CATALOGUE,
    HASH,
    NOW,
    SmallRegistry,
    nothing_changes,
)


def create(registry: SmallRegistry, actor: Actor | None = None, **changes: Any) -> User:
    given = {
        "company": registry.northwind.id,
        "email": "grace@northwind.example",
        "name": "Grace Hopper",
        "role": "reporting",
        "password_hash": HASH,
    }
    return registry.do(users.create, actor or Actor.command_line(), **(given | changes))


def test_a_user_is_created_and_published(registry: SmallRegistry) -> None:
    grace = create(registry, operator=True)
    assert (grace.status, grace.role, grace.operator) == ("active", "reporting", True)
    assert grace.created_at == NOW
    with registry.read() as reading:
        assert users.get(reading, grace.id) == grace
        assert users.by_email(reading, "GRACE@northwind.EXAMPLE") == grace
        assert published_holder(reading, grace.id) == Holder(
            grace.id, registry.northwind.id, True, "reporting", name="Grace Hopper"
        )
        for nobody in ("usr_none", "\0", "\ud800"):
            with pytest.raises(NotFound):
                users.get(reading, nobody)
            assert users.by_email(reading, nobody) is None
    assert HASH not in repr(grace)
    assert HASH not in repr(registry.events())


def test_addresses_are_unique_over_all_companies(registry: SmallRegistry) -> None:
    create(registry)
    for email in ("grace@northwind.example", "GRACE@Northwind.Example"):
        with nothing_changes(registry), pytest.raises(Conflict) as refusal:
            create(registry, company=registry.contoso.id, email=email)
        assert refusal.value.reason == "email_taken"


def test_invalid_fields_create_no_user(registry: SmallRegistry) -> None:
    for field, value in (
        ("email", "grace"),
        ("email", "grace@@northwind.example"),
        ("name", ""),
        ("name", "a\0b"),
        ("role", "emperor"),
    ):
        with nothing_changes(registry), pytest.raises(InvalidInput) as refusal:
            create(registry, **{field: value})
        assert [where for where, _ in refusal.value.errors] == [field]
    with pytest.raises(NotFound):
        create(registry, company="com_none")


def test_required_permissions(registry: SmallRegistry) -> None:
    ada, bob = registry.signed_in(registry.ada), registry.colleague("manager")
    rita = registry.colleague("reporting", "Rita")
    token = registry.with_token(registry.token(ada, permissions=["users:*"])[0])
    with pytest.raises(Forbidden) as refusal:
        create(registry, rita)
    assert refusal.value.permission == "users:manage"
    with pytest.raises(Forbidden) as refusal:
        create(registry, token)
    assert refusal.value.reason == "signed_in_user_required"
    with pytest.raises(NotFound):
        create(registry, ada, company=registry.contoso.id)
    # Nobody grants more than they hold, and only the command line names operators.
    with pytest.raises(Forbidden) as refusal:
        create(registry, bob, role="admin")
    assert refusal.value.permission == "*"
    with pytest.raises(Forbidden) as refusal:
        create(registry, ada, operator=True)
    assert refusal.value.reason == "operator_required"
    assert create(registry, bob).role == "reporting"


def test_company_names_are_unique_ignoring_case(registry: SmallRegistry) -> None:
    with registry.read() as reading:
        assert companies.by_name(reading, "NORTHWIND") == registry.northwind
        assert companies.by_name(reading, "\0") is None
        assert companies.get(reading, registry.northwind.id) == registry.northwind
        with pytest.raises(NotFound):
            companies.get(reading, "com_none")
    ada = registry.signed_in(registry.ada)
    with nothing_changes(registry):
        with pytest.raises(Conflict) as taken:
            registry.company("northWIND")
        assert taken.value.reason == "name_taken"
        with pytest.raises(InvalidInput):
            registry.company("")
        with pytest.raises(Forbidden) as refusal, registry.write() as change:
            companies.create(change, ada, catalogue=registry.catalogue, name="Fabrikam")
        assert refusal.value.reason == "operator_required"


def test_any_exist_is_false_before_the_first_company(database: Database) -> None:
    with database.read(NOW) as reading:
        assert not companies.any_exist(reading)
    registry = SmallRegistry(database)
    assert registry.ask(companies.any_exist)


def test_every_company_has_the_built_in_roles_and_its_own(registry: SmallRegistry) -> None:
    _own_role(registry, registry.northwind.id, ["charges:get"])
    with registry.read() as reading:
        found = role_records.of_company(reading, registry.catalogue, registry.northwind.id)
        others = role_records.of_company(reading, registry.catalogue, registry.contoso.id)
        published = published_rules(reading, registry.contoso.id)
    assert list(found) == ["admin", "manager", "customer-service", "reporting", "rol_1"]
    assert [role.built_in for role in found.values()] == [True] * 4 + [False]
    assert found["rol_1"].permissions == ("charges:get",)
    assert list(others) == list(found)[:4]
    assert published.roles == {
        role: frozenset(built_in_permissions(role, registry.catalogue)) for role in others
    }


def test_a_changed_catalogue_is_published_once(registry: SmallRegistry) -> None:
    bob = registry.colleague("manager")
    token, text = registry.token(bob, permissions=["charges:create", "refunds:create"])
    smaller = parse_catalogue(CATALOGUE.replace("refunds:create", "payouts:create"))

    def follow(catalogue: Catalogue) -> int:
        return follow_catalogue(registry.database, catalogue, registry.now)

    with nothing_changes(registry):
        assert follow(registry.catalogue) == 0
    assert follow(smaller) == 2
    assert registry.reason(text, "charges:create") is Reason.allowed
    assert registry.reason(text, "refunds:create") is Reason.permission_missing
    with nothing_changes(registry):
        assert follow(smaller) == 0
    assert follow(registry.catalogue) == 2
    assert registry.reason(text, "refunds:create") is Reason.allowed
    event = registry.events(action="catalogue.changed")[0]
    assert event.before is not None
    assert event.after is not None
    assert "refunds:create" in event.before["roles"]["manager"]
    assert "refunds:create" not in event.after["roles"]["manager"]
    assert registry.get(token).status == "active"


def test_a_change_checks_its_actor_again(registry: SmallRegistry) -> None:
    """An actor whose role or credential is removed while they wait for the lock is refused."""
    bob = registry.colleague("manager")
    token = registry.with_token(registry.token(bob, permissions=["access-tokens:deactivate"])[0])
    with registry.write() as change:
        assert reauthorize(change, bob) == bob
        assert reauthorize(change, token) == token
        assert reauthorize(change, Actor.command_line()) == Actor.command_line()
    overstated = replace(bob, permissions=frozenset({"*"}))
    assert registry.ask(reauthorize, overstated).permissions == bob.permissions

    def reason(actor: Actor, now: int = NOW) -> str:
        with registry.database.read(now) as reading, pytest.raises(Forbidden) as refusal:
            reauthorize(reading, actor)
        return refusal.value.reason

    assert reason(bob, NOW + 3 * 3_600_000) == "token_expired"
    for forged in (
        replace(bob, credential="gplt_0000000000000000"),
        replace(bob, company=registry.contoso.id),
        replace(bob, user=registry.ada.id),
    ):
        assert reason(forged) == "token_invalid"
    registry.do(sessions.sign_out, bob)
    assert reason(bob) == "token_deactivated"
    assert reauthorized(registry, token) == token
    registry.do(publish, Holder(str(bob.user), str(bob.company), False, "manager"))
    assert reason(token) == "account_deactivated"


def reauthorized(registry: SmallRegistry, actor: Actor) -> Actor:
    return registry.ask(reauthorize, actor)


def test_the_command_line_can_act_for_a_user(registry: SmallRegistry) -> None:
    acting = registry.ask(users.on_behalf_of, registry.ada.id)
    token, _ = registry.token(acting)
    assert token.created_by.id == registry.ada.id
    assert registry.events(subject=token.id)[0].actor_kind == "command line"
    with registry.write() as change:
        change.session.execute(update(tables.users).values(role="reporting"))
        publish(change, Holder(registry.ada.id, registry.northwind.id, False, "admin"))
        assert users.on_behalf_of(change, registry.ada.id).permissions == frozenset()


def _own_role(registry: SmallRegistry, company: str, permissions: list[str]) -> None:
    with registry.write() as change:
        change.session.execute(
            insert(tables.roles),
            {
                "id": "rol_1",
                "company_id": company,
                "name": "Till",
                "name_folded": "till",
                "permissions": permissions,
                "created_at": NOW,
            },
        )
