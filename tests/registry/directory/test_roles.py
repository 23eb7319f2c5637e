"""A company's own roles: nobody grants more than they hold."""

from typing import Any

import pytest
from sqlalchemy import insert, text

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, GatepassError, InvalidInput, NotFound
from gatepass.registry.actor import Actor
from gatepass.registry.directory import role_records, roles, user_roles
from gatepass.registry.directory.published_roles import follow_catalogue
from gatepass.registry.directory.role_records import Role
from gatepass.registry.directory.users import User
from gatepass.registry.membership import offboarding
from gatepass.registry.storage import tables
from tests.support.database.small_registry import (
    CATALOGUE,
    HOUR,
    NOW,
    SmallRegistry,
    nothing_changes,
)

#: A role that creates tokens needs this too.
MAKE = "access-tokens:create"


def create(registry: SmallRegistry, actor: Actor, **changes: Any) -> Role:
    given: dict[str, Any] = {"name": "Till", "permissions": ["charges:create", "charges:get"]}
    return registry.do(roles.create, actor, catalogue=registry.catalogue, **(given | changes))


def modify(
    registry: SmallRegistry, actor: Actor, role: str, if_match: Any = None, **changes: Any
) -> Role:
    return registry.do(
        roles.modify,
        actor,
        role,
        catalogue=registry.catalogue,
        changes=changes,
        if_match=if_match,
    )


def delete(registry: SmallRegistry, actor: Actor, role: str, if_match: Any = None) -> None:
    registry.do(roles.delete, actor, role, catalogue=registry.catalogue, if_match=if_match)


def get(registry: SmallRegistry, actor: Actor, role: str) -> Role:
    return registry.ask(roles.get, actor, role, catalogue=registry.catalogue)


def refused(registry: SmallRegistry, do: Any, *args: Any, **more: Any) -> tuple[str, Any]:
    """The reason, and the named permission or fields; nothing was changed."""
    with nothing_changes(registry), pytest.raises(GatepassError) as refusal:
        do(registry, *args, **more)
    error = refusal.value
    if isinstance(error, InvalidInput):
        return error.reason, [field for field, _ in error.errors]
    return error.reason, getattr(error, "permission", None)


def member(registry: SmallRegistry, role: str, name: str = "Bob") -> User:
    return registry.user(registry.northwind, f"{name}@northwind.example".lower(), name, role)


def test_a_role_is_created_changed_and_deleted(registry: SmallRegistry, ada: Actor) -> None:
    made = create(registry, ada, permissions=[MAKE, "charges:create"])
    assert made.id.startswith("rol_")
    assert made == Role(made.id, "Till", (MAKE, "charges:create"), False, NOW)
    assert get(registry, ada, made.id) == made
    bob = member(registry, made.id)
    token, string = registry.token(registry.signed_in(bob), permissions=["charges:create"])
    assert registry.reason(string) is Reason.allowed

    changed = modify(registry, ada, made.id, name="Counter", permissions=["charges:get"])
    assert (changed.name, changed.permissions) == ("Counter", ("charges:get",))
    assert registry.reason(string) is Reason.permission_missing
    assert registry.get(token).effective_permissions == ()
    modify(registry, ada, made.id, permissions=["charges:*"])
    assert registry.reason(string) is Reason.allowed, "a role that grows again restores it"

    registry.do(user_roles.change_role, ada, bob.id, role="reporting")
    delete(registry, ada, made.id)
    with pytest.raises(NotFound):
        get(registry, ada, made.id)
    events = registry.events(subject=made.id)
    assert [event.action for event in events] == [
        "role.created",
        "role.modified",
        "role.modified",
        "role.deleted",
    ]
    assert events[1].before == {"name": "Till", "permissions": [MAKE, "charges:create"]}
    assert events[1].after == {"name": "Counter", "permissions": ["charges:get"]}
    assert events[2].before == {"permissions": ["charges:get"]}
    assert events[3].before == {"name": "Counter", "permissions": ["charges:*"]}
    assert {event.actor_name for event in events} == {"Ada Lovelace"}


def test_the_same_fields_change_nothing(registry: SmallRegistry, ada: Actor) -> None:
    made = create(registry, ada)
    same = modify(registry, ada, made.id, name="Till", permissions=list(made.permissions))
    assert same == made
    assert len(registry.events(subject=made.id)) == 1


def test_invalid_fields_create_no_role(registry: SmallRegistry, ada: Actor) -> None:
    made = create(registry, ada, name="Counter")
    for changes, fields in (
        ({"name": ""}, ["name"]),
        ({"name": "x" * 101}, ["name"]),
        ({"name": "a\0b"}, ["name"]),
        ({"permissions": []}, ["permissions"]),
        ({"permissions": ["charges:get"] * 201}, ["permissions"]),
        ({"permissions": ["charges:get", "nobody:knows", "Charges"]}, _at(1, 2)),
        ({"permissions": ["nobody:*"]}, _at(0)),
        ({"name": "", "permissions": ["*:*"]}, ["name", *_at(0)]),
    ):
        assert refused(registry, create, ada, **changes) == ("invalid", fields)
        assert refused(registry, modify, ada, made.id, **changes) == ("invalid", fields)
    many = create(registry, ada, name="x" * 100, permissions=["*", "charges:*", "*"])
    assert many.permissions == ("*", "charges:*")


def _at(*places: int) -> list[str]:
    return [f"permissions.{place}" for place in places]


def test_names_are_unique_in_a_company_ignoring_case_and_spaces(registry: SmallRegistry) -> None:
    ada, carl = registry.signed_in(registry.ada), registry.signed_in(registry.carl)
    made = create(registry, ada)
    other = create(registry, ada, name="Counter")
    for name in ("till", " TILL ", "admin", "customer  service"):
        assert refused(registry, create, ada, name=name) == ("name_taken", None)
        assert refused(registry, modify, ada, other.id, name=name) == ("name_taken", None)
    assert create(registry, carl).name == "Till", "another company's names are its own"
    assert modify(registry, ada, made.id, name="TILL").name == "TILL"


def test_nobody_grants_more_than_they_hold(registry: SmallRegistry, ada: Actor) -> None:
    keeper = create(registry, ada, name="Keeper", permissions=["roles:*", "charges:get"])
    above = create(registry, ada, name="Above", permissions=["charges:create"])
    bob = registry.signed_in(member(registry, keeper.id))
    for wanted, missing in (
        (["charges:get", "charges:create"], "charges:create"),
        (["charges:*"], "charges:*"),
        (["*"], "*"),
    ):
        assert refused(registry, create, bob, permissions=wanted) == ("permission_missing", missing)
    own = create(registry, bob, permissions=["charges:get", "roles:*", "roles:get"])
    assert refused(registry, modify, bob, own.id, permissions=["charges:create"]) == (
        "permission_missing",
        "charges:create",
    )
    # Nor removes permissions that they don't hold.
    assert refused(registry, modify, bob, above.id, permissions=["charges:get"]) == (
        "permission_missing",
        "charges:create",
    )
    assert refused(registry, modify, bob, above.id, name="Below")[0] == "permission_missing"
    assert refused(registry, delete, bob, above.id)[0] == "permission_missing"
    delete(registry, bob, own.id)


def test_required_permissions(registry: SmallRegistry) -> None:
    ada, rita = registry.signed_in(registry.ada), registry.colleague("reporting", "Rita")
    made = create(registry, ada)
    token = registry.with_token(registry.token(ada, permissions=["roles:*"])[0])
    service = registry.colleague("customer-service", "Sam")
    assert get(registry, rita, made.id) == get(registry, token, made.id) == made
    for actor, reason in ((rita, "permission_missing"), (token, "signed_in_user_required")):
        assert refused(registry, create, actor, name="Other")[0] == reason
        assert refused(registry, modify, actor, made.id, name="Other")[0] == reason
        assert refused(registry, delete, actor, made.id)[0] == reason
    for do in (lambda r: get(r, service, made.id), lambda r: _listed(r, service)):
        assert refused(registry, do) == ("permission_missing", "roles:get")


def test_built_in_roles_cannot_be_changed(registry: SmallRegistry, ada: Actor) -> None:
    for role in ("admin", "manager", "customer-service", "reporting"):
        assert get(registry, ada, role).built_in
        assert refused(registry, modify, ada, role, name="Other")[0] == "built_in_role"
        assert refused(registry, delete, ada, role)[0] == "built_in_role"


def test_another_companys_roles_are_not_found(registry: SmallRegistry) -> None:
    ada, carl = registry.signed_in(registry.ada), registry.signed_in(registry.carl)
    made = create(registry, ada)
    for role in (made.id, "rol_none", "\0", "\ud800"):
        assert refused(registry, get, carl, role)[0] == "not_found"
        assert refused(registry, modify, carl, role, name="Mine")[0] == "not_found"
        assert refused(registry, delete, carl, role)[0] == "not_found"
    assert made.id not in [role.id for role in _listed(registry, carl)]


def test_a_role_in_use_is_not_deleted(registry: SmallRegistry, ada: Actor) -> None:
    made = create(registry, ada)
    bob = member(registry, made.id)
    assert refused(registry, delete, ada, made.id)[0] == "role_in_use"
    registry.do(offboarding.deactivate, ada, bob.id)
    with registry.write() as change:
        change.session.execute(
            insert(tables.invitations),
            {
                "id": "inv_1",
                "company_id": registry.northwind.id,
                "email": "new@northwind.example",
                "email_folded": "new@northwind.example",
                "role": made.id,
                "invited_by": registry.ada.id,
                "created_at": NOW,
                "expires_at": NOW + HOUR,
            },
        )
    assert refused(registry, delete, ada, made.id)[0] == "role_in_use"
    registry.now += HOUR
    delete(registry, ada, made.id)


def test_a_stale_if_match_is_refused(registry: SmallRegistry, ada: Actor) -> None:
    made = create(registry, ada)
    tag = role_records.etag(made)
    modify(registry, ada, made.id, if_match=[tag], name="Counter")
    assert refused(registry, modify, ada, made.id, [tag], name="X")[0] == "changed_meanwhile"
    assert refused(registry, delete, ada, made.id, [tag])[0] == "changed_meanwhile"
    with pytest.raises(Conflict) as conflict:
        delete(registry, ada, made.id, [tag])
    assert conflict.value.current == get(registry, ada, made.id)
    delete(registry, ada, made.id, [role_records.etag(get(registry, ada, made.id))])


def test_a_removed_permission_grants_nothing_and_blocks_no_edit(
    registry: SmallRegistry, ada: Actor
) -> None:
    keeper = create(registry, ada, name="Keeper", permissions=["roles:*", "access-tokens:*"])
    made = create(registry, ada, permissions=[MAKE, "refunds:create"])
    _, string = registry.token(
        registry.signed_in(member(registry, made.id, "Rob")), permissions=["refunds:create"]
    )
    bob = registry.signed_in(member(registry, keeper.id))
    assert refused(registry, modify, bob, made.id, name="X")[0] == "permission_missing"

    whole = registry.catalogue
    registry.catalogue = parse_catalogue(CATALOGUE.replace("refunds:create", "payouts:create"))
    follow_catalogue(registry.database, registry.catalogue, registry.now)
    assert registry.reason(string, "refunds:create") is Reason.permission_missing
    renamed = modify(registry, bob, made.id, name="Counter")
    assert renamed.permissions == (MAKE, "refunds:create"), "the record keeps it"
    assert registry.reason(string, "refunds:create") is Reason.permission_missing

    registry.catalogue = whole
    follow_catalogue(registry.database, whole, registry.now)
    assert registry.reason(string, "refunds:create") is Reason.allowed


def test_a_list_has_the_newest_first_and_the_built_in_ones_last(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    names = ["Till", "Counter", "Back office"]
    for name in names:
        registry.now += 1
        create(registry, ada, name=name)
    found = [role.name for role in _listed(registry, ada)]
    built_in = ["Admin", "Manager", "Customer Service", "Reporting"]
    assert found == names[::-1] + built_in
    paged = registry.every(roles.list_, ada, catalogue=registry.catalogue, limit=2)
    assert [role.name for role in paged] == found


def test_a_changed_role_publishes_one_row(registry: SmallRegistry, ada: Actor) -> None:
    """However many tokens depend on it: a company's roles are published as one row."""
    made = create(registry, ada, permissions=[MAKE, "charges:create"])
    for name in ("Bob", "Rob"):
        actor = registry.signed_in(member(registry, made.id, name))
        for number in range(5):
            registry.token(actor, label=str(number))
    modify(registry, ada, made.id, permissions=["charges:get"])
    with registry.read() as reading:
        now = reading.session.execute(text("SELECT number FROM revision")).scalar_one()
        written = {
            table: reading.session.execute(
                text(f"SELECT count(*) FROM {table} WHERE revision = :now"), {"now": now}
            ).scalar_one()
            for table in ("grants", "holders", "company_rules")
        }
        tokens = reading.session.execute(text("SELECT count(*) FROM grants")).scalar_one()
    assert tokens > 10
    assert written == {"grants": 0, "holders": 0, "company_rules": 1}
    modify(registry, ada, made.id, name="Counter")
    with registry.read() as reading:
        again = text("SELECT count(*) FROM company_rules WHERE revision > :now")
        assert reading.session.execute(again, {"now": now}).scalar_one() == 0, (
            "a name permits nothing"
        )


def test_a_company_has_a_bounded_number_of_roles(
    sqlite_registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = sqlite_registry
    monkeypatch.setattr(roles, "MOST_ROLES", 2)
    ada = registry.signed_in(registry.ada)
    create(registry, ada, name="One")
    create(registry, ada, name="Two")
    assert refused(registry, create, ada)[0] == "too_many_roles"


def test_the_users_of_each_role_are_counted(registry: SmallRegistry, ada: Actor) -> None:
    bob = member(registry, "reporting")
    member(registry, "reporting", "Rita")
    registry.do(offboarding.deactivate, ada, bob.id)
    with registry.read() as reading:
        assert roles.people(reading, ada) == {"admin": 1, "reporting": 1}
        with pytest.raises(Forbidden):
            roles.people(reading, registry.colleague("customer-service", "Sam"))


def _listed(registry: SmallRegistry, actor: Actor) -> list[Role]:
    return registry.ask(roles.list_, actor, catalogue=registry.catalogue).items
