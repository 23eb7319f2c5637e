"""The narrowest token that would have sufficed; narrowing to it, and undoing that."""

from typing import Any

import pytest
from msgspec import structs

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.narrowing import Limits
from gatepass.core.reason import Reason
from gatepass.registry.actor import Actor
from gatepass.registry.tokens.calls.usage import DAY_MS
from gatepass.registry.tokens.least_privilege import narrowing, recording, suggestion
from gatepass.registry.tokens.least_privilege.narrowing import Narrowing
from gatepass.registry.tokens.least_privilege.suggestion import Suggestion
from gatepass.registry.tokens.records import AccessToken
from tests.registry.tokens.calls.test_impact import CREATE, GET, OFFICE, used
from tests.support.database.small_registry import MINUTE, NOW, SmallRegistry

WIDE = ["charges:create", "charges:get", "refunds:create"]


@pytest.fixture
def token(registry: SmallRegistry, ada: Actor) -> AccessToken:
    return registry.token(ada, permissions=WIDE)[0]


def suggested(
    registry: SmallRegistry, actor: Actor, token: AccessToken, **more: Any
) -> Suggestion | None:
    return registry.ask(suggestion.find, actor, token.id, **more)


def test_a_suggestion_has_what_was_used(
    registry: SmallRegistry, ada: Actor, token: AccessToken
) -> None:
    registry.now = NOW + 40 * DAY_MS
    ada = registry.signed_in(registry.ada)
    used(registry, token, (CREATE, 9), at=registry.now - 35 * DAY_MS)
    used(registry, token, (GET, 19), at=registry.now)
    assert suggested(registry, ada, token) is None, "that is too few to say anything"
    used(registry, token, (GET, 1), at=registry.now)
    found = suggested(registry, ada, token)
    assert found is not None
    assert found.limits == Limits(("charges:get",), (f"{OFFICE}/32",))
    assert found.unused == Limits(("charges:create", "refunds:create"))
    assert (found.calls, found.addresses, found.since) == (20, 1, registry.now - 30 * DAY_MS)
    assert found.narrows(token)
    longer = suggested(registry, ada, token, days=90)
    assert longer is not None
    assert longer.limits.permissions == ("charges:create", "charges:get")
    assert (longer.calls, longer.since) == (29, token.created_at)
    for days in (0, 91):
        with pytest.raises(InvalidInput):
            suggested(registry, ada, token, days=days)


def test_who_may_see_it(registry: SmallRegistry, ada: Actor, token: AccessToken) -> None:
    reader = registry.with_token(registry.token(ada, permissions=["access-tokens:get"])[0])
    assert suggested(registry, reader, token) is None
    with pytest.raises(Forbidden):
        suggested(registry, registry.with_token(token), token)
    with pytest.raises(NotFound):
        suggested(registry, registry.signed_in(registry.carl), token)


def undoable(registry: SmallRegistry, token: AccessToken) -> Narrowing | None:
    return registry.ask(narrowing.undoable, registry.get(token))


def undo(registry: SmallRegistry, actor: Actor, token: AccessToken, event: str) -> AccessToken:
    return registry.do(narrowing.undo, actor, token.id, event, catalogue=registry.catalogue)


def test_a_narrowing_is_undone_by_its_audit_event(
    registry: SmallRegistry, ada: Actor, token: AccessToken
) -> None:
    assert undoable(registry, token) is None
    registry.modify(ada, token, permissions=["charges:get"], networks=[OFFICE])
    found = undoable(registry, token)
    assert found is not None
    assert (found.at, found.by) == (registry.now, "Ada Lovelace")
    registry.now += 1
    again = undo(registry, ada, token, found.event)
    assert (set(again.permissions), again.networks) == (set(WIDE), ())
    actions = [event.action for event in registry.events(subject=token.id)]
    assert actions == ["access_token.created", *["access_token.modified"] * 2]
    # It was the latest modification then; an undo isn't undone.
    assert undoable(registry, token) is None
    with pytest.raises(Conflict) as conflict:
        undo(registry, ada, token, found.event)
    assert conflict.value.reason == "changed_meanwhile"


@pytest.mark.parametrize(
    "changes",
    [
        [{"permissions": ["charges:get"], "label": "Other"}],
        [{"permissions": ["charges:get"]}, {"label": "Other"}],
        [{"permissions": ["charges:get"]}, {"permissions": ["charges:create"]}],
        [{"networks": [OFFICE]}, {"networks": []}],
    ],
)
def test_what_did_more_than_narrowing_is_no_narrowing(
    registry: SmallRegistry, ada: Actor, token: AccessToken, changes: list[dict[str, Any]]
) -> None:
    for each in changes:
        registry.modify(ada, token, **each)
    assert undoable(registry, token) is None


def test_no_undo_is_offered_once_a_call_was_refused(
    registry: SmallRegistry, ada: Actor, token: AccessToken
) -> None:
    refused = structs.replace(GET, reason="permission_missing")
    used(registry, token, (refused, 1))
    registry.now += 1
    registry.modify(ada, token, permissions=["charges:get"])
    used(registry, token, (structs.replace(GET, reason="route_unknown"), 1), at=registry.now)
    assert undoable(registry, token) is not None
    used(registry, token, (refused, 1), at=registry.now)
    assert undoable(registry, token) is None


def test_an_undo_ends_with_time_and_the_token(
    registry: SmallRegistry, ada: Actor, token: AccessToken
) -> None:
    registry.modify(ada, token, permissions=["charges:get"])
    event = undoable(registry, token)
    assert event is not None
    rita = registry.colleague("reporting")
    with pytest.raises(Forbidden):
        undo(registry, rita, token, event.event)
    registry.now += narrowing.UNDO_DAYS * DAY_MS + 1
    assert undoable(registry, token) is None


def test_a_recording_has_what_its_maker_may_give(registry: SmallRegistry, ada: Actor) -> None:
    def given(actor: Actor, *approvals: str) -> tuple[str, ...]:
        return recording.permissions(registry.catalogue, actor, approvals)

    assert given(ada) == ("charges:create", "charges:get", "refunds:create")
    assert given(ada, "refunds:*", "charges:create") == ("charges:get",)
    assert given(registry.colleague("reporting")) == ("charges:get",)
    made, text = registry.token(
        ada,
        permissions=list(given(ada)),
        expires_at=recording.expiry(registry.now, 10),
    )
    assert recording.is_recording(made)
    used(registry, made, (GET, 1))
    found = registry.ask(suggestion.of_token, made)
    kept = registry.modify(
        ada,
        made,
        permissions=list(found.limits.permissions),
        expires_at=registry.now + DAY_MS,
    )
    assert not recording.is_recording(kept)
    registry.now += 11 * MINUTE
    assert registry.reason(text, "charges:get") is Reason.allowed
    assert registry.reason(text, "charges:create") is Reason.permission_missing


def test_a_recording_has_wildcards_where_there_are_too_many(ada: Actor) -> None:
    def named(resource: str, count: int) -> str:
        return "".join(f"  {resource}:a{n}: {{title: X}}\n" for n in range(count))

    large = named("charges", 150) + named("refunds", 60) + named("payouts", 20)
    catalogue = parse_catalogue("permissions:\n" + large)
    found = recording.permissions(catalogue, ada, ())
    assert len(found) == 81
    assert "charges:*" in found
    # One that needs a second person keeps its resource's wildcard out.
    limited = recording.permissions(catalogue, ada, ("charges:a0",))
    assert len(limited) == 149 + 1 + 20
    assert {"charges:a1", "refunds:*"} <= set(limited)
