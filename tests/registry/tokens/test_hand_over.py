"""Handing over the access tokens of a user who is deactivated."""

import threading
from typing import Any

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, GatepassError, InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.directory import roles, user_roles
from gatepass.registry.directory.owner_records import Owner
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import published_grant
from gatepass.registry.membership import offboarding, owner_offboarding
from gatepass.registry.tokens import access_tokens, hand_over, rotation, store
from gatepass.registry.tokens.exception_records import TokenException
from gatepass.registry.tokens.hand_over import Choice, Fate, Handling, Recipient
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.tokens.temporary import exceptions, rehearsals
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry, nothing_changes


def leaver(registry: SmallRegistry, role: str = "manager") -> tuple[User, Actor]:
    user = registry.user(registry.northwind, "bob@northwind.example", "Bob", role)
    return user, registry.signed_in(user)


def colleague(registry: SmallRegistry, role: str = "manager") -> User:
    return registry.user(registry.northwind, f"grace.{role}@northwind.example", "Grace", role)


def handing_over(to: User | Owner, rest: Fate = "hand_over", **each: Choice) -> Handling:
    type = "user" if isinstance(to, User) else "service_account"
    return Handling(rest, Recipient(type, to.id), each)


def deactivate(registry: SmallRegistry, actor: Actor, user: User, tokens: Handling) -> User:
    return registry.do(offboarding.deactivate, actor, user.id, tokens=tokens)


def refused(registry: SmallRegistry, *arguments: Any) -> GatepassError:
    with nothing_changes(registry), pytest.raises(GatepassError) as refusal:
        deactivate(registry, *arguments)
    return refusal.value


def test_the_tokens_keep_working_and_belong_to_another_user(
    registry: SmallRegistry, ada: Actor
) -> None:
    user, bob = leaver(registry)
    grace = colleague(registry)
    one, text = registry.token(bob, external_id="deploy-7", networks=["198.51.100.0/24"])
    two, expired = registry.token(bob, label="Old", expires_at=NOW + HOUR)
    ended, _ = registry.token(bob)
    registry.do(access_tokens.deactivate, bob, ended.id)
    registry.do(rehearsals.start, ada, one.id, minutes=5, share=1)
    excepted = TokenException("refunds:create", NOW + 2 * HOUR, "req_1")
    with registry.write() as change:
        exceptions.add(change, ada, store.find(change, None, one.id), excepted)
    registry.now += HOUR
    before = registry.revision()
    deactivate(registry, ada, user, handing_over(grace))
    assert registry.revision() == before + 1
    assert registry.reason(text, address="198.51.100.7") is Reason.allowed
    assert registry.reason(text) is Reason.address_not_allowed
    assert registry.reason(expired) is Reason.token_expired
    now_hers = registry.get(one)
    assert (now_hers.owner.id, now_hers.owner.name) == (grace.id, "Grace")
    reasons = registry.reason(text, "refunds:create", address="198.51.100.7")
    assert (now_hers.exceptions, reasons) == ((), Reason.permission_missing)
    assert (now_hers.created_by.id, now_hers.external_id) == (user.id, "deploy-7")
    assert registry.get(two).owner.id == grace.id
    assert registry.get(ended).owner.id == user.id, "what is deactivated stays"
    theirs = registry.every(token_search.list_, ada, owner=grace.id)
    assert {token.id for token in theirs} == {one.id, two.id}
    owner = registry.decide(text, address="198.51.100.7").owner
    assert owner is not None
    assert owner.id == grace.id
    events = registry.events(action="access_token.handed_over")
    assert {(event.subject.id, sentence(event)) for event in events} == {
        (one.id, "Ada Lovelace handed the access token Nightly settlement over from Bob to Grace"),
        (two.id, "Ada Lovelace handed the access token Old over from Bob to Grace"),
    }
    (event,) = registry.events(action="user.deactivated")
    assert sentence(event) == (
        "Ada Lovelace deactivated the user Bob and handed 2 access tokens over to Grace"
    )
    # Her role limits them from now on, and they are hers to rotate.
    registry.do(rotation.rotate, registry.signed_in(grace), one.id, Closing("after", after=60))
    registry.do(user_roles.change_role, ada, grace.id, role="reporting")
    assert registry.reason(text, address="198.51.100.7") is Reason.permission_missing


def test_each_token_may_have_a_choice_of_its_own(registry: SmallRegistry, ada: Actor) -> None:
    account = registry.service_account(ada)
    for rest, other in (
        ("hand_over", Reason.allowed),
        ("deactivate", Reason.token_deactivated),
        ("keep", Reason.account_deactivated),
    ):
        user = registry.user(registry.northwind, f"bob{rest}@northwind.example", "Bob", "manager")
        bob = registry.signed_in(user)
        (one, first), (two, second), (_, third) = (registry.token(bob) for _ in range(3))
        each: dict[str, Choice] = {one.id: "hand_over", two.id: "deactivate"}
        fate: Any = rest
        deactivate(registry, ada, user, handing_over(account, fate, **each))
        reasons = [registry.reason(text) for text in (first, second, third)]
        assert reasons == [Reason.allowed, Reason.token_deactivated, other]
    said = [sentence(event) for event in registry.events(action="user.deactivated")]
    assert said == [
        "Ada Lovelace deactivated the user Bob and handed 2 access tokens over to Deploys",
        "Ada Lovelace deactivated the user Bob and their access tokens, but handed 1 over to "
        "Deploys",
        "Ada Lovelace deactivated the user Bob and handed 1 access token over to Deploys; the "
        "others were kept, but are refused",
    ]


def test_a_role_that_grants_less_is_refused_with_the_tokens(
    registry: SmallRegistry, ada: Actor
) -> None:
    user, bob = leaver(registry)
    rita = colleague(registry, "reporting")
    made = [registry.token(bob)[0] for _ in range(7)]
    fits, text = registry.token(bob, permissions=["charges:get"])
    registry.token(bob, expires_at=NOW + HOUR)
    registry.now += HOUR
    refusal = refused(registry, ada, user, handing_over(rita))
    assert refusal.reason == "role_too_small"
    assert isinstance(refusal, Conflict)
    ids = sorted(token.id for token in made)
    assert sorted(field for field, _ in refusal.errors) == [f"tokens.{id}" for id in ids]
    assert {message for _, message in refusal.errors} == {
        "Has charges:create, which the new owner's role doesn't grant."
    }
    assert refusal.message.endswith(" and 2 more.")
    each: dict[str, Choice] = {token.id: "deactivate" for token in made}
    deactivate(registry, ada, user, handing_over(rita, **each))
    assert registry.get(fits).owner.id == rita.id
    assert registry.reason(text, "charges:get") is Reason.allowed


def test_what_the_leavers_role_no_longer_granted_is_not_gained(
    registry: SmallRegistry, ada: Actor
) -> None:
    user, bob = leaver(registry)
    token, text = registry.token(bob, permissions=["charges:create", "charges:get"])
    registry.do(user_roles.change_role, ada, user.id, role="reporting")
    assert registry.reason(text) is Reason.permission_missing
    deactivate(registry, ada, user, handing_over(colleague(registry)))
    assert registry.reason(text) is Reason.permission_missing
    assert registry.reason(text, "charges:get") is Reason.allowed
    assert registry.get(token).permissions == ("charges:get",)
    found = registry.every(token_search.list_, ada, permission="charges:create")
    assert token.id not in [each.id for each in found]
    (event,) = registry.events(action="access_token.handed_over")
    assert sentence(event) == (
        "Ada Lovelace handed the access token Nightly settlement over from Bob to Grace with only "
        "what Bob's role still granted (1 removed)"
    )


def test_who_can_hand_over_to_whom(registry: SmallRegistry, ada: Actor) -> None:
    people = registry.do(
        roles.create,
        ada,
        catalogue=registry.catalogue,
        name="People",
        permissions=["users:*", "access-tokens:create", "charges:*", "refunds:*"],
    )
    user, bob = leaver(registry, people.id)
    _, text = registry.token(bob)
    helen = registry.user(registry.northwind, "helen@northwind.example", "Helen", people.id)
    of_people, grace = registry.signed_in(helen), colleague(registry)
    account, ended = registry.service_account(ada), registry.service_account(ada, "Ended")
    registry.do(owner_offboarding.deactivate, ada, ended.id)
    customer = registry.external_owner()
    for actor, to, reason in (
        (ada, Recipient("user", user.id), "invalid"),
        (ada, Recipient("user", registry.carl.id), "not_found"),
        (ada, Recipient("user", account.id), "not_found"),
        (ada, Recipient("user", "\0"), "not_found"),
        (ada, Recipient("service_account", grace.id), "not_found"),
        (ada, Recipient("service_account", customer.id), "not_found"),
        (ada, Recipient("external", customer.id), "invalid"),
        (ada, Recipient("service_account", ended.id), "owner_deactivated"),
        # Without service-accounts:manage, and without all that a Manager holds.
        (of_people, Recipient("service_account", account.id), "permission_missing"),
        (of_people, Recipient("user", grace.id), "permission_missing"),
    ):
        assert refused(registry, actor, user, Handling("hand_over", to)).reason == reason
    mine, _ = registry.token(ada)
    for wrong in (
        Handling("hand_over"),
        Handling("keep", Recipient("user", grace.id)),
        handing_over(grace, "keep", gpat_none="hand_over"),
        handing_over(grace, **{"\0": "deactivate"}),
        Handling("deactivate", each={mine.id: "deactivate"}),
        Handling("keep", each={f"gpat_{number}": "deactivate" for number in range(101)}),
    ):
        assert isinstance(refused(registry, ada, user, wrong), InvalidInput)
    deactivate(registry, of_people, user, handing_over(helen))
    assert registry.reason(text) is Reason.allowed


def test_a_deactivated_token_cannot_be_handed_over(registry: SmallRegistry, ada: Actor) -> None:
    user, bob = leaver(registry)
    token, text = registry.token(bob)
    registry.do(access_tokens.deactivate, bob, token.id)
    each: dict[str, Choice] = {token.id: "hand_over"}
    grace = colleague(registry)
    assert refused(registry, ada, user, handing_over(grace, **each)).reason == "token_deactivated"
    deactivate(registry, ada, user, Handling("keep", each={token.id: "deactivate"}))
    assert registry.get(token).deactivated_by == bob.person
    # What was refused once never works again.
    deactivate(registry, ada, user, handing_over(grace))
    assert registry.reason(text) is Reason.token_deactivated
    assert registry.get(token).owner.id == user.id


def test_many_tokens_go_in_one_change_and_no_more_than_allowed(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over, "_AT_ONCE", 3)
    monkeypatch.setattr(hand_over, "MOST_TOKENS", 7)
    user, bob = leaver(registry)
    grace = colleague(registry)
    made = [registry.token(bob, label=f"Token {number}") for number in range(8)]
    assert refused(registry, ada, user, handing_over(grace)).reason == "too_many"
    before = registry.revision()
    each: dict[str, Choice] = {made[0][0].id: "deactivate"}
    deactivate(registry, ada, user, handing_over(grace, **each))
    assert registry.revision() == before + 1
    assert [registry.reason(text) for _, text in made[1:]] == [Reason.allowed] * 7
    with registry.read() as reading:
        owners = {published_grant(reading, token.id).user for token, _ in made[1:]}  # type: ignore[union-attr] # each has one
    assert owners == {grace.id}


def test_a_token_that_is_made_meanwhile_goes_along_or_is_refused(
    registry: SmallRegistry, ada: Actor
) -> None:
    user, bob = leaver(registry)
    grace = colleague(registry)
    old, _ = registry.token(bob)

    def act(what: str) -> Any:
        if what == "hand over":
            return deactivate(registry, ada, user, handing_over(grace)).status
        if what == "create":
            return registry.token(bob)[0].id
        return registry.do(rotation.rotate, bob, old.id, Closing("when_silent"))[0].id

    ended, *made = concurrently(act, ["hand over", "create", "rotate"])
    assert ended == "deactivated"
    tokens = [each for each in made if each.startswith("gpat_")]
    assert {each for each in made if each not in tokens} <= {"account_deactivated"}
    theirs = [token.id for token in registry.every(token_search.list_, ada, owner=grace.id)]
    assert set(theirs) == {old.id, *tokens}
    assert not registry.every(token_search.list_, ada, owner=user.id)


def test_an_owner_who_is_deactivated_meanwhile_gets_no_working_token(
    registry: SmallRegistry, ada: Actor
) -> None:
    user, bob = leaver(registry)
    grace = colleague(registry)
    _, text = registry.token(bob)
    both = [(user, handing_over(grace)), (grace, Handling())]
    outcomes = concurrently(
        lambda who, how: deactivate(registry, ada, who, how), *zip(*both, strict=True)
    )
    expected = Reason.allowed if outcomes[0] == "owner_deactivated" else Reason.token_deactivated
    assert registry.reason(text) is expected


def test_no_reader_sees_the_token_refused_or_without_an_active_owner(
    registry: SmallRegistry, ada: Actor
) -> None:
    user, bob = leaver(registry)
    _, text = registry.token(bob)
    seen: set[Any] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            decision = registry.decide(text)
            seen.add((decision.reason, decision.owner and decision.owner.active))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(3):
            grace = (
                colleague(registry)
                if number == 0
                else registry.user(
                    registry.northwind, f"next{number}@northwind.example", "Next", "manager"
                )
            )
            deactivate(registry, ada, user, handing_over(grace))
            user = grace
    finally:
        done.set()
        reader.join()
    assert seen == {(Reason.allowed, True)}
