"""What an operator is, only operators and the command line change: no role covers that."""

import threading
from typing import Any

import pytest
from sqlalchemy.orm import Session

from gatepass.core.errors import GatepassError
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions, totp
from gatepass.registry.authentication.session_records import Authentication
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
from gatepass.registry.membership import email_changes, user_changes
from small_registry import SmallRegistry, nothing_changes


@pytest.fixture
def olga(registry: SmallRegistry) -> User:
    """An operator among the Admins of Northwind."""
    return named(
        registry, registry.user(registry.northwind, "olga@northwind.example", "Olga Operator")
    )


def named(registry: SmallRegistry, user: User, *, operator: bool = True) -> User:
    with registry.changing() as change:
        return user_changes.name_operator(
            change.session, Actor.command_line(), user.id, operator=operator
        )


def changes(registry: SmallRegistry, user: User) -> dict[str, Any]:
    """All that can be done to a colleague's account."""
    sign_in = registry.signed_in(user).credential or ""
    with registry.changing() as change:
        registry.sealing.make()
        totp.put(change.session, user.id, totp.new_secret(), 0, registry.sealing)
    return {
        "role": lambda session, actor: user_changes.change_role(
            session, actor, user.id, role="reporting"
        ),
        "end": lambda session, actor: user_changes.deactivate(session, actor, user.id),
        "second factor": lambda session, actor: user_changes.turn_off_second_factor(
            session, actor, user.id
        ),
        "e-mail address": lambda session, actor: email_changes.request(
            session, actor, user.id, email="new@northwind.example"
        ),
        "e-mail address, again": lambda session, actor: email_changes.cancel(
            session, actor, user.id
        ),
        "sign-in": lambda session, actor: sessions.deactivate(session, actor, sign_in),
    }


def refused(registry: SmallRegistry, actor: Actor, do: Any) -> GatepassError:
    with (
        nothing_changes(registry),
        pytest.raises(GatepassError) as refusal,
        registry.changing() as change,
    ):
        do(change.session, actor)
    return refusal.value


def test_no_administrator_changes_an_operators_account(registry: SmallRegistry, olga: User) -> None:
    ada = registry.signed_in(registry.ada)
    for what, change_it in changes(registry, olga).items():
        refusal = refused(registry, ada, change_it)
        assert (what, refusal.reason) == (what, "operator_required")
        assert "Olga Operator is an operator" in refusal.message


def test_another_operator_does(registry: SmallRegistry, olga: User) -> None:
    named(registry, registry.ada)
    # As they were when the request was admitted: it is asked again behind the lock.
    ada = registry.signed_in(registry.ada)
    todo = changes(registry, olga)
    last = todo.pop("end")
    # But for their address: with the mailbox goes the password.
    for what in ("e-mail address", "e-mail address, again"):
        assert refused(registry, ada, todo.pop(what)).reason == "operator_required"
    for change_it in (*todo.values(), last):
        with registry.changing() as change:
            change_it(change.session, ada)
    with registry.reading() as session:
        assert users.get(session, olga.id).status == "deactivated"


def test_who_is_no_operator_any_more_does_not(registry: SmallRegistry, olga: User) -> None:
    named(registry, registry.ada)
    ada = registry.signed_in(registry.ada)
    named(registry, registry.ada, operator=False)
    for change_it in changes(registry, olga).values():
        assert refused(registry, ada, change_it).reason == "operator_required"


def test_an_operator_ends_their_own_sign_ins(registry: SmallRegistry, olga: User) -> None:
    here, there = registry.signed_in(olga), registry.signed_in(olga)

    def end(credential: str | None) -> Authentication:
        with registry.changing() as change:
            return sessions.deactivate(change.session, here, credential or "")

    assert end(there.credential).status == "deactivated"
    assert end(here.credential).status == "deactivated"


def test_the_last_one_stays(registry: SmallRegistry, olga: User) -> None:
    acting = registry.signed_in(olga)
    refusal = refused(
        registry, acting, lambda session, actor: user_changes.deactivate(session, actor, olga.id)
    )
    assert refusal.reason == "last_operator"
    # Whoever runs the server names another; one of another company does as well.
    named(registry, registry.carl)
    with registry.changing() as change:
        assert user_changes.deactivate(change.session, acting, olga.id).status == "deactivated"
    # Where nobody can name one but the server, the server isn't kept from anything.
    assert not named(registry, registry.carl, operator=False).operator


def test_of_operators_who_end_themselves_at_once_one_stays(
    registry: SmallRegistry, olga: User
) -> None:
    others = [
        named(registry, registry.user(registry.northwind, f"o{n}@northwind.example", f"O{n}"))
        for n in range(4)
    ]
    everyone = [olga, *others]
    acting = [registry.signed_in(each) for each in everyone]
    outcomes: list[str] = []
    begin = threading.Barrier(len(everyone))

    def leave(actor: Actor) -> None:
        begin.wait()
        try:
            with registry.changing() as change:
                user_changes.deactivate(change.session, actor, actor.user or "")
            outcomes.append("left")
        except GatepassError as error:
            outcomes.append(error.reason)

    threads = [threading.Thread(target=leave, args=(each,)) for each in acting]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["last_operator"] + ["left"] * 4
    with registry.reading() as session:
        assert users.active_operators(session) == 1


def test_only_the_server_names_them(registry: SmallRegistry, olga: User) -> None:
    acting = registry.signed_in(olga)
    for operator in (True, False):

        def name(session: Session, actor: Actor, operator: bool = operator) -> User:
            return user_changes.name_operator(session, actor, registry.ada.id, operator=operator)

        assert refused(registry, acting, name).reason == "operator_required"
    said = registry.events(action="user.operator_named")
    assert [event.subject.name for event in said] == ["Olga Operator"]
    assert named(registry, olga) == olga, "repeating it changes nothing"
    assert registry.events(action="user.operator_named") == said
