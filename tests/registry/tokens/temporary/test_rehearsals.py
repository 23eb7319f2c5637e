"""Rehearsing a deactivation: what is published, who may, and how it ends."""

from typing import Any

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import Rehearsal
from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.registry.actor import Actor
from gatepass.registry.grants.publishing import deactivate_grants, published_grant
from gatepass.registry.tokens import access_tokens, rotation
from gatepass.registry.tokens.calls import usage
from gatepass.registry.tokens.records import AccessToken, RunningRehearsal
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.tokens.temporary import rehearsals
from gatepass.verify.spools import Batch
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry, nothing_changes

MINUTE = 60_000


def start(registry: SmallRegistry, actor: Actor, token: AccessToken, **how: Any) -> AccessToken:
    given = {"minutes": 5, "share": 100} | how
    found: AccessToken = registry.do(rehearsals.start, actor, token.id, **given)
    return found


def end(registry: SmallRegistry, actor: Actor, token: AccessToken) -> AccessToken:
    found: AccessToken = registry.do(rehearsals.end, actor, token.id)
    return found


def test_calls_are_refused_until_it_ends_by_itself(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada)
    started = start(registry, ada, token)
    assert started.rehearsal == RunningRehearsal(NOW + 5 * MINUTE, 100, 0)
    assert (started.status, registry.get(token)) == ("active", started)
    assert registry.reason(text) is Reason.token_rehearsed
    registry.now += 5 * MINUTE - 1
    assert registry.reason(text) is Reason.token_rehearsed
    registry.now += 1
    # By the clock alone: no round has run.
    assert registry.reason(text) is Reason.allowed
    assert registry.get(token).rehearsal is None
    assert start(registry, ada, token).rehearsal is not None


def test_the_end_is_noted_for_earlier_releases(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    running, _ = registry.token(ada)
    start(registry, ada, token, minutes=1)
    start(registry, ada, running, minutes=2, share=7)

    def granted(each: AccessToken) -> tuple[bool, Rehearsal | None]:
        with registry.read() as reading:
            grant = published_grant(reading, each.id)
        assert grant is not None
        return grant.deactivated, grant.rehearsal

    assert rehearsals.note_ended(registry.database, lambda: registry.now) == 0
    assert granted(token) == (True, Rehearsal(NOW, NOW + MINUTE, 100))
    registry.now += MINUTE
    assert rehearsals.note_ended(registry.database, lambda: registry.now) == 1
    assert granted(token) == (False, None)
    assert granted(running) == (True, Rehearsal(NOW, NOW + 2 * MINUTE, 7))
    events = len(registry.events())
    assert rehearsals.note_ended(registry.database, lambda: registry.now) == 0
    assert len(registry.events()) == events


def test_it_can_be_ended(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada)
    assert end(registry, ada, token) == token
    start(registry, ada, token)
    assert end(registry, ada, token) == token
    assert registry.reason(text) is Reason.allowed
    assert end(registry, ada, token) == token
    started, ended = registry.events()[-2:]
    assert (started.action, ended.action) == (
        "access_token.rehearsal_started",
        "access_token.rehearsal_ended",
    )
    assert started.after == {"share": 100, "until": NOW + 5 * MINUTE}


def test_what_changes_meanwhile_leaves_it_running(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada)
    start(registry, ada, token)
    renamed = registry.modify(ada, registry.get(token), label="Renamed")
    assert renamed.rehearsal is not None
    assert registry.reason(text) is Reason.token_rehearsed
    new, new_text = registry.do(rotation.rotate, ada, token.id, Closing("after", after=600))
    assert new.rehearsal is None
    assert registry.reason(text) is Reason.token_rehearsed
    assert registry.reason(new_text) is Reason.allowed


def test_a_deactivation_is_final(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada)
    start(registry, ada, token, share=1)
    ended = registry.do(access_tokens.deactivate, ada, token.id)
    assert (ended.status, ended.rehearsal) == ("deactivated", None)
    for later in (0, 5 * MINUTE, HOUR):
        registry.now = NOW + later
        assert registry.reason(text) is Reason.token_deactivated
        rehearsals.note_ended(registry.database, lambda: registry.now)
        assert registry.reason(text) is Reason.token_deactivated


def test_a_restore_s_deactivation_is_final(registry: SmallRegistry, ada: Actor) -> None:
    """It rewrites published grants, and not from the record."""
    token, text = registry.token(ada)
    start(registry, ada, token, share=1)
    with registry.write() as change:
        deactivate_grants(change, [token.id])
    for later in (0, 5 * MINUTE, HOUR):
        registry.now = NOW + later
        assert registry.reason(text) is Reason.token_deactivated


def test_it_counts_what_it_refused(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    spools = iter(range(10))

    def refused(count: int) -> None:
        what = ObservedCall("token_rehearsed", ("charges:create",), None, None, None, None)
        call = CountedCall(token.id, False, what, count, registry.now, registry.now)
        with registry.database.auxiliary_write(registry.now) as write:
            usage.fold(write, f"spool-{next(spools)}", 0, 1, [Batch({}, {})], [call])

    for count in (3, 4):
        start(registry, ada, token)
        refused(count)
        rehearsal = registry.get(token).rehearsal
        assert rehearsal is not None
        assert rehearsal.refused == count
        end(registry, ada, token)


@pytest.mark.parametrize(
    ("how", "fields"),
    [
        ({"minutes": 0}, ["minutes"]),
        ({"minutes": 61}, ["minutes"]),
        ({"share": 0}, ["share"]),
        ({"share": 101, "minutes": -1}, ["minutes", "share"]),
    ],
)
def test_bounds(
    registry: SmallRegistry, ada: Actor, how: dict[str, int], fields: list[str]
) -> None:
    token, _ = registry.token(ada)
    with nothing_changes(registry), pytest.raises(InvalidInput) as refusal:
        start(registry, ada, token, **how)
    assert [field for field, _ in refusal.value.errors] == fields


def test_only_active_tokens_and_one_at_a_time(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    start(registry, ada, token)
    expired, _ = registry.token(ada, expires_at=NOW + 1)
    gone, _ = registry.token(ada)
    registry.do(access_tokens.deactivate, ada, gone.id)
    registry.now += 1
    for each, reason in (
        (token, "rehearsal_running"),
        (expired, "token_expired"),
        (gone, "token_deactivated"),
    ):
        with nothing_changes(registry), pytest.raises(Conflict) as conflict:
            start(registry, ada, each)
        assert conflict.value.reason == reason
        assert conflict.value.current == registry.get(each)


def test_who_may(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    program, _ = registry.token(ada, permissions=["access-tokens:*"])
    for actor, error in (
        (registry.colleague("reporting"), Forbidden),
        (registry.with_token(program), Forbidden),
        (registry.signed_in(registry.carl), NotFound),
    ):
        for operation in (start, end):
            with nothing_changes(registry), pytest.raises(error):
                operation(registry, actor, token)
    start(registry, registry.colleague("manager", "Mona"), token)
