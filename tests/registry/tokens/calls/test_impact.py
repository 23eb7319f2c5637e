"""Impact of changes on the observed calls: of a token, a role, an allowlist."""

from typing import Any

import pytest
from msgspec import structs

from gatepass.core.errors import Forbidden, InvalidInput, NotFound
from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.registry.actor import Actor
from gatepass.registry.directory import roles
from gatepass.registry.explanations import token_impact
from gatepass.registry.network_policy import allowlist_impact
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.tokens.calls import impact, observed_calls, recency, role_impact
from gatepass.registry.tokens.calls.impact import Impact
from gatepass.registry.tokens.calls.usage import DAY_MS
from gatepass.registry.tokens.records import AccessToken
from tests.support.database.small_registry import NOW, SmallRegistry, nothing_changes

HOME, OFFICE = "192.0.2.1", "198.51.100.7"
GET = ObservedCall("allowed", ("charges:get",), "/v1/charges/{id}", "GET", OFFICE, None)
CREATE = structs.replace(GET, needed=("charges:create",), route=None, method=None, address=HOME)
BOTH = {"permissions": ["charges:create", "charges:get"]}


def used(
    registry: SmallRegistry,
    token: AccessToken,
    *calls: tuple[ObservedCall | None, int],
    at: int = NOW,
) -> None:
    """Fold calls of a token: each with how many there were."""
    counted = [
        CountedCall(token.id, call is None or call.reason == "allowed", call, count, at, at)
        for call, count in calls
    ]
    registry.auxiliary(observed_calls.fold, counted)
    registry.auxiliary(recency.used, {token.id: at})


def numbers(found: Impact) -> tuple[int, int, int, bool]:
    return found.allowed_before, found.refused_after, found.unknown, found.complete


def of_token(registry: SmallRegistry, actor: Actor, token: AccessToken, **change: Any) -> Impact:
    return registry.ask(token_impact.preview, actor, token.id, change, catalogue=registry.catalogue)


def of_role(registry: SmallRegistry, actor: Actor, role: str, *permissions: str) -> Impact:
    return registry.ask(role_impact.preview, actor, role, permissions, catalogue=registry.catalogue)


def test_a_token_names_the_calls_that_it_would_lose(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, **BOTH)
    used(registry, token, (GET, 5), (CREATE, 2), at=NOW - DAY_MS)
    used(registry, token, (GET, 3), (structs.replace(GET, reason="route_unknown"), 7))
    with nothing_changes(registry):
        found = of_token(registry, ada, token, permissions=["charges:create"])
        assert numbers(found) == (10, 8, 0, True)
        (refused,) = found.items
        assert (refused.access_token, refused.label) == (token.id, token.label)
        assert (refused.reason, refused.permission) == ("permission_missing", "charges:get")
        assert (refused.method, refused.route, refused.address) == ("GET", GET.route, OFFICE)
        # Equal calls of two days are one.
        assert (refused.count, refused.first_at, refused.last_at) == (8, NOW - DAY_MS, NOW)
        narrower = of_token(registry, ada, token, networks=["198.51.100.0/24"])
        assert (numbers(narrower), narrower.items[0].address) == ((10, 2, 0, True), HOME)
        both = of_token(registry, ada, token, networks=[HOME], permissions=["charges:get"])
        assert (numbers(both), both.distinct) == ((10, 10, 0, True), 2)
        assert [each.count for each in both.items] == [8, 2], "the most frequent first"
        assert numbers(of_token(registry, ada, token)) == (10, 0, 0, True)
        by_list = of_token(registry, ada, token, allowlist=[Entry("198.51.100.0/24")])
        assert by_list.items[0].reason == "company_address_not_allowed"
        by_role = of_token(registry, ada, token, role="reporting")
        assert numbers(by_role) == (10, 2, 0, True)


def test_calls_that_were_too_many_to_be_told_apart(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, **BOTH)
    used(registry, token, (GET, 5), (None, 40))
    assert numbers(of_token(registry, ada, token)) == (45, 0, 0, False)
    found = of_token(registry, ada, token, permissions=["charges:get"])
    assert (numbers(found), found.bounded) == ((5, 0, 40, False), False)


def test_only_calls_of_a_month_that_are_still_allowed(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, **BOTH)
    used(registry, token, (GET, 5), at=NOW - 31 * DAY_MS)
    used(registry, token, (CREATE, 2))
    registry.modify(ada, token, permissions=["charges:get"])
    assert numbers(of_token(registry, ada, token, networks=[HOME])) == (0, 0, 0, True)


def test_a_role_and_an_allowlist_name_the_calls_of_all_their_tokens(
    registry: SmallRegistry, ada: Actor
) -> None:
    role = registry.do(
        roles.create,
        ada,
        catalogue=registry.catalogue,
        name="Till",
        permissions=["charges:*", "access-tokens:create"],
    )
    bob = registry.colleague(role.id)
    account = registry.service_account(ada, role="customer-service")
    ours, _ = registry.token(ada, **BOTH)
    bobs, _ = registry.token(bob, label="Till 1", **BOTH)
    jobs, _ = registry.token(ada, label="Jobs", owner=account.id, **BOTH)
    carls, _ = registry.token(registry.signed_in(registry.carl), **BOTH)
    for number, token in enumerate((ours, bobs, jobs, carls)):
        used(registry, token, (GET, 5 + number), (CREATE, 1))

    with nothing_changes(registry):
        found = of_role(registry, ada, role.id, "charges:create")
        assert numbers(found) == (7, 6, 0, True)
        assert [(one.access_token, one.count) for one in found.items] == [(bobs.id, 6)]
        assert numbers(of_role(registry, ada, role.id, "charges:*")) == (7, 0, 0, True)
        # A built-in role's, too: it can't be changed, but asked about.
        built_in = of_role(registry, ada, "customer-service", "charges:get")
        assert numbers(built_in) == (8, 1, 0, True)

        # Another role for one user.
        demoted = registry.ask(role_impact.of_user, ada, str(bob.user), "reporting")
        assert numbers(demoted) == (7, 1, 0, True)
        assert demoted.items[0].permission == "charges:create"

        entries = [Entry("198.51.100.0/24")]
        calls = registry.ask(allowlist_impact.calls, ada, registry.northwind.id, entries)
        assert (numbers(calls), calls.distinct, calls.tokens) == ((21, 3, 0, True), 3, 3)
        lifted = registry.ask(allowlist_impact.calls, ada, registry.northwind.id, [])
        assert numbers(lifted) == (21, 0, 0, True)


def test_who_may_ask(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, **BOTH)
    used(registry, token, (GET, 5))
    desk = registry.colleague("customer-service")
    reader = registry.with_token(registry.token(ada, permissions=["access-tokens:get"])[0])
    assert of_token(registry, reader, token, permissions=["charges:create"]).refused_after == 5
    narrow = registry.do(
        roles.create,
        ada,
        catalogue=registry.catalogue,
        name="Keeper",
        permissions=["roles:manage", "company:modify"],
    )
    keeper = registry.colleague(narrow.id)
    found = of_role(registry, keeper, "admin", "charges:create")
    assert (found.refused_after, found.items) == (5, ()), "only those who may see tokens see calls"
    entries = [Entry(HOME)]
    found = registry.ask(allowlist_impact.calls, keeper, registry.northwind.id, entries)
    assert (found.refused_after, found.items) == (5, ())
    refused: list[tuple[Any, Actor, str]] = [
        (lambda actor: of_token(registry, actor, token), keeper, "permission_missing"),
        (
            lambda actor: of_token(registry, actor, token, allowlist=entries),
            reader,
            "permission_missing",
        ),
        (lambda actor: of_role(registry, actor, "admin"), desk, "permission_missing"),
        (
            lambda actor: registry.ask(role_impact.of_user, actor, "usr_1", "admin"),
            keeper,
            "permission_missing",
        ),
        (lambda actor: of_role(registry, actor, "admin"), reader, "signed_in_user_required"),
    ]
    for ask, actor, reason in refused:
        with pytest.raises(Forbidden) as refusal:
            ask(actor)
        assert refusal.value.reason == reason
    carl = registry.signed_in(registry.carl)
    with pytest.raises(NotFound):
        of_token(registry, carl, token)
    with pytest.raises(InvalidInput):
        of_token(registry, ada, token, networks=["300.1.1.1"])


def test_at_most_so_many_rows_are_read(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the tokens that were used last."""
    tokens = [registry.token(ada, label=f"Till {number}", **BOTH)[0] for number in range(4)]
    for number, token in enumerate(tokens):
        used(registry, token, (GET, 1), (CREATE, 1), at=NOW - number)
    entries = [Entry("198.51.100.0/24")]
    for name, value in (("MOST_ROWS", 3), ("_TOKENS_AT_ONCE", 2)):
        monkeypatch.setattr(impact, name, value)
    found = registry.ask(allowlist_impact.calls, ada, registry.northwind.id, entries)
    assert (found.bounded, found.complete, found.allowed_before) == (True, False, 3)
    assert {one.access_token for one in found.items} <= {tokens[0].id, tokens[1].id}
    monkeypatch.setattr(impact, "MOST_ROWS", 9)
    found = registry.ask(allowlist_impact.calls, ada, registry.northwind.id, entries)
    assert numbers(found) == (8, 4, 0, True)
