"""Disabling another user's second factor: who may, and what it deactivates."""

import pytest
from sqlalchemy import func, select, update

from gatepass.core.decision import Reason
from gatepass.core.errors import GatepassError
from gatepass.registry.actor import Actor
from gatepass.registry.audit import sentences
from gatepass.registry.authentication import totp, totp_policy, totp_reset
from gatepass.registry.directory.users import User
from gatepass.registry.membership import offboarding
from gatepass.registry.storage.tables import companies, recovery_codes, users
from tests.support.database.small_registry import SmallRegistry, nothing_changes


def turn_off(registry: SmallRegistry, actor: Actor, user: str) -> User:
    return registry.do(totp_reset.turn_off_second_factor, actor, user)


def enrol(registry: SmallRegistry, user: User) -> list[str]:
    """Enable *user*'s second factor; returns the recovery codes."""
    registry.encryption_key.create()
    secret = totp.new_secret()
    return registry.do(totp.enable, user.id, secret, 0, registry.encryption_key)


def enter(registry: SmallRegistry, user: User, code: str | None = None) -> str:
    return registry.sign_in(email=user.email, code=code, address=None)[1]


@pytest.fixture
def grace(registry: SmallRegistry) -> User:
    return registry.user(registry.northwind, "grace@northwind.example", "Grace Hopper", "manager")


def test_the_password_alone_suffices_and_sign_ins_are_deactivated(
    registry: SmallRegistry, ada: Actor, grace: User
) -> None:
    codes = enrol(registry, grace)
    former = [enter(registry, grace, code) for code in codes[:2]]
    _, access_token = registry.token(registry.signed_in(grace))
    with pytest.raises(GatepassError):
        enter(registry, grace)
    assert {registry.reason(login) for login in former} == {Reason.allowed}
    before = registry.revision()

    changed = turn_off(registry, ada, grace.id)
    assert changed.second_factor is False
    assert registry.revision() == before + 1, "all of it is one change"
    assert {registry.reason(login) for login in former} == {Reason.token_deactivated}
    assert registry.reason(access_token) is Reason.allowed
    assert registry.reason(enter(registry, grace)) is Reason.allowed
    with registry.read() as reading:
        row = reading.session.execute(select(users).where(users.c.id == grace.id)).one()
        left = reading.session.execute(
            select(func.count()).where(recovery_codes.c.user_id == grace.id)
        ).scalar_one()
    # The last used step stays, so enabling again doesn't make a used code valid.
    assert (row.totp_sealed, left) == (None, 0)
    assert len(registry.events(action="authentication.deactivated")) == 3
    (event,) = registry.events(action="user.second_factor_disabled")
    assert sentences.sentence(event) == "Ada Lovelace turned off Grace Hopper's second factor"
    assert (event.company, event.before) == (grace.company, None)
    assert event.after == {"authentications_ended": 3}
    with nothing_changes(registry, but="revision revisions changed_records"):
        assert turn_off(registry, ada, grace.id).second_factor is False


def test_other_users_are_unaffected(registry: SmallRegistry, ada: Actor, grace: User) -> None:
    linus = registry.user(registry.northwind, "linus@northwind.example", "Linus")
    enrol(registry, grace)
    kept = enrol(registry, linus)
    turn_off(registry, ada, grace.id)
    assert registry.reason(enter(registry, linus, kept[0])) is Reason.allowed
    assert turn_off(registry, ada, linus.id).second_factor is False, "ada is still signed in"


def test_required_permissions(registry: SmallRegistry, grace: User) -> None:
    enrol(registry, grace)
    enrol(registry, registry.ada)
    enrol(registry, registry.carl)
    ada = registry.signed_in(registry.ada)
    token, _ = registry.token(ada, permissions=["users:*"])
    boss = registry.user(registry.northwind, "boss@northwind.example", "Boss")
    enrol(registry, boss)
    manager = registry.colleague("manager")

    def refused(actor: Actor, user: str) -> tuple[str, str | None]:
        with nothing_changes(registry), pytest.raises(GatepassError) as refusal:
            turn_off(registry, actor, user)
        return refusal.value.reason, getattr(refusal.value, "permission", None)

    assert refused(registry.with_token(token), grace.id)[0] == "signed_in_user_required"
    assert refused(registry.colleague("reporting"), grace.id) == (
        "permission_missing",
        "users:manage",
    )
    assert refused(ada, registry.carl.id)[0] == "not_found"
    assert refused(ada, "usr_nobody")[0] == "not_found"
    assert refused(ada, registry.ada.id)[0] == "own_second_factor"
    assert refused(registry.signed_in(grace), grace.id)[0] == "own_second_factor"
    # Nor the last administrator's, which other changes check first.
    assert refused(manager, boss.id) == ("permission_missing", "*")
    registry.do(offboarding.deactivate, ada, boss.id)
    assert refused(manager, registry.ada.id) == ("permission_missing", "*")
    assert turn_off(registry, manager, grace.id).second_factor is False


def test_an_actor_deactivated_meanwhile_is_refused(registry: SmallRegistry, grace: User) -> None:
    enrol(registry, grace)
    boss = registry.user(registry.northwind, "boss@northwind.example", "Boss")
    acting = registry.signed_in(boss)
    ada = registry.signed_in(registry.ada)
    registry.do(offboarding.deactivate, ada, boss.id)
    with nothing_changes(registry), pytest.raises(GatepassError) as refusal:
        turn_off(registry, acting, grace.id)
    assert refusal.value.reason == "account_deactivated"


def test_a_company_that_requires_one_still_does(registry: SmallRegistry, grace: User) -> None:
    enrol(registry, grace)
    with registry.write() as change:
        change.session.execute(update(companies).values(second_factor_required=True))
    turn_off(registry, registry.signed_in(registry.ada), grace.id)
    assert registry.ask(totp_policy.user_and_lacking, grace.id, "")[1]


def test_the_command_line_helps_the_last_administrator(registry: SmallRegistry) -> None:
    enrol(registry, registry.ada)
    turn_off(registry, Actor.command_line(), registry.ada.id)
    assert registry.reason(enter(registry, registry.ada)) is Reason.allowed
    (event,) = registry.events(registry.northwind, action="user.second_factor_disabled")
    assert sentences.sentence(event) == "The command line turned off Ada Lovelace's second factor"


def test_it_works_without_the_encryption_key(registry: SmallRegistry, grace: User) -> None:
    enrol(registry, grace)
    registry.encryption_key.path.unlink()
    turn_off(registry, registry.signed_in(registry.ada), grace.id)
    assert registry.reason(enter(registry, grace)) is Reason.allowed
