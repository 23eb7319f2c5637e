"""Rotation: what the new token has, how the old one closes, who may do it."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, GatepassError, InvalidInput, NotFound
from gatepass.registry.actor import Actor, Person
from gatepass.registry.directory import roles
from gatepass.registry.grants.publishing import published_grant
from gatepass.registry.input.expiry import LATEST_EXPIRY
from gatepass.registry.membership import owner_offboarding
from gatepass.registry.replication import receipt_status
from gatepass.registry.tokens import access_tokens, rotation
from gatepass.registry.tokens.input import CHANGEABLE
from gatepass.registry.tokens.lists import search
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import (
    LONGEST_AFTER_S,
    LONGEST_SILENCE_S,
    SHORTEST_SILENCE_S,
    Closing,
)
from gatepass.registry.tokens.rotation_records import Close
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry, nothing_changes
from tests.support.token_fields import FIRST

DAY = 24 * HOUR
SILENT = Closing("when_silent")


def rotate(
    registry: SmallRegistry, actor: Actor, token: AccessToken, closing: Closing = SILENT
) -> tuple[AccessToken, str]:
    return registry.do(rotation.rotate, actor, token.id, closing)


def test_the_new_token_has_the_owner_and_the_settings(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, kind="ui", **FIRST)
    registry.now += HOUR
    new, text = rotate(registry, ada, token)
    assert new.id == text[:21] != token.id
    assert new == registry.get(new)
    old = registry.get(token)
    for name in {*CHANGEABLE, "kind", "owner", "company"} - {"expires_at"}:
        assert getattr(new, name) == getattr(token, name), name
    assert token.expires_at is not None
    assert new.expires_at == registry.now + token.expires_at - token.created_at
    assert (new.created_at, new.created_by) == (registry.now, token.created_by)
    assert new.rotation is not None
    assert old.rotation is not None
    assert (new.rotation.replaces, new.rotation.replaced_by) == (old.id, None)
    assert (old.rotation.replaces, old.rotation.replaced_by) == (None, new.id)
    assert (new.rotation.close, new.rotation.closes_at) == (None, None)
    call = {"origin": "https://shop.example.com", "address": "203.0.113.9"}
    assert registry.reason(text, "charges:get", **call) is Reason.allowed


@pytest.mark.parametrize("close", ["now", "after", "when_silent"])
def test_the_external_id_moves(registry: SmallRegistry, ada: Actor, close: Close) -> None:
    """In the records, and in what verifiers answer."""
    token, _ = registry.token(ada, external_id="deploy-7")
    new, _ = rotate(registry, ada, token, Closing(close, after=60 if close == "after" else None))
    with registry.read() as reading:
        granted = [published_grant(reading, each.id) for each in (token, new)]
    assert [each.external_id for each in granted if each] == [None, "deploy-7"]
    assert (registry.get(token).external_id, new.external_id) == (None, "deploy-7")
    again, _ = rotate(registry, ada, new, Closing("now"))
    assert again.external_id == "deploy-7"


CLOSINGS = [
    # The old token's life, how it closes, and after which of its remaining life.
    (None, Closing("after", after=600), 600_000),
    (HOUR, Closing("after", after=600), 600_000),
    (HOUR, Closing("after", after=7_200), HOUR),
    (None, SILENT, 1_000 * LONGEST_AFTER_S),
    (HOUR, Closing("when_silent", silent_for=7_200), HOUR),
    (100 * DAY, SILENT, 90 * DAY),
]


@pytest.mark.parametrize(("life", "closing", "left"), CLOSINGS)
def test_by_time_alone_the_old_token_closes_in_the_end(
    registry: SmallRegistry, ada: Actor, life: int | None, closing: Closing, left: int
) -> None:
    token, text = registry.token(ada, expires_at=None if life is None else NOW + life)
    _, new_text = rotate(registry, ada, token, closing)
    old = registry.get(token)
    assert old.rotation is not None
    assert (old.rotation.close, old.rotation.closes_at) == (closing.close, NOW + left)
    assert (old.status, old.expires_at) == ("active", NOW + left)
    registry.now = NOW + left - 1
    assert registry.reason(text) is Reason.allowed
    registry.now = NOW + left
    assert registry.reason(text) is Reason.token_expired
    if life is None:
        assert registry.reason(new_text) is Reason.allowed


def test_now_ends_the_old_one_in_the_same_change(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada)
    before = registry.revision()
    new, new_text = rotate(registry, ada, token, Closing("now", label="Second"))
    assert registry.revision() == before + 1
    old = registry.get(token)
    assert (old.status, old.deactivated_by) == ("deactivated", Person("rotation", "rotation"))
    assert old.rotation is not None
    assert (old.rotation.close, old.rotation.closes_at) == ("now", NOW)
    assert registry.reason(text) is Reason.token_deactivated
    assert registry.reason(new_text) is Reason.allowed
    assert (new.label, old.label) == ("Second", "Nightly settlement")
    assert registry.ask(receipt_status.find, token.id) is not None
    events = [event for event in registry.events(registry.northwind) if "token." in event.action]
    assert [(event.action, event.subject.id, event.actor_id) for event in events[1:]] == [
        ("access_token.created", new.id, registry.ada.id),
        ("access_token.rotated", old.id, registry.ada.id),
        ("access_token.deactivated", old.id, registry.ada.id),
    ]
    assert events[1].after is not None
    assert events[1].after["replaces"] == old.id
    assert events[2].after == {
        "close": "now",
        "replaced_by": new.id,
        "successor_label": "Second",
    }
    assert events[3].after == {"deactivated_at": NOW, "cause": "rotation"}


def test_the_event_says_how_the_old_one_closes(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, expires_at=NOW + HOUR)
    new, _ = rotate(registry, ada, token, Closing("after", after=60))
    event = registry.events(registry.northwind)[-1]
    assert (event.action, event.before) == ("access_token.rotated", {"expires_at": NOW + HOUR})
    assert event.after == {"close": "after", "replaced_by": new.id, "expires_at": NOW + 60_000}


@pytest.mark.parametrize(
    ("closing", "fields"),
    [
        (Closing("after"), ["after"]),
        (Closing("after", after=0), ["after"]),
        (Closing("after", after=LONGEST_AFTER_S + 1), ["after"]),
        (Closing("now", after=1, silent_for=3_600, label=""), ["after", "silent_for", "label"]),
        (Closing("when_silent", after=1), ["after"]),
        (Closing("when_silent", silent_for=SHORTEST_SILENCE_S - 1), ["silent_for"]),
        (Closing("when_silent", silent_for=LONGEST_SILENCE_S + 1), ["silent_for"]),
        (Closing("now", label="a\u202eb"), ["label"]),
    ],
)
def test_invalid_fields_change_nothing(
    registry: SmallRegistry, ada: Actor, closing: Closing, fields: list[str]
) -> None:
    token, _ = registry.token(ada)
    with nothing_changes(registry), pytest.raises(InvalidInput) as refusal:
        rotate(registry, ada, token, closing)
    assert [field for field, _ in refusal.value.errors] == fields


def test_a_token_is_replaced_once_and_while_it_lives(registry: SmallRegistry, ada: Actor) -> None:
    replaced, _ = registry.token(ada)
    first, _ = rotate(registry, ada, replaced)
    ended_by_it, _ = registry.token(ada)
    rotate(registry, ada, ended_by_it, Closing("now"))
    ended, _ = registry.token(ada)
    registry.do(access_tokens.deactivate, ada, ended.id)
    expired, _ = registry.token(ada, expires_at=NOW + 1)
    registry.now += 1
    for token, reason in (
        (replaced, "already_rotated"),
        (ended_by_it, "already_rotated"),
        (ended, "token_deactivated"),
        (expired, "token_expired"),
    ):
        with nothing_changes(registry), pytest.raises(Conflict) as refusal:
            rotate(registry, ada, token, Closing("after", after=60))
        current = refusal.value.current
        assert isinstance(current, AccessToken)
        assert (refusal.value.reason, current.id) == (reason, token.id)
    assert rotate(registry, ada, first)[0].rotation is not None


def test_others_tokens_are_theirs(registry: SmallRegistry, ada: Actor) -> None:
    bob = registry.colleague("manager")
    bobs, _ = registry.token(bob)
    accounts, _ = registry.token(ada, owner=registry.service_account(ada).id)
    customers, _ = registry.token(ada, owner=registry.external_owner().id)
    reporting = registry.colleague("reporting")
    carl = registry.signed_in(registry.carl)
    mine, _ = registry.token(ada, permissions=["access-tokens:*", "charges:*"])
    refusals: list[tuple[Actor, AccessToken, type[GatepassError], str]] = [
        (ada, bobs, Forbidden, "not_owner"),
        (bob, mine, Forbidden, "not_owner"),
        (carl, mine, NotFound, "not_found"),
        (reporting, mine, Forbidden, "permission_missing"),
        (registry.with_token(mine), mine, Forbidden, "signed_in_user_required"),
        (registry.admin_key(), accounts, Forbidden, "admin_key"),
    ]
    for actor, token, kind, reason in refusals:
        with nothing_changes(registry), pytest.raises(kind) as refusal:
            rotate(registry, actor, token)
        assert refusal.value.reason == reason
    for token in (accounts, customers):
        assert rotate(registry, bob, token)[0].owner == token.owner
    by_hand, _ = rotate(registry, Actor.command_line(), bobs)
    assert (by_hand.owner.id, by_hand.created_by) == (bob.user, Person(None, "the command line"))


def test_one_must_hold_all_that_the_token_has(registry: SmallRegistry, ada: Actor) -> None:
    # A manager holds each action of charges by its name, but not those of tomorrow.
    desk = registry.do(
        roles.create, ada, catalogue=registry.catalogue, name="Desk", permissions=["charges:*"]
    )
    account = registry.service_account(ada, role=desk.id)
    token, _ = registry.token(ada, owner=account.id, permissions=["charges:*"])
    bob = registry.colleague("manager")
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        rotate(registry, bob, token)
    assert (refusal.value.reason, refusal.value.permission) == ("permission_missing", "charges:*")


def test_a_platform_rotates_what_owners_have(registry: SmallRegistry, ada: Actor) -> None:
    key = registry.admin_key(registry.northwind, "tokens")
    owner = registry.external_owner()
    token, _ = registry.token(ada, owner=owner.id)
    users, _ = registry.token(ada)

    def as_platform(actor: Actor, which: AccessToken) -> tuple[AccessToken, str]:
        return registry.do(
            rotation.rotate_owned, actor, registry.northwind.id, which.id, Closing("now")
        )

    other_area = registry.admin_key(registry.northwind, "owners")
    other_company = registry.admin_key(registry.contoso)
    with nothing_changes(registry):
        with pytest.raises(NotFound):
            as_platform(key, users)
        with pytest.raises(Forbidden):
            as_platform(other_area, token)
        with pytest.raises(NotFound):
            as_platform(other_company, token)
    new, text = as_platform(key, token)
    assert (new.owner, registry.reason(text)) == (token.owner, Reason.allowed)
    registry.do(
        owner_offboarding.deactivate_of, Actor.command_line(), registry.northwind.id, owner.id
    )
    with nothing_changes(registry), pytest.raises(Conflict):
        as_platform(key, new)


def test_searches_find_the_new_token(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, label="Morning run")
    new, _ = rotate(registry, ada, token, Closing("now", label="Evening run"))
    for filters, found in (
        ({"q": "evening"}, [new.id]),
        ({"q": "run", "status": "active"}, [new.id]),
        ({"permission": "charges:create"}, [new.id, token.id]),
    ):
        page = registry.ask(search.list_, ada, **filters)
        assert sorted(item.id for item in page.items) == sorted(found)


def test_a_role_that_shrank_is_no_obstacle_to_its_owners_platform(
    registry: SmallRegistry, ada: Actor
) -> None:
    owner = registry.external_owner()
    token, _ = registry.token(ada, owner=owner.id)
    role = registry.do(
        roles.create, ada, catalogue=registry.catalogue, name="Less", permissions=["charges:get"]
    )
    registry.external_owner(role=role.id)
    new, text = registry.do(
        rotation.rotate_owned,
        registry.admin_key(),
        registry.northwind.id,
        token.id,
        Closing("after", after=60),
    )
    assert new.permissions == token.permissions
    assert new.effective_permissions == ()
    assert registry.reason(text) is Reason.permission_missing


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    life=st.none() | st.integers(1, LATEST_EXPIRY - NOW),
    age=st.integers(0, 400 * DAY),
    closing=st.one_of(
        st.just(Closing("now")),
        st.integers(1, LONGEST_AFTER_S).map(lambda after: Closing("after", after=after)),
        st.integers(SHORTEST_SILENCE_S, LONGEST_SILENCE_S).map(
            lambda silent_for: Closing("when_silent", silent_for=silent_for)
        ),
    ),
)
def test_no_life_grows_and_exactly_one_token_is_left(
    sqlite_registry: SmallRegistry, life: int | None, age: int, closing: Closing
) -> None:
    registry = sqlite_registry
    registry.now = NOW
    ada = registry.signed_in(registry.ada)
    token, _ = registry.token(ada, expires_at=None if life is None else NOW + life)
    registry.now = NOW + min(age, LATEST_EXPIRY if life is None else life - 1)
    new, _ = registry.do(rotation.rotate, Actor.command_line(), token.id, closing)
    old = registry.get(token)
    for which in (old, new):
        assert which.expires_at is None or which.expires_at <= LATEST_EXPIRY
    if life is None:
        assert new.expires_at is None
    else:
        assert new.expires_at is not None
        assert new.expires_at - registry.now <= life
        assert old.expires_at is not None
        assert old.expires_at <= NOW + life
    assert old.status == ("deactivated" if closing.close == "now" else "active")
    assert old.status == "deactivated" or old.expires_at is not None
    assert new.status == "active"


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """The results, or the errors, of *work* in several threads at once."""
    ready, results = Barrier(count), list[Any]()

    def run() -> None:
        ready.wait()
        try:
            results.append(work())
        except GatepassError as error:
            results.append(error)

    threads = [Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_of_two_rotations_at_once_one_wins(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    results = in_threads(2, lambda: rotate(registry, ada, token, Closing("after", after=60)))
    made = [result for result in results if isinstance(result, tuple)]
    (lost,) = [result for result in results if isinstance(result, Conflict)]
    assert (len(made), lost.reason) == (1, "already_rotated")
    old = registry.get(token)
    assert old.rotation is not None
    assert old.rotation.replaced_by == made[0][0].id
    assert len(registry.ask(search.list_, ada).items) == 2
