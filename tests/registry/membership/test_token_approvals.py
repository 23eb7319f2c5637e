"""Approval by a second person: what waits, who can approve it, what mail goes out."""

from typing import Any

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, NotFound
from gatepass.core.token_policy import DAY_MS
from gatepass.mail.messages import Envelope
from gatepass.node.mailing import _WRITERS
from gatepass.registry.actor import Actor, Person
from gatepass.registry.directory import roles
from gatepass.registry.grants.publishing import deactivate_grants, published_grant
from gatepass.registry.membership import token_approvals
from gatepass.registry.replication import receipt_status
from gatepass.registry.tokens import access_tokens, provisioning, rotation
from gatepass.registry.tokens.approval_records import PENDING_MS
from gatepass.registry.tokens.ending.unused import ending_of
from gatepass.registry.tokens.policy import approval
from gatepass.registry.tokens.records import AccessToken, etag
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.tokens.temporary import rehearsals
from tests.support.approval_policy import require
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry, nothing_changes


@pytest.fixture
def registry(sqlite_registry: SmallRegistry) -> SmallRegistry:
    """One engine: ``test_pending_tokens`` has what depends on it."""
    return sqlite_registry


@pytest.fixture(autouse=True)
def policy(registry: SmallRegistry) -> None:
    require(registry, "charges:create")


def approve(
    registry: SmallRegistry, actor: Actor, token: AccessToken, if_match: Any = None
) -> AccessToken:
    return registry.do(token_approvals.approve, actor, token.id, if_match=if_match)


def test_a_token_waits_and_works_once_it_is_approved(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada)
    assert (token.status, registry.get(token)) == ("pending", token)
    assert token.approval is not None
    assert (token.approval.pending_since, token.approval.until) == (NOW, NOW + PENDING_MS)
    assert registry.reason(text) is Reason.token_pending
    mona = registry.colleague("manager", "Mona")
    registry.now += HOUR
    approved = approve(registry, mona, token)
    assert approved.status == "active"
    assert approved.approval is not None
    assert (approved.approval.pending_since, approved.approval.approved_at) == (None, NOW + HOUR)
    assert approved.approval.approved_by == Person(mona.user, "Mona")
    assert registry.get(token) == approved
    assert registry.reason(text) is Reason.allowed
    # Once more, it changes nothing.
    with nothing_changes(registry, but="revision revisions"):
        assert approve(registry, mona, token) == approved
    actions = [event.action for event in registry.events() if event.subject.id == token.id]
    assert actions == ["access_token.created", "access_token.pending", "access_token.approved"]


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        (["charges:get", "refunds:create"], "active"),
        (["charges:get", "charges:create"], "pending"),
        (["charges:*"], "pending"),
    ],
)
def test_what_waits(
    registry: SmallRegistry, ada: Actor, permissions: list[str], status: str
) -> None:
    assert registry.token(ada, permissions=permissions)[0].status == status


def test_each_way_to_a_token(registry: SmallRegistry, ada: Actor) -> None:
    account, customer = registry.service_account(ada), registry.external_owner()
    portal = registry._acting(
        "portal_session", registry.portal_session(customer)[:21], "Customer", "198.51.100.7"
    )
    values = {"label": "Sync", "permissions": ["charges:create"]}
    made = [
        registry.token(ada, owner=account.id)[0],
        registry.token(portal)[0],
        registry.do(
            provisioning.create,
            registry.admin_key(registry.northwind),
            registry.northwind.id,
            catalogue=registry.catalogue,
            owner=customer.id,
            kind="api",
            values=values,
        )[0],
    ]
    mona = registry.colleague("manager", "Mona")
    for token in made:
        assert token.status == "pending"
        assert approve(registry, mona, token).status == "active"


def test_who_can_approve(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    owned, _ = registry.token(registry.colleague("admin", "Otto"))
    wide, _ = registry.token(ada, permissions=["charges:create", "users:get"])
    with registry.write() as change:
        limited = roles.create(
            change,
            ada,
            catalogue=registry.catalogue,
            name="Limited",
            permissions=["access-tokens:approve", "access-tokens:get", "charges:create"],
        )
    lea = registry.colleague(limited.id, "Lea")
    program, _ = registry.token(ada, permissions=["access-tokens:*", "charges:get"])
    refused: list[tuple[Actor, AccessToken, str]] = [
        (ada, token, "second_person_required"),
        (registry.colleague("customer-service", "Carl"), token, "permission_missing"),
        (lea, wide, "permission_missing"),
        (registry.with_token(program), token, "signed_in_user_required"),
        (registry.admin_key(registry.northwind), token, "admin_key"),
        (Actor.command_line(), token, "signed_in_user_required"),
    ]
    for actor, each, reason in refused:
        with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
            approve(registry, actor, each)
        assert refusal.value.reason == reason
    stranger = registry.signed_in(registry.carl)
    with nothing_changes(registry), pytest.raises(NotFound):
        approve(registry, stranger, token)

    def who(each: AccessToken) -> list[str]:
        return sorted(row.name for row in registry.ask(approval.approvers, each, most=9))

    assert (who(token), who(owned), who(wide)) == (
        ["Lea", "Otto"],
        ["Ada Lovelace", "Lea"],
        ["Otto"],
    )
    assert approve(registry, lea, token).status == "active"
    assert approve(registry, ada, owned).status == "active"


def test_the_owner_of_a_rotated_or_handed_token_is_no_second_person(
    registry: SmallRegistry, ada: Actor
) -> None:
    """The owner, and not the maker, is the same person here."""
    require(registry)
    old, _ = registry.token(ada)
    require(registry, "charges:create")
    with registry.write() as change:
        new, _ = rotation.rotate(change, Actor.command_line(), old.id, Closing("when_silent"))
    assert (new.status, new.created_by.id) == ("pending", None)
    with pytest.raises(Forbidden) as refusal:
        approve(registry, ada, new)
    assert refusal.value.reason == "second_person_required"


def test_what_is_added_meanwhile_needs_another_person(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada)
    mona, otto = registry.colleague("manager", "Mona"), registry.colleague("admin", "Otto")
    seen = etag(registry.get(token))
    extended = registry.modify(mona, token, permissions=["charges:create", "refunds:create"])
    assert extended.status == "pending"
    assert registry.reason(text) is Reason.token_pending
    for actor in (ada, mona):
        with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
            approve(registry, actor, token)
        assert refusal.value.reason == "second_person_required"
    # What was looked at is what is approved.
    with nothing_changes(registry), pytest.raises(Conflict) as conflict:
        approve(registry, otto, token, if_match=[seen])
    assert conflict.value.reason == "changed_meanwhile"
    # Other changes, and taking permissions away, leave one a second person.
    registry.modify(otto, token, permissions=["charges:create"], networks=["192.0.2.0/24"])
    assert approve(registry, otto, token).status == "active"


def test_an_active_token_gets_no_such_permission(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, permissions=["charges:get"])
    for permissions in (["charges:get", "charges:create"], ["charges:*"]):
        with nothing_changes(registry), pytest.raises(Conflict) as conflict:
            registry.modify(ada, token, permissions=permissions)
        assert conflict.value.reason == "approval_required"
        assert conflict.value.current == registry.get(token)
    registry.modify(ada, token, permissions=["charges:get", "refunds:create"])
    # What it had before the policy, it may keep.
    require(registry, "refunds:create")
    kept = registry.modify(ada, token, label="Kept", permissions=["refunds:create"])
    assert kept.status == "active"


def test_a_successor_keeps_the_approval(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    with nothing_changes(registry), pytest.raises(Conflict) as conflict:
        registry.do(rotation.rotate, ada, token.id, Closing("now"))
    assert conflict.value.reason == "token_pending"
    approved = approve(registry, registry.colleague("manager", "Mona"), token)
    registry.now += HOUR
    new, text = registry.do(rotation.rotate, ada, token.id, Closing("now"))
    assert (new.status, new.approval) == ("active", approved.approval)
    assert registry.get(new) == new
    assert registry.reason(text) is Reason.allowed


def test_a_token_from_before_the_policy_has_none_to_keep(
    registry: SmallRegistry, ada: Actor
) -> None:
    require(registry)
    token, text = registry.token(ada)
    require(registry, "charges:create")
    assert registry.reason(text) is Reason.allowed
    with nothing_changes(registry), pytest.raises(Conflict) as conflict:
        registry.do(rotation.rotate, ada, token.id, Closing("now"))
    assert conflict.value.reason == "approval_required"
    new, _ = registry.do(rotation.rotate, ada, token.id, Closing("after", after=600))
    assert new.status == "pending"
    assert registry.reason(text) is Reason.allowed


def test_only_pending_ones_are_approved(registry: SmallRegistry, ada: Actor) -> None:
    plain, _ = registry.token(ada, permissions=["charges:get"])
    gone, _ = registry.token(ada)
    registry.do(access_tokens.deactivate, ada, gone.id)
    brief, _ = registry.token(ada, expires_at=NOW + 1)
    registry.now += 1
    mona = registry.colleague("manager", "Mona")
    for token, reason in (
        (plain, "not_pending"),
        (gone, "token_deactivated"),
        (brief, "token_expired"),
    ):
        with nothing_changes(registry), pytest.raises(Conflict) as conflict:
            approve(registry, mona, token)
        assert conflict.value.reason == reason
        assert conflict.value.current == registry.get(token)


def test_after_seven_days_nobody_approves_it(registry: SmallRegistry, ada: Actor) -> None:
    """By time alone: the round that deactivates it may be late."""
    token, _ = registry.token(ada)
    mona = registry.user(registry.northwind, "mona@northwind.example", "Mona", "manager")
    registry.now += PENDING_MS
    late = registry.signed_in(mona)
    with nothing_changes(registry), pytest.raises(Conflict) as conflict:
        approve(registry, late, token)
    assert conflict.value.reason == "token_deactivated"
    registry.now -= 1
    assert approve(registry, late, token).status == "active"


def test_a_pending_token_is_not_rehearsed_and_can_be_refused(
    registry: SmallRegistry, ada: Actor
) -> None:
    token, text = registry.token(ada)
    with nothing_changes(registry), pytest.raises(Conflict) as conflict:
        registry.do(rehearsals.start, ada, token.id, minutes=5, share=10)
    assert conflict.value.reason == "token_pending"
    ended = registry.do(access_tokens.deactivate, registry.colleague("manager", "Mona"), token.id)
    assert ended.status == "deactivated"
    assert registry.reason(text) is Reason.token_deactivated
    assert registry.ask(receipt_status.find, token.id) is not None
    with registry.read() as reading:
        grant = published_grant(reading, token.id)
    assert grant is not None
    assert grant.ended


def test_a_pending_token_is_no_credential(registry: SmallRegistry, ada: Actor) -> None:
    """Nor does one that became pending, by a restore, pass the check under the lock."""
    token, _ = registry.token(ada, permissions=["charges:create", "access-tokens:deactivate"])
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        registry.do(access_tokens.deactivate, registry.with_token(token), token.id)
    assert refusal.value.reason == "token_pending"


def test_a_restore_ends_a_pending_token_for_good(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada)
    registry.do(deactivate_grants, [token.id])
    assert registry.reason(text) is Reason.token_deactivated


def test_days_without_use_count_from_the_approval(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, unused_days=1)
    assert registry.ask(ending_of, token.id) is None
    registry.now += 2 * DAY_MS
    mona = registry.colleague("manager", "Mona")
    approve(registry, mona, token)
    assert registry.ask(ending_of, token.id) == NOW + 3 * DAY_MS


def test_the_mails(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, label="Till")
    mona = registry.colleague("manager", "Mona")
    envelope = Envelope("mail_1", "gatepass.example", ("Gatepass", "no-reply@x.example"), "m@x", 0)

    def written(kind: str, subject: str) -> tuple[str, str]:
        find, compose = _WRITERS[kind]
        with registry.database.auxiliary_write(registry.now) as write:
            message = compose(envelope, find(write, subject), "https://gatepass.example")
        return message["subject"], message.get_body(("plain",)).get_content()

    asked = f"approvals:{mona.user}"
    subject, text = written(token_approvals.ASKING_MAIL, asked)
    assert subject == "The access token “Till” of Northwind waits for your approval"
    assert f"https://gatepass.example/access-tokens/{token.id}" in text
    registry.token(ada)
    subject, text = written(token_approvals.ASKING_MAIL, asked)
    assert subject == "2 access tokens of Northwind wait for your approval"
    assert "https://gatepass.example/access-tokens?status=pending" in text
    approve(registry, mona, token)
    subject, text = written(token_approvals.APPROVED_MAIL, f"{token.id}:approved:{ada.user}")
    assert subject == "The access token “Till” of Northwind is approved"
    assert "Mona approved" in text


def test_who_made_a_token_cant_approve_the_one_that_its_platform_replaces_it_with(
    registry: SmallRegistry, ada: Actor
) -> None:
    require(registry)
    account = registry.service_account(ada)
    token, _ = registry.token(ada, owner=account.id)
    assert token.status == "active"
    require(registry, "charges:create")
    replaced, _ = registry.do(
        rotation.rotate_owned,
        Actor.command_line(),
        registry.northwind.id,
        token.id,
        Closing("after", after=3_600),
    )
    assert (replaced.status, replaced.created_by.id) == ("pending", None)
    with pytest.raises(Forbidden) as refused:
        approve(registry, ada, replaced)
    assert refused.value.reason == "second_person_required"
    approved = approve(registry, registry.colleague("manager", "Mona"), replaced)
    assert approved.status == "active"
    with registry.database.read(registry.now) as reading:
        assert ada.user in approval.makers_of_family(reading, approved)
