"""Service accounts and external owners: who makes them, their roles, and what their end ends."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import external_role
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search_terms
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.directory import owner_records, owner_search, owners, roles, user_roles
from gatepass.registry.directory.published_roles import follow_catalogue
from gatepass.registry.grants.publishing import (
    publish,
    published_grant,
    published_holder,
    published_rules,
)
from gatepass.registry.membership import offboarding, owner_offboarding
from gatepass.registry.tokens.lists import search as token_search
from tests.support.database.small_registry import SmallRegistry, nothing_changes
from tests.support.database.work import measured

OPERATOR = Actor.command_line()


def put(registry: SmallRegistry, external_id: str = "customer 7", **changes: Any) -> Any:
    given = {"type": "external", "name": "Customer", "role": "customer-service"}
    company = changes.pop("company", registry.northwind.id)
    return registry.do(
        owners.put,
        OPERATOR,
        company,
        external_id,
        catalogue=registry.catalogue,
        **(given | changes),
    )


def role(registry: SmallRegistry, actor: Actor, *permissions: str, name: str = "Own") -> str:
    return registry.do(
        roles.create, actor, catalogue=registry.catalogue, name=name, permissions=permissions
    ).id


def test_a_service_account_is_created_and_published(registry: SmallRegistry, ada: Actor) -> None:
    account = registry.service_account(ada)
    assert account.id.startswith("svc_")
    assert (account.type, account.external_id, account.status) == (
        "service_account",
        None,
        "active",
    )
    assert account.created_by == ada.person
    holder = registry.ask(published_holder, account.id)
    assert holder is not None
    assert (holder.role, holder.type, holder.name) == (
        "customer-service",
        "service_account",
        "Deploys",
    )
    (event,) = registry.events(action="owner.created")
    assert sentence(event) == "Ada Lovelace created the service account Deploys as Customer Service"


def test_put_is_idempotent_and_changes(registry: SmallRegistry) -> None:
    owner, created = put(registry)
    assert created
    assert owner.id.startswith("ext_")
    assert owner.external_id == "customer 7"
    before = len(registry.events())
    assert put(registry) == (owner, False)
    assert len(registry.events()) == before, "nothing changed, so nothing is recorded"
    changed, created = put(registry, name="Customer Seven", role="customer-service")
    assert not created
    assert (changed.id, changed.name) == (owner.id, "Customer Seven")
    assert registry.events()[-1].after == {"name": "Customer Seven"}
    assert sentence(registry.events()[-1]) == (
        "The command line renamed the external owner Customer to Customer Seven"
    )
    with pytest.raises(Conflict) as refused:
        put(registry, type="service_account")
    assert refused.value.reason == "type_differs"


def test_external_ids_are_exact_and_free_again_after_the_end(registry: SmallRegistry) -> None:
    """No folding; another company's and a deactivated owner's don't count."""
    ids = {put(registry, each)[0].id for each in ("a", "A", "a ", "\u00e4", "a\u0308", "-", "/")}
    assert len(ids) == 7
    elsewhere, created = put(registry, "a", company=registry.contoso.id)
    assert created
    assert elsewhere.id not in ids
    first, _ = put(registry, "a")
    ended = registry.do(owner_offboarding.deactivate_of, OPERATOR, registry.northwind.id, "ext:a")
    assert (ended.id, ended.status) == (first.id, "deactivated")
    second, created = put(registry, "a")
    assert created
    assert second.id != first.id
    with registry.read() as reading:
        assert owner_records.find(reading, registry.northwind.id, "ext:a").id == second.id
        page = owner_search.list_(reading, OPERATOR, company=registry.northwind.id, external_id="a")
    assert {each.id for each in page.items} == {first.id, second.id}


@pytest.mark.parametrize("external_id", ["", "x" * 201, "a\nb", "a\0", "\ud800", "a\x7f"])
def test_external_ids_that_are_refused(registry: SmallRegistry, external_id: str) -> None:
    with nothing_changes(registry), pytest.raises(InvalidInput) as refused:
        put(registry, external_id)
    assert [field for field, _ in refused.value.errors] == ["external_id"]


def test_all_errors_are_reported_together(registry: SmallRegistry) -> None:
    with pytest.raises(InvalidInput) as refused:
        put(registry, "", type="user", name="\u202e")
    assert [field for field, _ in refused.value.errors] == ["external_id", "type", "name"]


def test_roles_that_owners_may_have(registry: SmallRegistry, ada: Actor) -> None:
    """Nothing that administers the company, also under a wildcard."""
    good = [
        "customer-service",
        role(registry, ada, "charges:*", "refunds:create", name="All"),
        role(registry, ada, "charges:get", "access-tokens:get", name="Some"),
    ]
    for each in good:
        put(registry, each, role=each)
        registry.service_account(ada, each, each)
    bad = [
        "admin", "manager", "reporting", "nobody", external_role("customer-service"),
        role(registry, ada, "charges:get", "access-tokens:*", name="Tokens"),
        role(registry, ada, "users:get", name="Users"),
        role(registry, ada, "service-accounts:manage", name="Accounts"),
    ]  # fmt: skip
    account = registry.service_account(ada)
    for each in bad:
        for attempt in (
            lambda role=each: put(registry, role, role=role),
            lambda role=each: registry.service_account(ada, "Another", role),
            lambda role=each: registry.do(
                owners.modify, ada, account.id, catalogue=registry.catalogue, changes={"role": role}
            ),
        ):
            with nothing_changes(registry), pytest.raises(InvalidInput) as refused:
                attempt()
            assert [field for field, _ in refused.value.errors] == ["role"]


def test_users_cannot_have_an_external_owners_role(registry: SmallRegistry, ada: Actor) -> None:
    registry.external_owner()
    key = external_role("customer-service")
    with registry.read() as reading:
        assert key in published_rules(reading, registry.northwind.id).roles
    bob = registry.colleague("reporting")
    with pytest.raises(InvalidInput):
        registry.do(user_roles.change_role, ada, bob.user, role=key)


def test_who_may_manage_service_accounts(registry: SmallRegistry, ada: Actor) -> None:
    """The permission, all that the role grants, before and after; and a person."""
    account = registry.service_account(ada)
    operations: list[Any] = [
        lambda actor: registry.service_account(actor, "Another"),
        lambda actor: registry.do(
            owners.modify, actor, account.id, catalogue=registry.catalogue, changes={"name": "New"}
        ),
        lambda actor: registry.do(owner_offboarding.deactivate, actor, account.id),
    ]
    limited = role(registry, ada, "service-accounts:manage", "charges:get", name="Limited")
    for refused_role in ("customer-service", "reporting", limited):
        actor = registry.colleague(refused_role, "Bob")
        for operation in operations:
            with nothing_changes(registry), pytest.raises(Forbidden) as refused:
                operation(actor)
            assert refused.value.reason == "permission_missing"
    token, _ = registry.token(ada, permissions=["charges:get"])
    for operation in operations:
        with pytest.raises(Forbidden) as refused:
            operation(registry.with_token(token))
        assert refused.value.reason == "signed_in_user_required"
    carl = registry.signed_in(registry.carl)
    for operation in operations[1:]:
        with pytest.raises(NotFound):
            operation(carl)
    with pytest.raises(Forbidden) as refused:
        registry.do(
            owners.put, ada, registry.northwind.id, "x", catalogue=registry.catalogue,
            type="external", name="X", role="customer-service",
        )  # fmt: skip
    assert refused.value.reason == "operator_required"
    manager = registry.colleague("manager", "Mia")
    for operation in operations:
        operation(manager)


def test_modifying_is_idempotent_and_versioned(registry: SmallRegistry, ada: Actor) -> None:
    account = registry.service_account(ada)
    other = role(registry, ada, "charges:get", name="Reader")

    def modify(if_match: Any = None, **changes: Any) -> Any:
        return registry.do(
            owners.modify, ada, account.id, catalogue=registry.catalogue,
            changes=changes, if_match=if_match,
        )  # fmt: skip

    changed = modify([owner_records.etag(account)], name="Nightly", role=other)
    assert (changed.name, changed.role) == ("Nightly", other)
    assert sentence(registry.events()[-1]) == (
        "Ada Lovelace renamed the service account Deploys to Nightly and changed its role from "
        "Customer Service to Reader"
    )
    holder = registry.ask(published_holder, account.id)
    assert holder is not None
    assert (holder.name, holder.role) == ("Nightly", other)
    before = registry.revision(), len(registry.events())
    assert modify(name="Nightly") == changed
    assert len(registry.events()) == before[1]
    with pytest.raises(Conflict) as refused:
        modify([owner_records.etag(account)], name="Late")
    assert refused.value.reason == "changed_meanwhile"
    registry.do(owner_offboarding.deactivate, ada, account.id)
    with pytest.raises(Conflict) as refused:
        modify(name="Ended")
    assert refused.value.reason == "owner_deactivated"
    external = registry.external_owner()
    with pytest.raises(NotFound):
        registry.do(
            owners.modify, ada, external.id, catalogue=registry.catalogue, changes={"name": "X"}
        )


def test_the_end_of_an_owner_ends_its_tokens(registry: SmallRegistry, ada: Actor) -> None:
    account = registry.service_account(ada)
    token, text = registry.token(ada, owner=account.id)
    assert registry.reason(text) is Reason.allowed
    ended = registry.do(owner_offboarding.deactivate, ada, account.id)
    assert ended.status == "deactivated"
    assert ended.deactivated_by == ada.person
    assert registry.get(token).status == "deactivated"
    holder = registry.ask(published_holder, account.id)
    assert holder is not None
    assert not holder.active
    assert registry.do(owner_offboarding.deactivate, ada, account.id) == ended
    kinds = [event.action for event in registry.events()][-2:]
    assert kinds == ["owner.deactivated", "access_token.deactivated"]


def test_a_service_account_outlives_its_maker(registry: SmallRegistry, ada: Actor) -> None:
    bob = registry.colleague("manager")
    account = registry.service_account(bob)
    token, text = registry.token(bob, owner=account.id)
    own, own_text = registry.token(bob)
    registry.do(offboarding.deactivate, ada, bob.user)
    assert registry.reason(text) is Reason.allowed
    assert registry.get(token).status == "active"
    assert registry.reason(own_text) is Reason.token_deactivated
    assert registry.get(own).status == "deactivated"


def test_tokens_of_owners(registry: SmallRegistry, ada: Actor) -> None:
    """The record names the owner; lists find it by id and external id."""
    account, external = registry.service_account(ada), registry.external_owner()
    one, _ = registry.token(ada, owner=account.id)
    two, text = registry.token(ada, owner="ext:customer 7")
    mine, _ = registry.token(ada)
    assert (one.owner.type, one.owner.id, one.owner.name) == (
        "service_account",
        account.id,
        "Deploys",
    )
    assert two.owner.external_id == "customer 7"
    assert two.created_by == ada.person
    assert registry.get(two) == two
    assert registry.reason(text) is Reason.allowed
    with registry.read() as reading:
        for reference, found in (
            (account.id, [one]),
            (external.id, [two]),
            ("ext:customer 7", [two]),
            (ada.user, [mine]),
            ("ext:customer", []),
            ("usr_none", []),
            ("\0", []),
        ):
            page = token_search.list_(reading, ada, owner=reference)
            assert (page.items, page.count) == (found, len(found)), reference
            for filters in ({"status": "active"}, {"q": "nightly"}, {"kind": "api"},
                            {"permission": "charges:create"}):  # fmt: skip
                page = token_search.list_(reading, ada, owner=reference, **filters)
                assert page.items == found, filters
        carl = registry.signed_in(registry.carl)
        assert token_search.list_(reading, carl, owner=account.id).items == []
    events = registry.events(action="access_token.created")
    assert sentence(events[0]) == (
        "Ada Lovelace created the access token Nightly settlement for Deploys"
    )


def test_who_may_create_tokens_for_an_owner(registry: SmallRegistry, ada: Actor) -> None:
    account, external = registry.service_account(ada), registry.external_owner()
    bob = registry.colleague("manager")
    helper = registry.colleague(
        role(registry, ada, "access-tokens:create", "charges:create", name="Helper"), "Hal"
    )
    carl = registry.signed_in(registry.carl)
    elsewhere = registry.external_owner("x", registry.contoso)
    for actor, owner, reason in (
        (helper, account.id, "permission_missing"),
        (helper, "ext:customer 7", "permission_missing"),
        (helper, "svc_none", "permission_missing"),
        (helper, ada.user, "not_owner"),
        (ada, bob.user, "not_owner"),
    ):
        with nothing_changes(registry), pytest.raises(Forbidden) as refused:
            registry.token(actor, owner=owner)
        assert refused.value.reason == reason
    for actor, owner in (
        (carl, account.id), (carl, external.id), (carl, ada.user),
        (ada, elsewhere.id), (ada, "ext:x"), (ada, "svc_none"), (ada, "\0"), (ada, ""),
    ):  # fmt: skip
        with nothing_changes(registry), pytest.raises(NotFound):
            registry.token(actor, owner=owner)
    registry.do(owner_offboarding.deactivate, ada, account.id)
    with pytest.raises(Conflict) as ended:
        registry.token(ada, owner=account.id)
    assert ended.value.reason == "owner_deactivated"
    assert registry.token(helper, owner=helper.user)[0].owner.id == helper.user


def test_nobody_gives_an_owner_more_than_they_hold(registry: SmallRegistry, ada: Actor) -> None:
    """Neither more than the creator holds nor more than the owner's role grants."""
    reader = role(registry, ada, "charges:get", name="Reader")
    account = registry.service_account(ada, "Reader", reader)
    limited = registry.colleague(
        role(registry, ada, "access-tokens:create", "access-tokens:modify", "charges:get",
             "service-accounts:manage", name="Limited"), "Lea",
    )  # fmt: skip
    token, text = registry.token(limited, owner=account.id, permissions=["charges:get"])
    for actor, permissions in (
        (limited, ["charges:create"]), (ada, ["charges:create"]), (ada, ["charges:*"]),
    ):  # fmt: skip
        with nothing_changes(registry), pytest.raises(Forbidden) as refused:
            registry.token(actor, owner=account.id, permissions=permissions)
        assert refused.value.reason == "permission_missing"
        with nothing_changes(registry), pytest.raises(Forbidden) as refused:
            registry.modify(ada, token, permissions=["charges:get", *permissions])
        assert refused.value.reason == "permission_missing"
    assert registry.reason(text, "charges:get") is Reason.allowed


def test_external_owners_have_the_catalogue_files_permissions_alone(
    registry: SmallRegistry, ada: Actor
) -> None:
    """At creation, at changes, and whatever their role comes to grant."""
    own = role(registry, ada, "charges:*", "access-tokens:get")
    registry.external_owner(role=own)
    for name in ("access-tokens:get", "access-tokens:*"):
        with pytest.raises(InvalidInput) as refused:
            registry.token(ada, owner="ext:customer 7", permissions=["charges:get", name])
        assert [field for field, _ in refused.value.errors] == ["permissions.1"]
    token, text = registry.token(ada, owner="ext:customer 7", permissions=["charges:*"])
    assert token.effective_permissions == ("charges:create", "charges:get")
    with pytest.raises(InvalidInput):
        registry.modify(ada, token, permissions=["access-tokens:get"])

    def grant(*permissions: str) -> None:
        registry.do(
            roles.modify, ada, own, catalogue=registry.catalogue,
            changes={"permissions": list(permissions)},
        )  # fmt: skip

    for permissions in (["*"], ["charges:*", "users:*", "access-tokens:*"]):
        grant(*permissions)
        assert registry.get(token).effective_permissions == ("charges:create", "charges:get")
        assert registry.decide(text).effective == ("charges:create", "charges:get")
        for name in ("users:manage", "access-tokens:get", "users:*", "*", "charges:refund"):
            assert registry.reason(text, name) is Reason.permission_missing, name
    grant("charges:get")
    assert registry.reason(text) is Reason.permission_missing
    assert registry.reason(text, "charges:get") is Reason.allowed


def test_a_stored_token_with_more_permits_nothing_of_it(
    registry: SmallRegistry, ada: Actor
) -> None:
    """Where an import or a later catalogue left it with more."""
    registry.external_owner()
    token, text = registry.token(ada, owner="ext:customer 7")
    grant = registry.ask(published_grant, token.id)
    assert grant is not None
    wide = frozenset({"charges:create", "access-tokens:*", "users:manage"})
    registry.do(publish, msgspec.structs.replace(grant, permissions=wide))
    for name in ("access-tokens:get", "access-tokens:search", "users:manage"):
        assert registry.reason(text, name) is Reason.permission_missing
    assert registry.decide(text).effective == ("charges:create",)


def test_published_roles_of_external_owners_follow(registry: SmallRegistry, ada: Actor) -> None:
    """They derive from the records alone: a start finds nothing to publish."""
    own = role(registry, ada, "charges:get")
    registry.external_owner(role=own)
    registry.external_owner("customer 8")
    assert follow_catalogue(registry.database, registry.catalogue, registry.now) == 0
    registry.external_owner(role="customer-service")
    assert follow_catalogue(registry.database, registry.catalogue, registry.now) == 0
    with registry.read() as reading:
        keys = published_rules(reading, registry.northwind.id).roles
    assert external_role(own) not in keys
    assert external_role("customer-service") in keys
    registry.do(owner_offboarding.deactivate, ada, "ext:customer 7")
    registry.do(owner_offboarding.deactivate, ada, "ext:customer 8")
    assert follow_catalogue(registry.database, registry.catalogue, registry.now) == 0


def test_a_role_that_an_owner_has_is_not_deleted(registry: SmallRegistry, ada: Actor) -> None:
    for number, make in enumerate(
        (lambda role: registry.service_account(ada, "A", role),
         lambda role: registry.external_owner("a", role=role))
    ):  # fmt: skip
        own = role(registry, ada, "charges:get", name=f"Role {number}")
        owner = make(own)
        with pytest.raises(Conflict) as refused:
            registry.do(roles.delete, ada, own, catalogue=registry.catalogue)
        assert refused.value.reason == "role_in_use"
        registry.do(owner_offboarding.deactivate, ada, owner.id)
        registry.do(roles.delete, ada, own, catalogue=registry.catalogue)
        assert follow_catalogue(registry.database, registry.catalogue, registry.now) == 0


def test_an_owners_token_acts_within_its_role(registry: SmallRegistry, ada: Actor) -> None:
    """It reads under /v1 as any token does, and ends with its owner under the lock, too."""
    account = registry.service_account(ada)
    token, _ = registry.token(ada, owner=account.id, permissions=["access-tokens:search"])
    actor = registry.with_token(token)
    assert (actor.user, actor.name) == (account.id, "Deploys")
    with registry.read() as reading:
        assert len(token_search.list_(reading, actor).items) == 1
    with pytest.raises(Forbidden):
        registry.token(actor)
    assert replace(actor, kind="token") == actor


def test_lists(registry: SmallRegistry, ada: Actor) -> None:
    accounts = [registry.service_account(ada, f"Account {n}") for n in range(3)]
    externals = [registry.external_owner(f"e{n}", name=f"Person {n}") for n in range(3)]
    registry.do(owner_offboarding.deactivate, ada, externals[0].id)
    registry.external_owner("e1", registry.contoso)

    def found(**filters: Any) -> set[str]:
        page = registry.ask(owner_search.list_, ada, **filters)
        assert page.count == len(page.items)
        return {each.name for each in page.items}

    assert len(found()) == 6
    assert found(type="service_account") == {each.name for each in accounts}
    assert found(type="external", status="active") == {"Person 1", "Person 2"}
    assert found(status="deactivated") == {"Person 0"}
    assert found(q="person") == {"Person 0", "Person 1", "Person 2"}
    assert found(q="person", status="active", type="external") == {"Person 1", "Person 2"}
    assert found(q="person", type="service_account") == set()
    assert found(q="e1") == found(external_id="e1") == {"Person 1"}
    assert found(q="E1") == found(external_id="E1") == found(q="nobody") == set()
    assert found(q=accounts[1].id) == {"Account 1"}
    assert found(external_id="e1", type="service_account") == set()
    for wrong in ({"type": "user"}, {"status": "gone"}, {"cursor": "x"}, {"limit": 0}):
        with pytest.raises(InvalidInput):
            found(**wrong)
    for reader in (registry.colleague("reporting", "Rob"),):
        with pytest.raises(Forbidden):
            registry.ask(owner_search.list_, reader)
    paged = registry.every(owner_search.list_, ada, limit=2)
    assert len({each.id for each in paged}) == 6


def test_the_audit_log_finds_owners_by_name_and_id(registry: SmallRegistry, ada: Actor) -> None:
    """What a token of theirs did is under their name."""
    account, external = registry.service_account(ada), registry.external_owner("cus_7")
    for text, found in (
        ("deploy", account), (account.id, account), ("cus_7", external), (external.id, external),
    ):  # fmt: skip
        (named,) = registry.ask(search_terms.people_called, ada, text)
        assert (named.id, named.name) == (found.id, found.name)
    carl = registry.signed_in(registry.carl)
    for text in ("deploy", account.id, "cus_7"):
        assert registry.ask(search_terms.people_called, carl, text) == []
    with registry.read() as reading, measured(reading) as work:
        search_terms.people_called(reading, ada, "cus_8")
    steps = [step for plan in work.plans for step in plan]
    # SQLite's words for a look at each owner of the company.
    assert not [step for step in steps if "owners" in step and step.endswith("(company_id=?)")]
