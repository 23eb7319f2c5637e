"""Warnings before access tokens expire: their readers, their times, and each once."""

import json
from dataclasses import asdict

import pytest
from sqlalchemy import select, text

from gatepass.core.networks import Networks
from gatepass.core.token_policy import DAY_MS, TokenPolicy
from gatepass.registry.actor import Actor
from gatepass.registry.membership import offboarding, outbox
from gatepass.registry.notifications import expiry_letters, expiry_warnings
from gatepass.registry.notifications.expiry_letters import Letter
from gatepass.registry.notifications.expiry_warnings import WHILE_MS, warn
from gatepass.registry.storage.tables import webhook_deliveries
from gatepass.registry.tokens import access_tokens, provisioning, rotation
from gatepass.registry.tokens.calls import recency
from gatepass.registry.tokens.hand_over import Handling
from gatepass.registry.tokens.policy import token_policies
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.webhooks import hooks
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import NOW, SmallRegistry

DAYS_30 = NOW + 30 * DAY_MS


def round_at(registry: SmallRegistry, now: int) -> list[tuple[str, int | None]]:
    """Run a round; the events that it wrote: labels, and days left, None for the end."""
    before = len(registry.events())
    registry.now = now
    warn(registry.database, lambda: registry.now)
    return [
        (event.subject.name, (event.after or {}).get("days"))
        for event in registry.events()[before:]
        if event.action in ("access_token.expiring", "access_token.expired")
    ]


def mails(registry: SmallRegistry) -> list[tuple[str, Letter]]:
    """The recipients and contents of the mail that is due, which is sent."""
    registry.now += WHILE_MS
    found = []
    while (mail := registry.auxiliary(outbox.claim)) is not None:
        assert registry.auxiliary(outbox.hand_over, mail)
        letter = registry.auxiliary(expiry_letters.letter, mail.subject)
        if letter is not None:
            found.append((mail.recipient, letter))
    return sorted(found, key=lambda each: each[0])


def told(registry: SmallRegistry) -> dict[str, list[str]]:
    """The labels of tokens by the recipient of a mail about them."""
    return {to: [token.label for token in letter.tokens] for to, letter in mails(registry)}


def set_policy(registry: SmallRegistry, **fields: object) -> None:
    """Replace Northwind's policy; what isn't given is the default."""
    actor = registry.signed_in(registry.ada)
    given = asdict(TokenPolicy()) | fields
    registry.do(token_policies.replace, actor, given, catalogue=registry.catalogue)


@pytest.fixture
def small(sqlite_registry: SmallRegistry) -> SmallRegistry:
    return sqlite_registry


@pytest.fixture
def its_ada(small: SmallRegistry) -> Actor:
    return small.signed_in(small.ada)


def test_each_warning_comes_once(registry: SmallRegistry, ada: Actor) -> None:
    registry.token(ada, label="Nightly", expires_at=DAYS_30)
    registry.token(ada, label="Never")
    for days_before, expected in [
        (30, []),
        (15, []),
        (14, [("Nightly", 14)]),
        (13.9, []),
        (7, [("Nightly", 7)]),
        (1, [("Nightly", 1)]),
        (0.5, []),
        (0, [("Nightly", None)]),
        (-5, []),
    ]:
        assert round_at(registry, round(DAYS_30 - days_before * DAY_MS)) == expected
        assert round_at(registry, registry.now + 1) == []
        recipients = {registry.ada.email: ["Nightly"]} if expected else {}
        assert told(registry) == recipients
        assert told(registry) == {}


def test_after_an_outage_only_the_most_urgent_is_said(small: SmallRegistry, its_ada: Actor) -> None:
    small.token(its_ada, label="Soon", expires_at=DAYS_30)
    small.token(its_ada, label="Expired", expires_at=NOW + 20 * DAY_MS)
    assert round_at(small, DAYS_30 - DAY_MS // 2) == [("Expired", None), ("Soon", 1)]
    ((to, letter),) = mails(small)
    assert (to, letter.others) == (small.ada.email, 0)
    assert [(token.label, token.days) for token in letter.tokens] == [("Expired", 0), ("Soon", 1)]


def test_a_token_is_not_warned_of_more_than_its_life(small: SmallRegistry, its_ada: Actor) -> None:
    small.token(its_ada, label="A fortnight", expires_at=NOW + 14 * DAY_MS)
    small.token(its_ada, label="A day", expires_at=NOW + DAY_MS)
    assert round_at(small, NOW) == round_at(small, NOW + 1) == []
    assert round_at(small, NOW + 7 * DAY_MS) == [("A day", None), ("A fortnight", 7)]


def test_another_expiry_is_warned_of_again(small: SmallRegistry, its_ada: Actor) -> None:
    token, _ = small.token(its_ada, label="Nightly", expires_at=DAYS_30)
    assert round_at(small, DAYS_30 - 7 * DAY_MS) == [("Nightly", 7)]
    later = small.modify(Actor.command_line(), token, expires_at=DAYS_30 + 10 * DAY_MS)
    # Its mail had not been sent; it says nothing that is true any more.
    assert told(small) == {}
    assert round_at(small, later.expires_at - 15 * DAY_MS) == []
    assert round_at(small, later.expires_at - 7 * DAY_MS) == [("Nightly", 7)]
    assert told(small) == {small.ada.email: ["Nightly"]}
    sooner = small.modify(Actor.command_line(), later, expires_at=small.now + 2 * DAY_MS)
    assert round_at(small, small.now + 1) == []
    assert round_at(small, sooner.expires_at - DAY_MS) == [("Nightly", 1)]


def test_tokens_that_ended_or_close_are_left_out(small: SmallRegistry, its_ada: Actor) -> None:
    labels = ("Deactivated", "Replaced", "Kept")
    ids = {each: small.token(its_ada, label=each, expires_at=DAYS_30)[0].id for each in labels}
    small.do(access_tokens.deactivate, its_ada, ids["Deactivated"])
    small.do(rotation.rotate, its_ada, ids["Replaced"], Closing("when_silent", label="New"))
    assert sorted(round_at(small, DAYS_30 - 7 * DAY_MS)) == [("Kept", 7), ("New", 7)]
    small.do(access_tokens.deactivate, Actor.command_line(), ids["Kept"])
    assert told(small) == {small.ada.email: ["New"]}


def test_a_colleagues_token_is_theirs_and_a_service_accounts_the_administrators(
    small: SmallRegistry, its_ada: Actor
) -> None:
    grace = small.user(small.northwind, "grace@northwind.example", "Grace Hopper")
    bob = small.colleague("manager")
    account, customer = small.service_account(its_ada), small.external_owner()
    small.token(bob, label="Bob's", permissions=["charges:get"], expires_at=DAYS_30)
    for owner in (account, customer):
        small.do(
            provisioning.create,
            Actor.command_line(),
            small.northwind.id,
            catalogue=small.catalogue,
            owner=owner.id,
            kind="api",
            values={"label": owner.name, "permissions": ["charges:get"], "expires_at": DAYS_30},
        )
    small.token(its_ada, label="Ada's", expires_at=DAYS_30)
    gone = small.user(small.northwind, "gone@northwind.example", "Gone")
    small.token(small.signed_in(gone), label="Gone's", expires_at=DAYS_30)
    small.do(offboarding.deactivate, Actor.command_line(), gone.id, tokens=Handling("keep"))
    assert len(round_at(small, DAYS_30 - 7 * DAY_MS)) == 4
    letters = {to: {(t.label, t.owner) for t in letter.tokens} for to, letter in mails(small)}
    without_user = {("Deploys", "Deploys"), ("Customer", "Customer")}
    assert letters == {
        "bob.manager@northwind.example": {("Bob's", None)},
        small.ada.email: {("Ada's", None), *without_user},
        grace.email: without_user,
    }


def test_one_mail_tells_a_person_of_many(
    small: SmallRegistry, its_ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_warnings, "_AT_ONCE", 2)
    monkeypatch.setattr(expiry_letters, "MOST", 3)
    for number in range(5):
        small.token(its_ada, label=f"{number}", expires_at=DAYS_30 + number)
    small.token(small.signed_in(small.carl), label="Carl's", expires_at=DAYS_30)
    assert len(round_at(small, DAYS_30 - 7 * DAY_MS + 5)) == 6
    adas, carls = mails(small)
    assert (carls[0], [token.label for token in carls[1].tokens]) == (small.carl.email, ["Carl's"])
    assert [token.label for token in adas[1].tokens] == ["0", "1", "2"]
    assert adas[1].others == 2


def test_a_mail_that_is_being_sent_gets_no_more_tokens(
    small: SmallRegistry, its_ada: Actor
) -> None:
    small.token(its_ada, label="First", expires_at=DAYS_30)
    small.token(its_ada, label="Second", expires_at=DAYS_30 + 1)
    at = DAYS_30 - 7 * DAY_MS
    assert len(round_at(small, at - DAY_MS)) == 2
    assert len(mails(small)) == 1
    assert round_at(small, at) == [("First", 7)]
    # By a node whose clock is ahead, the while is over.
    assert told(small) == {small.ada.email: ["First"]}
    assert round_at(small, at + 1) == []
    assert round_at(small, at + WHILE_MS) == [("Second", 7)]
    assert told(small) == {small.ada.email: ["Second"]}


def test_a_round_that_dies_has_done_nothing(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.token(ada, label="Nightly", expires_at=DAYS_30)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    at = DAYS_30 - DAY_MS
    with monkeypatch.context() as patched:
        patched.setattr(expiry_warnings, "update", fail)
        with pytest.raises(RuntimeError):
            round_at(registry, at)
    assert told(registry) == {}
    assert round_at(registry, at) == [("Nightly", 1)]
    assert told(registry) == {registry.ada.email: ["Nightly"]}


def test_of_several_nodes_one_warns(registry: SmallRegistry, ada: Actor) -> None:
    for number in range(3):
        registry.token(ada, label=f"{number}", expires_at=DAYS_30 + number)
    registry.now = DAYS_30
    concurrently(lambda _: warn(registry.database, lambda: registry.now), range(3))
    assert round_at(registry, DAYS_30) == []
    actions = [event.action for event in registry.events()]
    assert [actions.count(f"access_token.{what}") for what in ("expired", "expiring")] == [1, 2]
    assert told(registry) == {registry.ada.email: ["0", "1", "2"]}


def test_a_policy_of_other_days_counts_from_the_next_round(
    registry: SmallRegistry, ada: Actor
) -> None:
    expires_at = NOW + 100 * DAY_MS
    registry.token(ada, label="Nightly", expires_at=expires_at)
    assert round_at(registry, NOW + 1) == []
    set_policy(registry, warn_days=[60, 3])
    assert round_at(registry, expires_at - 61 * DAY_MS) == []
    assert round_at(registry, expires_at - 60 * DAY_MS) == [("Nightly", 60)]
    assert round_at(registry, expires_at - 7 * DAY_MS) == []
    # What is told already isn't told again by other days.
    set_policy(registry, warn_days=[90, 30, 5])
    assert round_at(registry, expires_at - 6 * DAY_MS) == [("Nightly", 6)]
    set_policy(registry, warn_days=[7, 5])
    assert round_at(registry, expires_at - 6 * DAY_MS + 1) == []
    assert round_at(registry, expires_at - 5 * DAY_MS) == [("Nightly", 5)]
    set_policy(registry, warn_days=[])
    assert round_at(registry, expires_at - 1) == []
    assert round_at(registry, expires_at) == [("Nightly", None)]


def test_by_a_clock_that_was_ahead_nothing_is_said_twice(
    small: SmallRegistry, its_ada: Actor
) -> None:
    small.token(its_ada, label="Nightly", expires_at=DAYS_30)
    assert round_at(small, DAYS_30 - 10 * DAY_MS) == [("Nightly", 10)]
    assert round_at(small, DAYS_30 - 20 * DAY_MS) == []
    assert round_at(small, DAYS_30 - 14 * DAY_MS) == []
    assert round_at(small, DAYS_30 - 7 * DAY_MS) == [("Nightly", 7)]


def test_webhooks_are_told_how_many_days_are_left(small: SmallRegistry, its_ada: Actor) -> None:
    small.do(
        hooks.create,
        its_ada,
        key=small.encryption_key,
        networks=Networks(),
        url="https://hooks.example.com/",
        events=["access_token.expiring", "access_token.expired"],
    )
    token, _ = small.token(its_ada, expires_at=DAYS_30)
    for at in (DAYS_30 - 7 * DAY_MS, DAYS_30):
        round_at(small, at)
    with small.read() as reading:
        query = select(webhook_deliveries.c.payload).order_by(webhook_deliveries.c.number)
        payloads = [json.loads(payload) for payload in reading.session.scalars(query)]
    assert [payload["type"] for payload in payloads] == [
        "access_token.expiring",
        "access_token.expired",
    ]
    warning, end = (payload["data"] for payload in payloads)
    assert (warning["days"], warning["because"]) == (7, "expiry")
    assert "days" not in end
    assert warning["ends_at"] == end["ends_at"] == "2027-02-14T08:00:00.000Z"
    assert warning["subject"]["id"] == token.id


def test_a_round_without_anything_due_looks_at_an_index(small: SmallRegistry) -> None:
    with small.read() as reading:
        query = str(
            expiry_warnings._due(reading).compile(
                reading.session.get_bind(), compile_kwargs={"literal_binds": True}
            )
        )
        plan = reading.session.execute(text(f"EXPLAIN QUERY PLAN {query}")).all()
    assert "USING INDEX ix_access_tokens_to_warn" in " ".join(row.detail for row in plan)


def test_a_token_that_nobody_uses_is_warned_of(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, label="Rarely", unused_days=30)
    registry.token(ada, label="Five days", unused_days=5)
    assert round_at(registry, NOW + 4 * DAY_MS) == [("Five days", 1)]
    ((_, letter),) = mails(registry)
    assert [(each.label, each.because, each.days) for each in letter.tokens] == [
        ("Five days", "unused", 1)
    ]
    assert round_at(registry, NOW + 23 * DAY_MS) == [("Rarely", 7)]
    assert round_at(registry, registry.now + 1) == []
    # It was used before the mail went out, and has all of its days again.
    used_at = registry.now + 2
    registry.auxiliary(recency.used, {token.id: used_at})
    assert told(registry) == {}
    assert round_at(registry, NOW + 29 * DAY_MS) == []
    assert round_at(registry, used_at + 23 * DAY_MS) == [("Rarely", 7)]
    assert round_at(registry, used_at + 29 * DAY_MS) == [("Rarely", 1)]
    assert told(registry) == {registry.ada.email: ["Rarely"]}
    assert round_at(registry, used_at + 30 * DAY_MS) == []
