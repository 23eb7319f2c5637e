"""Deactivating many access tokens at once."""

from typing import Any

import pytest
from sqlalchemy import func, select

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput
from gatepass.core.grants import Holder
from gatepass.registry.actor import Actor
from gatepass.registry.grants.publishing import publish
from gatepass.registry.replication import receipt_status, receipts
from gatepass.registry.storage.tables import receipts as receipts_table
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.ending import bulk
from gatepass.registry.tokens.ending.bulk import Outcome
from gatepass.registry.tokens.records import AccessToken
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry, nothing_changes


def listed(registry: SmallRegistry, actor: Actor, *ids: str) -> Outcome:
    return registry.do(bulk.deactivate_listed, actor, ids)


def matching(registry: SmallRegistry, actor: Actor, expect: int, **filters: Any) -> Outcome:
    return registry.do(bulk.deactivate_matching, actor, filters, expect=expect)


def tokens(registry: SmallRegistry, actor: Actor, number: int, **fields: Any) -> list[AccessToken]:
    return [registry.token(actor, label=f"Job {n}", **fields)[0] for n in range(number)]


def test_all_end_at_one_revision_with_an_event_each_and_one_receipt(
    registry: SmallRegistry, ada: Actor
) -> None:
    ended, _ = registry.token(ada, label="Ended")
    registry.do(access_tokens.deactivate, ada, ended.id)
    two, of_two = registry.token(ada)
    one, expired = tokens(registry, ada, 2, expires_at=NOW + HOUR)
    theirs, _ = registry.token(registry.signed_in(registry.carl))
    registry.now += HOUR - 1
    before = registry.revision()
    assert registry.reason(of_two) is Reason.allowed
    registry.now += 1
    outcome = listed(
        registry, ada, one.id, two.id, one.id, ended.id, expired.id, theirs.id, "gpat_x", "a\0b"
    )
    assert outcome == Outcome(deactivated=3, already=1, not_found=3)
    assert registry.revision() == before + 1
    assert registry.get(one).status == registry.get(expired).status == "deactivated"
    assert registry.get(theirs).status == "active"
    assert registry.reason(of_two) is Reason.token_deactivated
    events = [each for each in registry.events() if each.action == "access_token.deactivated"][1:]
    assert {each.subject.id for each in events} == {one.id, two.id, expired.id}
    assert {each.actor_name for each in events} == {"Ada Lovelace"}
    with registry.read() as reading:
        found = select(receipts_table).where(receipts_table.c.revision == before + 1)
        (receipt,) = reading.session.execute(found).all()
        assert (receipt.subject_kind, receipt.subject_name) == ("access_tokens", "3 access tokens")
        of_one = receipt_status.find(reading, one.id)
        assert of_one is not None
        assert of_one == receipt_status.find(reading, two.id)
        assert of_one.revision == before + 1
        of_ended = receipt_status.find(reading, ended.id)
        assert of_ended is not None
        assert of_ended.revision < before
    registry.auxiliary(receipts.complete)
    registry.auxiliary(receipts.complete)
    told = [each for each in registry.events() if each.action == "access_tokens.refused_everywhere"]
    assert [each.subject.name for each in told] == ["3 access tokens"]


def test_one_token_has_its_own_receipt(registry: SmallRegistry, ada: Actor) -> None:
    (token,) = tokens(registry, ada, 1)
    assert listed(registry, ada, token.id) == Outcome(1, 0, 0)
    with registry.read() as reading:
        kinds = select(receipts_table.c.subject_kind, receipts_table.c.subject_id)
        assert reading.session.execute(kinds).all() == [("access_token", token.id)]


def test_repeating_it_changes_nothing(registry: SmallRegistry, ada: Actor) -> None:
    ids = [token.id for token in tokens(registry, ada, 2)]
    assert listed(registry, ada, *ids) == Outcome(2, 0, 0)
    before = registry.events()
    assert listed(registry, ada, *ids) == Outcome(0, 2, 0)
    assert registry.events() == before


@pytest.mark.parametrize("number", [0, bulk.MOST_IDS + 1])
def test_no_ids_and_too_many_are_refused(registry: SmallRegistry, ada: Actor, number: int) -> None:
    with pytest.raises(InvalidInput) as refusal:
        listed(registry, ada, *map(str, range(number)))
    assert [field for field, _ in refusal.value.errors] == ["ids"]


def test_filters_end_what_matches_if_it_is_what_was_expected(
    registry: SmallRegistry, ada: Actor
) -> None:
    tokens(registry, ada, 3, metadata={"team": "payments"})
    (kept,) = tokens(registry, ada, 1)
    for expect in (2, 4, -1):
        with nothing_changes(registry), pytest.raises(Conflict, match="3 access tokens") as refusal:
            matching(registry, ada, expect, metadata="team:payments", status="active")
        assert refusal.value.reason == "count_changed"
    assert matching(registry, ada, 3, metadata="team:payments") == Outcome(3, 0, 0)
    assert matching(registry, ada, 0, metadata="team:payments", status="active") == Outcome(0, 0, 0)
    assert matching(registry, ada, 3, metadata="team:payments") == Outcome(0, 3, 0)
    assert registry.get(kept).status == "active"


def test_too_many_are_refused(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_TOKENS", 2)
    monkeypatch.setattr(bulk, "_AT_ONCE", 1)
    tokens(registry, ada, 3)
    with nothing_changes(registry), pytest.raises(Conflict) as refusal:
        matching(registry, ada, 3, status="active")
    assert refusal.value.reason == "too_many"
    assert matching(registry, ada, 1, status="active", q="Job 1") == Outcome(1, 0, 0)


@pytest.mark.parametrize("filters", [{}, {"q": None, "status": None}])
def test_no_filter_is_refused(registry: SmallRegistry, ada: Actor, filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        matching(registry, ada, 0, **filters)
    assert [field for field, _ in refusal.value.errors] == ["filter"]


def test_an_invalid_filter_is_named(registry: SmallRegistry, ada: Actor) -> None:
    with pytest.raises(InvalidInput) as refusal:
        matching(registry, ada, 0, permission="*")
    assert [field for field, _ in refusal.value.errors] == ["filter.permission"]


def test_who_may(registry: SmallRegistry, ada: Actor) -> None:
    """With the permission, or one's own; an access token needs the permission for all."""
    bob = registry.colleague("manager")
    (adas,) = tokens(registry, ada, 1)
    own = tokens(registry, bob, 2)
    with registry.write() as change:
        publish(change, Holder(bob.user or "", bob.company or "", True, "customer-service"))
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        listed(registry, bob, own[0].id, adas.id)
    assert refusal.value.permission == "access-tokens:deactivate"
    with pytest.raises(Forbidden):
        matching(registry, bob, 3, status="active", owner=ada.user)
    with nothing_changes(registry), pytest.raises(Forbidden):
        listed(registry, registry.with_token(own[1]), own[1].id)
    with pytest.raises(Forbidden):
        matching(registry, registry.with_token(own[1]), 2, status="active")
    assert listed(registry, bob, own[0].id) == Outcome(1, 0, 0)
    assert matching(registry, bob, 1, status="active") == Outcome(1, 0, 0)
    assert registry.get(adas).status == "active"


def test_many_batches_have_one_receipt(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_AT_ONCE", 2)
    ids = [token.id for token in tokens(registry, ada, 5)]
    assert listed(registry, ada, *ids) == Outcome(5, 0, 0)
    with registry.read() as reading:
        count = select(func.count()).select_from(receipts_table)
        assert reading.session.execute(count).scalar_one() == 1
