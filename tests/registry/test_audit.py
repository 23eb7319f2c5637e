"""The audit log: every change, once, without secrets, for those who may read it."""

from dataclasses import replace

import pytest

from gatepass.core.errors import Forbidden, InvalidInput
from gatepass.registry import access_tokens, allowlist, audit, authentications, verifier_keys
from gatepass.registry.actor import Actor
from gatepass.registry.allowlist import Entry
from gatepass.registry.audit import AuditEvent, sentence
from small_registry import ADDRESS, HOUR, NOW, SmallRegistry


def test_each_change_is_told_with_who_what_when_and_from_where(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    registry.now += 5
    token, text = registry.token(ada, networks=["10.0.0.1"], expires_at=NOW + HOUR)
    [event] = registry.events(subject=token.id)
    assert event == AuditEvent(
        id=event.id,
        company=registry.northwind.id,
        at=NOW + 5,
        actor_kind="user",
        actor_id=registry.ada.id,
        actor_name="Ada Lovelace",
        actor_credential=ada.credential,
        address=ADDRESS,
        action="access_token.created",
        subject=audit.Subject("access_token", token.id, "Nightly settlement"),
        before=None,
        after={
            "label": "Nightly settlement",
            "permissions": ["charges:create"],
            "networks": ["10.0.0.1/32"],
            "domains": [],
            "expires_at": NOW + HOUR,
            "kind": "api",
        },
    )
    assert text[21:53] not in repr(registry.events())
    assert event.id.startswith("evt_")


def test_the_log_reads_as_sentences(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    token, _ = registry.token(ada, permissions=["charges:create", "access-tokens:deactivate"])
    registry.modify(ada, token, label="Hourly settlement", expires_at=NOW + HOUR)
    other, _ = registry.token(ada, label="Old {one}")
    with registry.changing() as session:
        access_tokens.deactivate(session, registry.with_token(token), other.id)
        key, _ = verifier_keys.create(session, Actor.command_line(), label="nginx")
        verifier_keys.deactivate(session, Actor.command_line(), key.id)
        allowlist.replace(session, ada, registry.northwind.id, [Entry("198.51.100.0/24", "Office")])
        allowlist.replace(session, Actor.command_line(), registry.northwind.id, [])
        authentications.deactivate(session, ada, str(ada.credential))
    assert [sentence(event) for event in registry.events()] == [
        "the command line created the company Northwind",
        "the command line created the company Contoso",
        "the command line created the user Ada Lovelace",
        "the command line created the user Carl Gauss",
        "Ada Lovelace signed in",
        "Ada Lovelace created the access token Nightly settlement",
        "Ada Lovelace changed the label, expires at of the access token Hourly settlement",
        "Ada Lovelace created the access token Old {one}",
        f"Ada Lovelace, with {token.id}, deactivated the access token Old {{one}}",
        "the command line created the verifier key nginx",
        "the command line deactivated the verifier key nginx",
        "Ada Lovelace changed the allowlist of Northwind",
        "the command line lifted the allowlist of Northwind",
        "Ada Lovelace deactivated a sign-in of Ada Lovelace",
    ]


def test_a_company_reads_its_own_log_alone(registry: SmallRegistry) -> None:
    ada, carl = registry.signed_in(registry.ada), registry.signed_in(registry.carl)
    registry.token(ada)
    with registry.changing() as session:
        verifier_keys.create(session, Actor.command_line(), label="nginx")
        for actor, company in ((ada, registry.northwind), (carl, registry.contoso)):
            events = audit.list_(session, actor).items
            assert {event.company for event in events} == {company.id}
    assert None in {event.company for event in registry.events()}


def test_reading_it_needs_the_permission(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    blind = registry.with_token(registry.token(ada, permissions=["charges:get"])[0])
    auditor = registry.with_token(registry.token(ada, permissions=["audit:get"])[0])
    with registry.reading() as session:
        with pytest.raises(Forbidden) as refusal:
            audit.list_(session, blind)
        assert refusal.value.permission == "audit:get"
        assert audit.list_(session, auditor).items


def test_filters(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    bob = registry.colleague("manager")
    registry.now += 10
    token, _ = registry.token(bob, permissions=["access-tokens:deactivate"])
    registry.now += 10
    with registry.changing() as session:
        access_tokens.deactivate(session, registry.with_token(token), token.id)

    def actions(**filters: object) -> list[str]:
        return [event.action for event in registry.events(registry.northwind, **filters)]

    # What someone did through an access token, they did.
    assert actions(user=bob.user) == [
        "authentication.created",
        "access_token.created",
        "access_token.deactivated",
    ]
    assert actions(subject=token.id) == ["access_token.created", "access_token.deactivated"]
    assert actions(action="access_token.created", user=ada.user) == []
    assert actions(since=NOW + 10, until=NOW + 20) == ["access_token.created"]
    assert actions(since=NOW + 20) == ["access_token.deactivated"]
    assert actions(action="\0", subject="\ud800") == []


def test_pages_follow_each_other_also_within_a_millisecond(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    tokens = [registry.token(ada, label=f"T{n}")[0].id for n in range(7)]
    seen: list[str] = []
    cursor = None
    with registry.reading() as session:
        while True:
            page = audit.list_(session, ada, action="access_token.created", limit=3, cursor=cursor)
            seen += [event.subject.id for event in page.items]
            cursor = page.next
            if cursor is None:
                break
        foreign = access_tokens.list_(session, ada, limit=1).next
        with pytest.raises(InvalidInput):
            audit.list_(session, ada, cursor=foreign)
        with pytest.raises(InvalidInput):
            audit.list_(session, ada, limit=0)
    assert seen == tokens[::-1]


def test_an_unknown_action_still_reads(registry: SmallRegistry) -> None:
    event = replace(registry.events()[0], action="invitation.sent_again")
    assert sentence(event) == "the command line sent again the invitation Northwind"
