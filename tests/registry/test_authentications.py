"""What became of each sign-in: one's own, and for those who manage users everyone's."""

import pytest

from gatepass.core.errors import Forbidden, NotFound
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions
from gatepass.registry.grants.publishing import published_grant
from small_registry import HOUR, NOW, SmallRegistry, nothing_changes


def test_one_sees_ones_own_newest_first(registry: SmallRegistry) -> None:
    first = registry.signed_in(registry.ada)
    registry.now += 1
    second = registry.signed_in(registry.ada)
    registry.colleague("reporting")
    with registry.reading() as session:
        page = sessions.list_(session, first)
    assert [item.id for item in page.items] == [second.credential, first.credential]
    assert [item.current for item in page.items] == [False, True]
    registry.now += 3 * HOUR - 1
    with registry.reading() as session:
        page = sessions.list_(session, first)
    assert [item.status for item in page.items] == ["active", "expired"]


def test_pages_follow_each_other(registry: SmallRegistry) -> None:
    actor = registry.signed_in(registry.ada)
    for _ in range(4):
        registry.signed_in(registry.ada)
    seen: list[str] = []
    cursor = None
    with registry.reading() as session:
        while True:
            page = sessions.list_(session, actor, limit=2, cursor=cursor)
            seen += [item.id for item in page.items]
            cursor = page.next
            if cursor is None:
                break
    assert len(seen) == len(set(seen)) == 5


def test_colleagues_sign_ins_are_for_those_who_manage_users(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    bob = registry.colleague("reporting")
    carl = registry.signed_in(registry.carl)
    with registry.changing() as change:
        assert len(sessions.list_(change.session, ada, user="all").items) == 2
        [only] = sessions.list_(change.session, ada, user=bob.user).items
        assert only.id == bob.credential
        for user in (carl.user, "usr_none", "\0"):
            with pytest.raises(NotFound):
                sessions.list_(change.session, ada, user=user)
        for user in ("all", ada.user):
            with pytest.raises(Forbidden) as refusal:
                sessions.list_(change.session, bob, user=user)
            assert refusal.value.permission == "users:manage"
        for other in (ada.credential, carl.credential, "gplt_0000000000000000", "\0"):
            with pytest.raises(NotFound):
                sessions.get(change.session, bob, str(other))
            with pytest.raises(NotFound):
                sessions.deactivate(change.session, bob, str(other))
        with pytest.raises(NotFound):
            sessions.deactivate(change.session, ada, str(carl.credential))
        assert sessions.get(change.session, bob, str(bob.credential)).current
        assert sessions.deactivate(change.session, ada, str(bob.credential)).status == "deactivated"


def test_deactivating_is_for_good_and_repeating_it_changes_nothing(registry: SmallRegistry) -> None:
    ada, other = registry.signed_in(registry.ada), registry.signed_in(registry.ada)
    registry.now += 5
    with registry.changing() as change:
        ended = sessions.deactivate(change.session, ada, str(other.credential))
    assert (ended.status, ended.deactivated_at) == ("deactivated", NOW + 5)
    events = len(registry.events())
    registry.now += 5
    with registry.changing() as change:
        assert sessions.deactivate(change.session, ada, ended.id) == ended
        assert sessions.deactivate(change.session, Actor.command_line(), ended.id).deactivated_at
    assert len(registry.events()) == events


def test_all_others_of_ones_own_end_and_nobody_elses(registry: SmallRegistry) -> None:
    long_ago = registry.signed_in(registry.ada)
    registry.now += 3 * HOUR
    bob = registry.colleague("reporting")
    ada, other, out = (registry.signed_in(registry.ada) for _ in range(3))
    with registry.changing() as change:
        sessions.sign_out(change.session, out)
    with registry.reading() as session:
        assert sessions.other_active(session, ada) == 1
    events = len(registry.events())
    with registry.changing() as change:
        assert sessions.deactivate_others(change.session, ada) == 1
        assert sessions.deactivate_others(change.session, ada) == 0
    with registry.reading() as session:
        ended = sessions.get(session, ada, str(other.credential))
        assert (ended.status, ended.deactivated_at) == ("deactivated", registry.now)
        for actor, status in ((ada, "active"), (bob, "active"), (long_ago, "expired")):
            assert sessions.get(session, actor, str(actor.credential)).status == status
        grant = published_grant(session, str(other.credential))
        assert grant is not None
        assert grant.deactivated
    [event] = registry.events()[events:]
    assert (event.action, event.subject.id) == ("authentication.deactivated", other.credential)


def test_signing_out_ends_the_one_in_use(registry: SmallRegistry) -> None:
    ada, other = registry.signed_in(registry.ada), registry.signed_in(registry.ada)
    for _ in range(2):
        with registry.changing() as change:
            sessions.sign_out(change.session, ada)
    with registry.reading() as session:
        assert sessions.get(session, other, str(ada.credential)).status == "deactivated"
        assert sessions.get(session, other, str(other.credential)).status == "active"
    assert len(registry.events(action="authentication.ended")) == 1


def test_an_access_token_has_no_say_in_sign_ins(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    token = registry.with_token(registry.token(ada, permissions=["users:*"])[0])
    with nothing_changes(registry), registry.reading() as session:
        for attempt in (
            lambda: sessions.list_(session, token),
            lambda: sessions.list_(session, token, user="all"),
            lambda: sessions.deactivate(session, token, str(ada.credential)),
            lambda: sessions.deactivate_others(session, token),
            lambda: sessions.other_active(session, token),
            lambda: sessions.sign_out(session, token),
        ):
            with pytest.raises(Forbidden) as refusal:
                attempt()
            assert refusal.value.reason == "signed_in_user_required"
