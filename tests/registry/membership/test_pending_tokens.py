"""Pending tokens in lists, in mail and at the end of their time, on both engines."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from gatepass.core.decision import Reason
from gatepass.registry.actor import Actor, Person
from gatepass.registry.membership import token_approvals
from gatepass.registry.storage.tables import outgoing_mail
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.approval_records import PENDING_MS
from gatepass.registry.tokens.ending.unapproved import deactivate_unapproved
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.records import AccessToken
from tests.support.approval_policy import require
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry


@pytest.fixture(autouse=True)
def policy(registry: SmallRegistry) -> None:
    require(registry, "charges:create")


def approve(registry: SmallRegistry, actor: Actor, token: AccessToken) -> None:
    registry.do(token_approvals.approve, actor, token.id)


def mails(registry: SmallRegistry) -> list[tuple[str, str]]:
    """Kind and recipient of each mail that waits."""
    with registry.read() as reading:
        mail = outgoing_mail.c
        found = reading.session.execute(
            select(mail.kind, mail.recipient)
            .where(mail.state == "waiting")
            .order_by(mail.recipient)
        )
        return [(row.kind, row.recipient) for row in found]


def test_nobody_approves_for_seven_days(registry: SmallRegistry, ada: Actor) -> None:
    def end_due() -> int:
        return deactivate_unapproved(registry.database, lambda: registry.now)

    token, text = registry.token(ada)
    brief, _ = registry.token(ada, expires_at=NOW + HOUR)
    approved, _ = registry.token(ada)
    approve(registry, registry.colleague("manager", "Mona"), approved)
    registry.now += PENDING_MS - 1
    assert end_due() == 0
    registry.now += 1
    assert end_due() == 1
    ended = registry.get(token)
    assert (ended.status, ended.deactivated_by) == (
        "deactivated",
        Person("unapproved", "unapproved"),
    )
    assert registry.reason(text) is Reason.token_deactivated
    assert [registry.get(each).status for each in (brief, approved)] == ["expired", "active"]
    assert end_due() == 0


def test_lists(registry: SmallRegistry, ada: Actor) -> None:
    """In each order, with each filter, a pending token is among the pending ones alone."""
    waiting = [registry.token(ada, label=label)[0].id for label in ("bravo", "alpha", "charlie")]
    working, _ = registry.token(ada, permissions=["charges:get"])
    expired, _ = registry.token(ada, expires_at=NOW + 1)
    registry.now += 1

    def ids(status: str | None, **filters: Any) -> Sequence[str]:
        return [
            each.id for each in registry.every(token_search.list_, ada, status=status, **filters)
        ]

    filters: list[dict[str, Any]] = [
        {},
        {"owner": ada.user},
        {"created_by": ada.user},
        {"kind": "api"},
        {"used": "never"},
        {"network": "none"},
        {"unused_since": NOW + 1},
        {"sort": "label"},
        {"sort": "expires_at"},
        {"sort": "last_used", "order": "desc", "limit": 2},
    ]
    for each in filters:
        assert set(ids("pending", **each)) == set(waiting), each
        assert ids("active", **each) == [working.id], each
        assert ids("expired", **each) == [expired.id], each
        assert len(ids(None, **each)) == 5, each
    assert ids("pending", sort="label") == [waiting[1], waiting[0], waiting[2]]
    assert ids("pending", q="brav") == waiting[:1]
    assert set(ids("pending", permission="charges:create", limit=1)) == set(waiting)
    assert registry.ask(token_search.by_status, registry.northwind.id) == {
        "active": 1,
        "pending": 3,
        "expired": 1,
        "deactivated": 0,
    }


def test_those_who_can_approve_are_asked_once(registry: SmallRegistry, ada: Actor) -> None:
    def ask() -> int:
        return token_approvals.ask(registry.database, lambda: registry.now)

    assert ask() == 0
    mona = registry.user(registry.northwind, "mona@northwind.example", "Mona", "manager")
    registry.colleague("customer-service", "Carl")
    token, _ = registry.token(ada, label="First")
    assert ask() == 1
    assert mails(registry) == [(token_approvals.ASKING_MAIL, mona.email)]
    subject = f"approvals:{mona.id}"
    letter = registry.ask(token_approvals.request, subject)
    assert letter == token_approvals.Request(token.id, "First", 1, "Mona", "Northwind")
    # More of them are told of later, in one mail.
    registry.token(ada)
    registry.token(registry.signed_in(mona))
    assert ask() == 0
    registry.now += token_approvals.ASKED_AGAIN_MS
    assert ask() == 2
    assert mails(registry) == [
        (token_approvals.ASKING_MAIL, registry.ada.email),
        (token_approvals.ASKING_MAIL, mona.email),
    ]
    assert ask() == 0
    letter = registry.ask(token_approvals.request, subject)
    assert letter is not None
    assert letter.count == 2
    # Nothing is left to ask for.
    for each in registry.every(token_search.list_, ada, status="pending", owner=ada.user):
        approve(registry, registry.signed_in(mona), each)
    assert registry.ask(token_approvals.request, subject) is None


def test_the_owner_is_told(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    of_account, _ = registry.token(ada, owner=registry.service_account(ada).id)
    mona = registry.colleague("manager", "Mona")
    for each in (token, of_account):
        approve(registry, mona, each)
    assert mails(registry) == [(token_approvals.APPROVED_MAIL, registry.ada.email)] * 2
    subject = f"{token.id}:approved:{ada.user}"
    letter = registry.ask(token_approvals.approved, subject)
    assert letter == token_approvals.Approved(
        token.id, "Nightly settlement", "Mona", "Ada Lovelace", "Northwind"
    )
    registry.do(access_tokens.deactivate, ada, token.id)
    assert registry.ask(token_approvals.approved, subject) is None
