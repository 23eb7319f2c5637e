"""Operators: only operators and the command line may change their accounts."""

from typing import Any

import pytest

from gatepass.core.errors import GatepassError
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions, totp, totp_reset
from gatepass.registry.authentication.session_records import Authentication
from gatepass.registry.directory import user_privileges, user_roles, users
from gatepass.registry.directory.users import User
from gatepass.registry.membership import email_changes, offboarding, operators
from gatepass.registry.storage.database import Change
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import SmallRegistry, nothing_changes


@pytest.fixture
def olga(registry: SmallRegistry) -> User:
    """An operator among the Admins of Northwind."""
    return named(
        registry, registry.user(registry.northwind, "olga@northwind.example", "Olga Operator")
    )


def named(registry: SmallRegistry, user: User, *, operator: bool = True) -> User:
    return registry.do(operators.name_operator, Actor.command_line(), user.id, operator=operator)


def changes(registry: SmallRegistry, user: User) -> dict[str, Any]:
    """All operations on a colleague's account."""
    sign_in = registry.signed_in(user).credential or ""
    with registry.write() as change:
        registry.encryption_key.create()
        totp.enable(change, user.id, totp.new_secret(), 0, registry.encryption_key)
    return {
        "role": lambda change, actor: user_roles.change_role(
            change, actor, user.id, role="reporting"
        ),
        "end": lambda change, actor: offboarding.deactivate(change, actor, user.id),
        "second factor": lambda change, actor: totp_reset.turn_off_second_factor(
            change, actor, user.id
        ),
        "e-mail address": lambda change, actor: email_changes.request(
            change, actor, user.id, email="new@northwind.example"
        ),
        "e-mail address, again": lambda change, actor: email_changes.cancel(change, actor, user.id),
        "sign-in": lambda change, actor: sessions.deactivate(change, actor, sign_in),
    }


def refused(registry: SmallRegistry, actor: Actor, do: Any) -> GatepassError:
    with (
        nothing_changes(registry),
        pytest.raises(GatepassError) as refusal,
        registry.write() as change,
    ):
        do(change, actor)
    return refusal.value


def test_no_administrator_changes_an_operators_account(registry: SmallRegistry, olga: User) -> None:
    ada = registry.signed_in(registry.ada)
    for what, change_it in changes(registry, olga).items():
        refusal = refused(registry, ada, change_it)
        assert (what, refusal.reason) == (what, "operator_required")
        assert "Olga Operator is an operator" in refusal.message


def test_another_operator_changes_an_operators_account(registry: SmallRegistry, olga: User) -> None:
    named(registry, registry.ada)
    # As admitted; the operation checks again under the lock.
    ada = registry.signed_in(registry.ada)
    todo = changes(registry, olga)
    last = todo.pop("end")
    # Except their address: the owner of the mailbox can reset the password.
    for what in ("e-mail address", "e-mail address, again"):
        assert refused(registry, ada, todo.pop(what)).reason == "operator_required"
    for change_it in (*todo.values(), last):
        registry.do(change_it, ada)
    assert registry.ask(users.get, olga.id).status == "deactivated"


def test_a_former_operator_does_not(registry: SmallRegistry, olga: User) -> None:
    named(registry, registry.ada)
    ada = registry.signed_in(registry.ada)
    named(registry, registry.ada, operator=False)
    for change_it in changes(registry, olga).values():
        assert refused(registry, ada, change_it).reason == "operator_required"


def test_an_operator_deactivates_their_own_sign_ins(registry: SmallRegistry, olga: User) -> None:
    here, there = registry.signed_in(olga), registry.signed_in(olga)

    def end(credential: str | None) -> Authentication:
        return registry.do(sessions.deactivate, here, credential or "")

    assert end(there.credential).status == "deactivated"
    assert end(here.credential).status == "deactivated"


def test_the_last_operator_cannot_be_deactivated(registry: SmallRegistry, olga: User) -> None:
    acting = registry.signed_in(olga)
    refusal = refused(
        registry, acting, lambda change, actor: offboarding.deactivate(change, actor, olga.id)
    )
    assert refusal.reason == "last_operator"
    # The command line can name another; one of another company counts, too.
    named(registry, registry.carl)
    assert registry.do(offboarding.deactivate, acting, olga.id).status == "deactivated"
    # The command line isn't refused, because it can name another.
    assert not named(registry, registry.carl, operator=False).operator


def test_of_operators_who_deactivate_themselves_concurrently_one_stays(
    registry: SmallRegistry, olga: User
) -> None:
    others = [
        named(registry, registry.user(registry.northwind, f"o{n}@northwind.example", f"O{n}"))
        for n in range(4)
    ]
    acting = [registry.signed_in(each) for each in (olga, *others)]

    def leave(actor: Actor) -> str:
        return registry.do(offboarding.deactivate, actor, actor.user or "").status

    assert sorted(concurrently(leave, acting)) == ["deactivated"] * 4 + ["last_operator"]
    assert registry.ask(user_privileges.active_operators) == 1


def test_only_the_command_line_names_operators(registry: SmallRegistry, olga: User) -> None:
    acting = registry.signed_in(olga)
    for operator in (True, False):

        def name(change: Change, actor: Actor, operator: bool = operator) -> User:
            return operators.name_operator(change, actor, registry.ada.id, operator=operator)

        assert refused(registry, acting, name).reason == "operator_required"
    said = registry.events(action="user.operator_named")
    assert [event.subject.name for event in said] == ["Olga Operator"]
    assert named(registry, olga) == olga, "repeating it changes nothing"
    assert registry.events(action="user.operator_named") == said
