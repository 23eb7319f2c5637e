"""One's own account: name, and password changes, which deactivate other sign-ins."""

from typing import Any

import pytest
from sqlalchemy import update

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, GatepassError, InvalidInput, TooManyAttempts
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import passwords, sessions
from gatepass.registry.grants.publishing import published_grant, published_holder
from gatepass.registry.membership import account
from gatepass.registry.storage.tables import users
from tests.support.database.small_registry import HOUR, PASSWORD, SmallRegistry, nothing_changes
from tests.support.weak_hashing import HASHER

NEW = "seven brass kettles sing"


def change(registry: SmallRegistry, actor: Actor, **changes: Any) -> int:
    given = {"current": PASSWORD, "new": NEW} | changes
    return account.change_password(registry.reauthentication, actor, **given).made


def rename(registry: SmallRegistry, actor: Actor, name: str, former: str | None = None) -> None:
    registry.do(account.rename, actor, name, former=former)


def kept(registry: SmallRegistry) -> str:
    with registry.read() as reading:
        return str(
            reading.session.execute(
                users.select()
                .with_only_columns(users.c.password_hash)
                .where(users.c.id == registry.ada.id)
            ).scalar_one()
        )


def fits(registry: SmallRegistry, password: str) -> bool:
    return passwords.verify(password, kept(registry), hasher=HASHER)


def test_renaming_oneself(registry: SmallRegistry, ada: Actor) -> None:
    rename(registry, ada, "Augusta Ada King", former="Ada Lovelace")
    mine = registry.ask(account.get, ada)
    assert (mine.name, mine.email) == ("Augusta Ada King", "ada@northwind.example")
    assert (mine.second_factor, mine.second_factor_required) == (False, False)
    (event,) = registry.events(action="user.renamed")
    assert event.before == {"name": "Ada Lovelace"}
    assert event.after == {"name": "Augusta Ada King"}
    assert (event.actor_id, event.subject.id) == (registry.ada.id, registry.ada.id)
    with pytest.raises(Conflict) as conflict:
        rename(registry, ada, "Countess", former="Ada Lovelace")
    assert (conflict.value.reason, conflict.value.current) == (
        "changed_meanwhile",
        "Augusta Ada King",
    )
    rename(registry, ada, "Augusta Ada King")
    assert len(registry.events(action="user.renamed")) == 1


@pytest.mark.parametrize("name", ["", "x" * 101, "Ada\n", "\0", "\ud800"])
def test_a_name_must_be_one_line_of_text(registry: SmallRegistry, ada: Actor, name: str) -> None:
    with nothing_changes(registry), pytest.raises(InvalidInput) as refusal:
        rename(registry, ada, name)
    assert refusal.value.errors[0][0] == "name"


def test_changing_the_password_deactivates_all_other_sign_ins(
    registry: SmallRegistry, ada: Actor
) -> None:
    others = [registry.signed_in(registry.ada) for _ in range(3)]
    bob, carl = registry.colleague("admin"), registry.signed_in(registry.carl)
    made, text = registry.token(ada)
    assert change(registry, ada) == 3
    assert fits(registry, NEW)
    assert not fits(registry, PASSWORD)
    with registry.read() as reading:
        for actor, ended in [*((other, True) for other in others), (ada, False), (bob, False)]:
            grant = published_grant(reading, actor.credential or "")
            assert grant is not None
            assert grant.deactivated is ended
        assert sessions.get(reading, carl, carl.credential or "").status == "active"
    assert registry.reason(text) is Reason.allowed
    (event,) = registry.events(action="user.password_changed")
    assert event.after == {"authentications_ended": 3}
    assert kept(registry) not in repr(registry.events())
    assert made.status == "active"


def test_ended_sign_ins_stay_unchanged(registry: SmallRegistry, ada: Actor) -> None:
    registry.now += 3 * HOUR
    again = registry.signed_in(registry.ada)
    assert change(registry, again) == 0


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("current_password", {"current": "wrong"}),
        ("current_password", {"current": ""}),
        ("current_password", {"current": "x" * 5000}),
        ("password", {"new": "fourteen chars"}),
        ("password", {"new": "x" * 257}),
        ("password", {"new": "passwordpassword"}),
        ("password", {"new": "ada@northwind.example"}),
        ("password", {"new": "the Northwind wind blows"}),
        ("password", {"new": "\ud800" * 20}),
    ],
)
def test_errors_name_their_fields(
    registry: SmallRegistry, ada: Actor, field: str, changes: dict[str, str]
) -> None:
    with nothing_changes(registry), pytest.raises(InvalidInput) as refusal:
        change(registry, ada, **changes)
    assert [name for name, _ in refusal.value.errors] == [field]


def test_a_session_cannot_guess_the_password(registry: SmallRegistry, ada: Actor) -> None:
    for _ in range(10):
        with pytest.raises(InvalidInput):
            change(registry, ada, current="wrong")
    with pytest.raises(TooManyAttempts):
        change(registry, ada, current="wrong")
    with nothing_changes(registry), pytest.raises(TooManyAttempts):
        change(registry, ada)
    registry.now += 16 * 60_000
    assert change(registry, ada) == 0


def test_the_second_of_two_concurrent_password_changes_is_refused(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset completes between the verification of the password and the change."""
    verify = passwords.verify

    def slowly(password: str, found: str | None, **how: Any) -> bool:
        with registry.write() as change:
            change.session.execute(update(users).values(password_hash="another"))
        return verify(password, found, **how)

    monkeypatch.setattr(passwords, "verify", slowly)
    with pytest.raises(Conflict) as refusal:
        change(registry, ada)
    assert refusal.value.reason == "changed_meanwhile"
    assert kept(registry) == "another"


def test_an_actor_deactivated_meanwhile_is_refused(registry: SmallRegistry, ada: Actor) -> None:
    registry.do(sessions.sign_out, ada)
    with nothing_changes(registry):
        for attempt in (
            lambda: change(registry, ada),
            lambda: rename(registry, ada, "Somebody"),
        ):
            with pytest.raises(Forbidden) as refusal:
                attempt()
            assert refusal.value.reason == "token_deactivated"


def test_access_tokens_cannot_change_an_account(registry: SmallRegistry, ada: Actor) -> None:
    token = registry.with_token(registry.token(ada)[0])
    with nothing_changes(registry):
        for actor in (token, Actor.command_line()):
            with registry.read() as reading:
                reasons = []
                for attempt in (
                    lambda actor=actor: change(registry, actor),
                    lambda actor=actor: rename(registry, actor, "Somebody"),
                    lambda actor=actor, reading=reading: account.get(reading, actor),
                ):
                    with pytest.raises(GatepassError) as refusal:
                        attempt()
                    reasons.append(refusal.value.reason)
            assert set(reasons) == {"signed_in_user_required"}


def test_a_new_name_is_published(registry: SmallRegistry, ada: Actor) -> None:
    """Verification names the owner of a token."""
    registry.do(account.rename, ada, "Ada King")
    holder = registry.ask(published_holder, registry.ada.id)
    assert holder is not None
    assert (holder.name, holder.active, holder.role) == ("Ada King", True, "admin")
