"""Self-rotation: what a request means, what the new token has, and when a family ends."""

import dataclasses
from itertools import product
from typing import Any

import pytest
from sqlalchemy import update

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, TooManyAttempts
from gatepass.core.token_policy import NO_POLICY
from gatepass.registry.actor import Actor, Person
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.directory import roles
from gatepass.registry.membership import token_approvals
from gatepass.registry.notifications import token_alarms
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import access_tokens as table
from gatepass.registry.tokens import access_tokens, rotation, self_rotation
from gatepass.registry.tokens.calls import usage
from gatepass.registry.tokens.input import CHANGEABLE
from gatepass.registry.tokens.policy import token_policies
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.tokens.self_rotation import MOST_AN_HOUR, Member, Reuse, meaning
from gatepass.verify.spools import Batch
from tests.registry.tokens.test_rotation import in_threads
from tests.support.approval_policy import require
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry, nothing_changes
from tests.support.token_fields import FIRST
from tests.support.vector_files import cases

DAY = 24 * HOUR
ROTATING = ("charges:create", "own-token:rotate")


@pytest.mark.parametrize("case", cases("self_rotation.yaml", "requests"))
def test_what_a_request_means(case: dict[str, Any]) -> None:
    successor = case.get("successor")
    member = None if successor is None else Member(**dict.fromkeys(successor, True))
    assert meaning(replaced=case.get("replaced", False), successor=member) == case["means"]


def test_no_token_gets_a_second_successor_while_the_first_may_be_used() -> None:
    """Whatever a successor has been through: one that somebody used, or that people ended or
    replaced, is never replaced by its predecessor's text."""
    for facts in product((False, True), repeat=4):
        member = Member(*facts)
        found = meaning(replaced=False, successor=member)
        assert (found == "replace_successor") is not any(facts)
        assert (found == "reuse") is (member.used or member.rotated_itself)
        assert found != "rotate"


def token_of(registry: SmallRegistry, ada: Actor, **fields: Any) -> tuple[AccessToken, str]:
    return registry.token(ada, **{"permissions": ROTATING, "expires_at": NOW + 30 * DAY} | fields)


def rotate(
    registry: SmallRegistry, token: AccessToken, after: int = 600
) -> tuple[AccessToken, str]:
    made = registry.do(self_rotation.rotate, registry.with_token(token), after)
    assert isinstance(made, tuple)
    return made


def reuse(registry: SmallRegistry, token: AccessToken) -> Reuse:
    with registry.write() as change:
        found = self_rotation.rotate(change, registry.with_token(token), 600)
        assert isinstance(found, Reuse)
        token_alarms.tell_of_reuse(change, found)
    return found


def use(registry: SmallRegistry, token: AccessToken) -> None:
    counts = {token.id: (1, registry.now, "198.51.100.7", "charges:create")}
    registry.auxiliary(usage.fold, f"spool {registry.now} {token.id}", 0, 1, [Batch(counts, {})])


def statuses(registry: SmallRegistry, *tokens: AccessToken) -> list[str]:
    return [registry.get(token).status for token in tokens]


def test_the_new_token_has_the_settings_and_the_length_of_life(
    registry: SmallRegistry, ada: Actor
) -> None:
    fields = FIRST | {"kind": "api", "domains": [], "networks": [], "permissions": ROTATING}
    token, text = token_of(registry, ada, **fields)
    registry.now += HOUR
    new, new_text = rotate(registry, token, after=60)
    old = registry.get(token)
    assert new == registry.get(new)
    for name in {*CHANGEABLE, "kind", "owner", "company"} - {"expires_at"}:
        assert getattr(new, name) == getattr(token, name), name
    assert token.expires_at is not None
    assert new.expires_at == registry.now + token.expires_at - NOW
    assert new.created_by == Person(registry.ada.id, registry.ada.name)
    assert old.rotation is not None
    assert new.rotation is not None
    assert (old.rotation.close, old.rotation.closes_at) == ("after", registry.now + 60_000)
    assert (old.rotation.replaced_by, new.rotation.replaces) == (new.id, token.id)
    assert (registry.reason(text), registry.reason(new_text)) == (Reason.allowed,) * 2
    registry.now += 60_000
    assert (registry.reason(text), registry.reason(new_text)) == (
        Reason.token_expired,
        Reason.allowed,
    )
    with pytest.raises(Forbidden) as refusal:
        rotate(registry, token)
    assert refusal.value.reason == "token_expired"


def test_the_overlap_is_never_longer_than_its_life(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = token_of(registry, ada, expires_at=NOW + 90_000)
    new, _ = rotate(registry, token)
    assert (registry.get(token).expires_at, new.expires_at) == (NOW + 90_000,) * 2


def test_a_lost_answer_is_given_again_with_another_text(
    registry: SmallRegistry, ada: Actor
) -> None:
    """The former successor ends; the old token's overlap isn't prolonged."""
    token, _ = token_of(registry, ada, external_id="deploy")
    lost, lost_text = rotate(registry, token)
    registry.now += 300_000
    new, text = rotate(registry, token)
    old, former = registry.get(token), registry.get(lost)
    assert old.rotation is not None
    assert former.rotation is not None
    assert (old.rotation.replaced_by, old.expires_at) == (new.id, NOW + 600_000)
    assert (former.status, former.deactivated_by) == (
        "deactivated",
        Person("rotation", "rotation"),
    )
    assert (former.rotation.replaces, former.rotation.replaced_by) == (token.id, new.id)
    assert new.rotation is not None
    assert new.rotation.replaces == token.id
    assert (new.external_id, new.expires_at) == ("deploy", registry.now + 30 * DAY)
    assert (registry.reason(lost_text), registry.reason(text)) == (
        Reason.token_deactivated,
        Reason.allowed,
    )
    said = [event.action for event in registry.events(registry.northwind)][-3:]
    assert said == ["access_token.created", "access_token.rotated", "access_token.deactivated"]


def test_asking_again_once_the_successor_was_used_ends_the_family(
    registry: SmallRegistry, ada: Actor
) -> None:
    token, text = token_of(registry, ada)
    other, _ = token_of(registry, ada)
    lost, _ = rotate(registry, token)
    new, new_text = rotate(registry, token)
    use(registry, new)
    registry.now += 1
    assert reuse(registry, token) == Reuse(token.id, token.company, registry.ada.id, 2)
    assert statuses(registry, token, lost, new, other) == ["deactivated"] * 3 + ["active"]
    for each in (token, new):
        ended = registry.get(each)
        assert ended.deactivated_by == Person("reuse", "reuse")
        assert ended.deactivated_at == registry.now
    assert {registry.reason(each) for each in (text, new_text)} == {Reason.token_deactivated}
    event = registry.events(registry.northwind)[-1]
    assert (event.action, event.subject.id) == ("access_token.reuse_detected", token.id)
    assert event.actor_credential == token.id
    with pytest.raises(Forbidden) as refusal:
        rotate(registry, token)
    assert refusal.value.reason == "token_deactivated"


def test_a_use_that_is_counted_late_ends_the_family_all_the_same(
    registry: SmallRegistry, ada: Actor
) -> None:
    """A thief asks in the seconds before the job's first use of its new token is counted."""
    token, text = token_of(registry, ada)
    jobs, _ = rotate(registry, token)
    registry.now += 1_000
    thiefs, stolen = rotate(registry, token)
    other, _ = token_of(registry, ada)
    rotate(registry, other)
    rotate(registry, other)

    def round_() -> int:
        return token_alarms.end_reused(registry.database, lambda: registry.now)

    assert round_() == 0, "an answer got lost"
    use(registry, jobs)
    assert round_() == 1
    assert statuses(registry, token, jobs, thiefs) == ["deactivated"] * 3
    assert {registry.reason(each) for each in (text, stolen)} == {Reason.token_deactivated}
    assert registry.get(thiefs).deactivated_by == Person("reuse", "reuse")
    event = registry.events(registry.northwind)[-1]
    assert (event.action, event.subject.id) == ("access_token.reuse_detected", token.id)
    assert sentence(event).endswith("in use, which ended 2 tokens that follow from the same one")
    with nothing_changes(registry):
        assert round_() == 0
    assert registry.get(other).status == "active"


def test_what_people_made_of_a_used_token_stays(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = token_of(registry, ada)
    second, _ = rotate(registry, token)
    use(registry, second)
    third, _ = registry.do(rotation.rotate, ada, second.id, Closing("now"))
    assert token_alarms.end_reused(registry.database, lambda: registry.now) == 0
    assert statuses(registry, token, third) == ["active"] * 2


def test_the_audit_log_says_what_happened(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = token_of(registry, ada)
    rotate(registry, token)
    new, _ = rotate(registry, token)
    rotate(registry, new)
    reuse(registry, token)
    said = [sentence(event) for event in registry.events(registry.northwind)]
    me, name = "Ada Lovelace, with the access token Nightly settlement,", "Nightly settlement"
    again = f"{me} rotated this token again, because nobody had used the new one"
    assert (said.count(f"{me} rotated this token"), said.count(again)) == (2, 1)
    assert said[-1] == (
        f"The access token {name} was used to rotate itself although its successor was in use, "
        "which ended 3 tokens that follow from the same one"
    )
    because = "a token that it had replaced, or that replaced it, rotated itself once more"
    assert said.count(f"Gatepass deactivated the access token {name}: {because}") == 3


def test_a_successor_that_rotated_itself_was_used(registry: SmallRegistry, ada: Actor) -> None:
    first, _ = token_of(registry, ada)
    second, _ = rotate(registry, first)
    third, _ = rotate(registry, second)
    reuse(registry, first)
    assert statuses(registry, first, second, third) == ["deactivated"] * 3


def test_members_that_expired_long_ago_stay_as_they_are(
    registry: SmallRegistry, ada: Actor
) -> None:
    first, _ = token_of(registry, ada)
    second, _ = rotate(registry, first)
    registry.now += 2 * HOUR
    third, _ = rotate(registry, second)
    registry.now += 601_000
    fourth, _ = rotate(registry, third)
    use(registry, fourth)
    reuse(registry, third)
    assert statuses(registry, first, second, third, fourth) == ["expired"] + ["deactivated"] * 3


def test_people_decide_before_an_old_text(registry: SmallRegistry, ada: Actor) -> None:
    """A token that they replaced, and one whose successor they replaced, ended, widened or
    gave to another owner."""
    by_people, _ = token_of(registry, ada)
    registry.do(rotation.rotate, ada, by_people.id, Closing("when_silent"))
    refused = [by_people]
    account = registry.service_account(ada)
    for what in ("rotated", "ended", "widened", "kept unused", "handed over", "narrowed"):
        token, _ = token_of(registry, ada, networks=["198.51.100.0/24"], unused_days=9)
        successor, _ = rotate(registry, token)
        if what == "rotated":
            registry.do(rotation.rotate, ada, successor.id, Closing("when_silent"))
        elif what == "ended":
            registry.do(access_tokens.deactivate, ada, successor.id)
        elif what == "widened":
            registry.modify(ada, successor, networks=[])
        elif what == "kept unused":
            registry.modify(ada, successor, unused_days=None)
        elif what == "handed over":
            registry.do(update_row, table, successor.id, owner_id=account.id)
        else:
            registry.modify(ada, token, permissions=["own-token:rotate"])
        refused.append(token)
    for token in refused:
        with nothing_changes(registry), pytest.raises(Conflict) as refusal:
            rotate(registry, token)
        assert refusal.value.reason == "already_rotated"


def test_a_narrower_successor_stays_narrow(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = token_of(registry, ada)
    successor, _ = rotate(registry, token)
    registry.modify(ada, successor, networks=["198.51.100.0/24"], permissions=["own-token:rotate"])
    again, _ = rotate(registry, token)
    assert (again.networks, again.permissions) == (("198.51.100.0/24",), ("own-token:rotate",))


def test_a_token_that_people_made_of_one_starts_a_family(
    registry: SmallRegistry, ada: Actor
) -> None:
    first, _ = token_of(registry, ada)
    second, _ = rotate(registry, first)
    use(registry, second)
    third, _ = registry.do(rotation.rotate, ada, second.id, Closing("when_silent"))
    fourth, _ = rotate(registry, third)
    reuse(registry, first)
    assert statuses(registry, first, second, third, fourth) == ["deactivated"] * 2 + ["active"] * 2


def test_a_family_lives_no_longer_than_the_policy_allows(
    registry: SmallRegistry, ada: Actor
) -> None:
    """From the creation of its first token. A token that people made of one starts again."""
    first, _ = token_of(registry, ada, expires_at=NOW + 20 * DAY)
    policy = {**dataclasses.asdict(NO_POLICY), "longest_life_days": 30}
    registry.do(token_policies.replace, ada, policy, catalogue=registry.catalogue)
    registry.now += 15 * DAY
    second, _ = rotate(registry, first)
    again, _ = rotate(registry, first)
    assert [second.expires_at, again.expires_at] == [NOW + 30 * DAY] * 2
    registry.now += 10 * DAY
    ada = registry.signed_in(registry.ada)
    third, _ = rotate(registry, again)
    assert third.expires_at == NOW + 30 * DAY
    policy["longest_life_days"] = 20
    registry.do(token_policies.replace, ada, policy, catalogue=registry.catalogue)
    with nothing_changes(registry), pytest.raises(Conflict) as refusal:
        rotate(registry, third)
    assert refusal.value.reason == "longest_life_reached"
    fourth, _ = registry.do(rotation.rotate, ada, third.id, Closing("now"))
    assert rotate(registry, fourth)[0].status == "active"


def test_a_pipeline_never_waits_for_a_second_person(registry: SmallRegistry, ada: Actor) -> None:
    """Its token may end before somebody approves the next one."""
    old, _ = token_of(registry, ada)
    require(registry, "charges:create")
    with nothing_changes(registry), pytest.raises(Conflict) as refusal:
        rotate(registry, old)
    assert refusal.value.reason == "approval_required"
    token, _ = token_of(registry, ada)
    mona = registry.colleague("manager", "Mona")
    approval = registry.do(token_approvals.approve, mona, token.id).approval
    for _ in range(2):
        token, text = rotate(registry, token)
        assert (token.status, token.approval) == ("active", approval)
        assert registry.reason(text) is Reason.allowed


def test_who_may_not(registry: SmallRegistry, ada: Actor) -> None:
    plain, _ = registry.token(ada, expires_at=NOW + HOUR)
    bob = registry.colleague("customer-service")
    token, _ = token_of(registry, ada)
    endless, _ = registry.token(ada, permissions=ROTATING)
    refusals: list[tuple[Actor, str]] = [
        (ada, "access_token_required"),
        (bob, "access_token_required"),
        (registry.with_token(plain), "permission_missing"),
        (registry.with_token(endless), "no_expiry"),
    ]
    for actor, reason in refusals:
        with nothing_changes(registry), pytest.raises((Forbidden, Conflict)) as refusal:
            registry.do(self_rotation.rotate, actor)
        assert refusal.value.reason == reason
    for after in (59, 3_601):
        with nothing_changes(registry), pytest.raises(InvalidInput):
            rotate(registry, token, after)


def test_the_owners_role_must_permit_it(registry: SmallRegistry, ada: Actor) -> None:
    """A service account's role may, if people of the company give it; then its tokens do."""
    for permissions, made in ((ROTATING, True), (ROTATING[:1], False)):
        role = registry.do(
            roles.create,
            ada,
            catalogue=registry.catalogue,
            name=f"Deploys {made}",
            permissions=["charges:create", "own-token:rotate"],
        )
        account = registry.service_account(ada, name=f"Deploys {made}", role=role.id)
        token, _ = token_of(registry, ada, owner=account.id)
        registry.do(
            roles.modify,
            ada,
            role.id,
            catalogue=registry.catalogue,
            changes={"permissions": list(permissions)},
        )
        if made:
            new, _ = rotate(registry, token)
            assert (new.owner, new.created_by) == (token.owner, Person(None, account.name))
        else:
            with pytest.raises(Forbidden):
                rotate(registry, token)


def test_a_family_grows_slowly(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = token_of(registry, ada)
    rotate(registry, token)
    # As if it had grown faster than a test can wait for.
    fill = [registry.token(ada, label=f"{n}")[0].id for n in range(3)]
    with registry.write() as change:
        change.session.execute(update(table).where(table.c.id.in_(fill)).values(family_id=token.id))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(self_rotation, "MOST_AN_HOUR", 5)
        with nothing_changes(registry), pytest.raises(TooManyAttempts) as refusal:
            rotate(registry, token)
        assert refusal.value.retry_after == 3_600
        registry.now += 300_000
    assert MOST_AN_HOUR >= 60
    rotate(registry, token)


def test_of_two_requests_at_once_one_token_is_left(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = token_of(registry, ada)
    made = in_threads(2, lambda: rotate(registry, token))
    left = [each for each, _ in made if registry.get(each).status == "active"]
    rotation_of_old = registry.get(token).rotation
    assert rotation_of_old is not None
    assert [each.id for each in left] == [rotation_of_old.replaced_by]
