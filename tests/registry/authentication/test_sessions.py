"""Authentications: listing and deactivating one's own, and with users:manage anyone's."""

import pytest

from gatepass.core.errors import Forbidden, NotFound
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions
from gatepass.registry.grants.publishing import published_grant
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry, nothing_changes


def test_ones_own_are_listed_newest_first(registry: SmallRegistry) -> None:
    first = registry.signed_in(registry.ada)
    registry.now += 1
    second = registry.signed_in(registry.ada)
    registry.colleague("reporting")
    page = registry.ask(sessions.list_, first)
    assert [item.id for item in page.items] == [second.credential, first.credential]
    assert [item.current for item in page.items] == [False, True]
    registry.now += 3 * HOUR - 1
    page = registry.ask(sessions.list_, first)
    assert [item.status for item in page.items] == ["active", "expired"]


def test_pagination(registry: SmallRegistry) -> None:
    actor = registry.signed_in(registry.ada)
    for _ in range(4):
        registry.signed_in(registry.ada)
    seen = [item.id for item in registry.every(sessions.list_, actor, limit=2)]
    assert len(seen) == len(set(seen)) == 5


def test_colleagues_sign_ins_require_users_manage(registry: SmallRegistry, ada: Actor) -> None:
    bob = registry.colleague("reporting")
    carl = registry.signed_in(registry.carl)
    with registry.write() as change:
        assert len(sessions.list_(change, ada, user="all").items) == 2
        [only] = sessions.list_(change, ada, user=bob.user).items
        assert only.id == bob.credential
        for user in (carl.user, "usr_none", "\0"):
            with pytest.raises(NotFound):
                sessions.list_(change, ada, user=user)
        for user in ("all", ada.user):
            with pytest.raises(Forbidden) as refusal:
                sessions.list_(change, bob, user=user)
            assert refusal.value.permission == "users:manage"
        for other in (ada.credential, carl.credential, "gplt_0000000000000000", "\0"):
            with pytest.raises(NotFound):
                sessions.get(change, bob, str(other))
            with pytest.raises(NotFound):
                sessions.deactivate(change, bob, str(other))
        with pytest.raises(NotFound):
            sessions.deactivate(change, ada, str(carl.credential))
        assert sessions.get(change, bob, str(bob.credential)).current
        assert sessions.deactivate(change, ada, str(bob.credential)).status == "deactivated"


def test_deactivating_is_final_and_idempotent(registry: SmallRegistry) -> None:
    ada, other = registry.signed_in(registry.ada), registry.signed_in(registry.ada)
    registry.now += 5
    ended = registry.do(sessions.deactivate, ada, str(other.credential))
    assert (ended.status, ended.deactivated_at) == ("deactivated", NOW + 5)
    events = len(registry.events())
    registry.now += 5
    with registry.write() as change:
        assert sessions.deactivate(change, ada, ended.id) == ended
        assert sessions.deactivate(change, Actor.command_line(), ended.id).deactivated_at
    assert len(registry.events()) == events


def test_deactivating_all_others_affects_only_ones_own(registry: SmallRegistry) -> None:
    long_ago = registry.signed_in(registry.ada)
    registry.now += 3 * HOUR
    bob = registry.colleague("reporting")
    ada, other, out = (registry.signed_in(registry.ada) for _ in range(3))
    registry.do(sessions.sign_out, out)
    assert registry.ask(sessions.other_active, ada) == 1
    events = len(registry.events())
    with registry.write() as change:
        assert sessions.deactivate_others(change, ada) == 1
        assert sessions.deactivate_others(change, ada) == 0
    with registry.read() as reading:
        ended = sessions.get(reading, ada, str(other.credential))
        assert (ended.status, ended.deactivated_at) == ("deactivated", registry.now)
        for actor, status in ((ada, "active"), (bob, "active"), (long_ago, "expired")):
            assert sessions.get(reading, actor, str(actor.credential)).status == status
        grant = published_grant(reading, str(other.credential))
        assert grant is not None
        assert grant.deactivated
    [event] = registry.events()[events:]
    assert (event.action, event.subject.id) == ("authentication.deactivated", other.credential)


def test_signing_out_deactivates_the_one_in_use(registry: SmallRegistry) -> None:
    ada, other = registry.signed_in(registry.ada), registry.signed_in(registry.ada)
    for _ in range(2):
        registry.do(sessions.sign_out, ada)
    with registry.read() as reading:
        assert sessions.get(reading, other, str(ada.credential)).status == "deactivated"
        assert sessions.get(reading, other, str(other.credential)).status == "active"
    assert len(registry.events(action="authentication.ended")) == 1


def test_access_tokens_cannot_list_or_deactivate_sign_ins(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    token = registry.with_token(registry.token(ada, permissions=["users:*"])[0])
    with nothing_changes(registry), registry.read() as reading:
        for attempt in (
            lambda: sessions.list_(reading, token),
            lambda: sessions.list_(reading, token, user="all"),
            lambda: sessions.deactivate(reading, token, str(ada.credential)),
            lambda: sessions.deactivate_others(reading, token),
            lambda: sessions.other_active(reading, token),
            lambda: sessions.sign_out(reading, token),
        ):
            with pytest.raises(Forbidden) as refusal:
                attempt()
            assert refusal.value.reason == "signed_in_user_required"
