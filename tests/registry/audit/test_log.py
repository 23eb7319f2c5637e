"""The audit log: one event for each change, without secrets, readable with the permission."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from gatepass.core.errors import Forbidden, InvalidInput
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log, search
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.authentication import sessions
from gatepass.registry.directory import verifier_keys
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.storage.tables import roles
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.lists import search as token_search
from tests.support.database.small_registry import ADDRESS, HOUR, NOW, SmallRegistry


def test_each_change_is_recorded_with_actor_subject_time_and_address(
    registry: SmallRegistry, ada: Actor
) -> None:
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
        token_label=None,
        address=ADDRESS,
        action="access_token.created",
        subject=Subject("access_token", token.id, "Nightly settlement"),
        before=None,
        after={
            "label": "Nightly settlement",
            "permissions": ["charges:create"],
            "networks": ["10.0.0.1/32"],
            "domains": [],
            "expires_at": NOW + HOUR,
            "metadata": {},
            "external_id": None,
            "unused_days": None,
            "kind": "api",
        },
    )
    assert text[21:53] not in repr(registry.events())
    assert event.id.startswith("evt_")


def test_no_name_reorders_a_sentence(registry: SmallRegistry, ada: Actor) -> None:
    """Older releases accepted such labels."""
    token, _ = registry.token(ada)
    [event] = registry.events(subject=token.id)

    def told(name: str) -> str:
        return sentence(replace(event, subject=replace(event.subject, name=name)))

    assert told("\u202enigol") == "Ada Lovelace created the access token \ufffdnigol"
    assert told("לילה\u2069\u202e") == (
        "Ada Lovelace created the access token \u2068לילה\ufffd\ufffd\u2069"
    )
    assert told("\u3164") == "Ada Lovelace created the access token (no label)"
    renamed = replace(
        event, action="access_token.modified", before={"label": "a"}, after={"label": "\u202eb"}
    )
    assert sentence(renamed) == "Ada Lovelace renamed the access token a to \ufffdb"
    by_token = replace(event, actor_kind="token", actor_name="Ada\u202e", token_label="\u202ex")
    assert sentence(by_token).startswith("Ada\ufffd, with the access token \ufffdx, created")


def test_the_log_reads_as_sentences(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, permissions=["charges:create", "access-tokens:deactivate"])
    registry.modify(ada, token, label="Hourly settlement", expires_at=NOW + HOUR)
    other, _ = registry.token(ada, label="Old {one}")
    with registry.write() as change:
        access_tokens.deactivate(change, registry.with_token(token), other.id)
        key, _ = verifier_keys.create(change, Actor.command_line(), label="nginx")
        verifier_keys.deactivate(change, Actor.command_line(), key.id)
        allowlist.replace(change, ada, registry.northwind.id, [Entry("198.51.100.0/24", "Office")])
        allowlist.replace(change, Actor.command_line(), registry.northwind.id, [])
        sessions.deactivate(change, ada, str(ada.credential))
    assert [sentence(event) for event in registry.events()] == [
        "The command line created the company Northwind",
        "The command line created the company Contoso",
        "The command line created the user Ada Lovelace as Admin",
        "The command line created the user Carl Gauss as Admin",
        "Ada Lovelace signed in",
        "Ada Lovelace created the access token Nightly settlement",
        "Ada Lovelace changed the label and expiry of the access token Hourly settlement",
        "Ada Lovelace created the access token Old {one}",
        "Ada Lovelace, with the access token Hourly settlement, deactivated the access token "
        "Old {one}",
        "The command line created the verifier key nginx",
        "The command line deactivated the verifier key nginx",
        "Ada Lovelace restricted the account to 1 network",
        "The command line removed the allowlist",
        "Ada Lovelace deactivated a sign-in of Ada Lovelace",
    ]


@pytest.mark.parametrize(
    ("action", "before", "after", "said"),
    [
        (
            "access_token.modified",
            {"label": "A"},
            {"label": "B"},
            "renamed the access token A to B",
        ),
        (
            "access_token.modified",
            {"networks": [], "domains": [], "label": "A"},
            {"networks": ["10.0.0.1/32"], "domains": ["a.example"], "label": "B"},
            "changed the IP addresses, domains and label of the access token Grace Hopper",
        ),
        (
            "user.role_changed",
            {"role": "reporting", "role_name": "Reporting"},
            {"role": "manager", "role_name": "Manager"},
            "changed the role of Grace Hopper from Reporting to Manager",
        ),
        ("user.deactivated", None, None, "deactivated the user Grace Hopper"),
        (
            "user.deactivated",
            None,
            {"access_tokens": "deactivate"},
            "deactivated the user Grace Hopper and their access tokens",
        ),
        (
            "user.deactivated",
            None,
            {"access_tokens": "keep"},
            "deactivated the user Grace Hopper; their access tokens were kept, but are refused",
        ),
        ("user.renamed", {"name": "G"}, {"name": "H"}, "renamed the user G to H"),
        (
            "user.password_changed",
            None,
            {"authentications_ended": 4},
            "changed Grace Hopper's password, which ended 4 sign-ins",
        ),
        ("user.second_factor_enabled", None, None, "turned on Grace Hopper's second factor"),
        ("user.second_factor_disabled", None, None, "turned off Grace Hopper's second factor"),
        ("user.recovery_code_used", None, None, "used one of Grace Hopper's recovery codes"),
        (
            "user.recovery_codes_replaced",
            None,
            None,
            "replaced Grace Hopper's recovery codes; the old ones no longer work",
        ),
        (
            "invitation.created",
            None,
            {"role": "manager", "role_name": "Manager"},
            "invited Grace Hopper as Manager",
        ),
        (
            "invitation.resent",
            None,
            None,
            "resent the invitation to Grace Hopper; its old link no longer works",
        ),
        ("invitation.deactivated", None, None, "deactivated the invitation to Grace Hopper"),
        (
            "invitation.link_taken",
            None,
            None,
            "copied the link of the invitation to Grace Hopper; its old link no longer works",
        ),
        (
            "user.password_reset_link_taken",
            None,
            None,
            "created a link to reset the password of Grace Hopper",
        ),
        ("invitation.accepted", None, None, "accepted the invitation to Grace Hopper"),
        ("role.created", None, {"permissions": []}, "created the role Grace Hopper"),
        (
            "role.modified",
            {"permissions": ["a:b", "a:c"]},
            {"permissions": ["a:b", "a:d", "a:e"]},
            "changed the permissions of the role Grace Hopper (2 added, 1 removed)",
        ),
        (
            "role.modified",
            {"name": "A", "permissions": []},
            {"name": "B", "permissions": ["a:b"]},
            "renamed the role A to B and changed its permissions (1 added)",
        ),
        ("role.deleted", None, None, "deleted the role Grace Hopper"),
        (
            "allowlist.changed",
            {"entries": [{"network": "10.0.0.0/8", "note": ""}]},
            {"entries": [{"network": f"192.0.2.{n}/32", "note": ""} for n in range(3)]},
            "changed the allowlist: 3 added, 1 removed, 3 networks in all",
        ),
        (
            "allowlist.trial_started",
            {"entries": []},
            {"entries": [{"network": f"192.0.2.{n}/32", "note": ""} for n in range(3)]},
            "started a trial of an allowlist with 3 networks",
        ),
        (
            "company.modified",
            {"second_factor_required": False},
            {"second_factor_required": True},
            "made a second factor mandatory for everyone",
        ),
        ("webhook.created", None, {"host": "h"}, "created the webhook Grace Hopper"),
        (
            "webhook.modified",
            {"paused": False},
            {"paused": True},
            "paused the webhook Grace Hopper",
        ),
        (
            "webhook.modified",
            {"host": "a", "events": []},
            {"host": "b", "events": []},
            "changed the address and events of the webhook Grace Hopper",
        ),
        (
            "webhook.secret_rotated",
            None,
            None,
            "rotated the secret of the webhook Grace Hopper",
        ),
        ("invitation.sent_again", None, None, "sent again the invitation Grace Hopper"),
    ],
)
def test_changed_fields_are_described(
    registry: SmallRegistry,
    action: str,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
    said: str,
) -> None:
    event = replace(
        registry.events()[0],
        action=action,
        actor_name="Ada Lovelace",
        actor_id="usr_ada",
        subject=Subject("thing", "usr_grace", "Grace Hopper"),
        before=before,
        after=after,
    )
    assert sentence(event) == f"Ada Lovelace {said}"


@pytest.mark.parametrize(
    ("action", "after", "said"),
    [
        ("user.renamed", {"name": "Grace Hopper"}, "changed their name from G to Grace Hopper"),
        ("user.password_changed", None, "changed their password"),
        ("user.second_factor_enabled", None, "turned on their second factor"),
        ("user.recovery_code_used", None, "used one of their recovery codes"),
    ],
)
def test_sentences_about_the_actors_own_account(
    registry: SmallRegistry, action: str, after: dict[str, object] | None, said: str
) -> None:
    grace = Subject("user", registry.ada.id, "Grace Hopper")
    event = replace(registry.events()[0], action=action, subject=grace, after=after)
    event = replace(
        event, actor_id=registry.ada.id, actor_name="Grace Hopper", before={"name": "G"}
    )
    assert sentence(event) == f"Grace Hopper {said}"


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("authentication.refused", "A sign-in as Grace Hopper failed"),
        ("catalogue.changed", "The catalogue changed the roles of Grace Hopper"),
        (
            "invitation.delivered",
            "The mail server accepted the mail with the invitation to Grace Hopper",
        ),
        (
            "user.password_reset_requested",
            "A link to reset the password of Grace Hopper was requested",
        ),
        (
            "user.password_reset",
            "The password of Grace Hopper was reset through a link, which ended 1 sign-in",
        ),
        (
            "user.email_changed",
            "The e-mail address of Grace Hopper changed from a@x.example to b@x.example, "
            "confirmed by its link",
        ),
    ],
)
def test_sentences_without_an_actor(registry: SmallRegistry, action: str, said: str) -> None:
    event = replace(
        registry.events()[0],
        action=action,
        actor_kind="user",
        subject=Subject("user", "usr_grace", "Grace Hopper"),
        before={"email": "a@x.example"},
        after={"authentications_ended": 1, "email": "b@x.example"},
    )
    assert sentence(event) == said


def test_every_recorded_action_has_a_kind() -> None:
    """An action without a kind would be missing from filtered logs."""
    source = "".join(path.read_text() for path in Path(log.__file__).parent.glob("*.py"))
    nouns = "access_token|allowlist|authentication|catalogue|company|invitation|role|user"
    recorded = set(re.findall(rf'"((?:{nouns})\.[a-z_]+)"', source))
    known = {action for kind in KINDS.values() for action in kind.actions}
    assert "authentication.refused" in recorded
    assert recorded - known == set()


def test_a_role_is_named_as_at_that_time(registry: SmallRegistry) -> None:
    with registry.write() as change:
        role = {"id": "rol_1", "company_id": registry.northwind.id, "name": "Desk"}
        change.session.execute(
            insert(roles), role | {"name_folded": "desk", "permissions": [], "created_at": NOW}
        )
        ada = Subject("user", registry.ada.id, "Ada Lovelace")
        log.record(
            change,
            Actor.command_line(),
            "user.role_changed",
            ada,
            company=registry.northwind.id,
            before={"role": "admin"},
            after={"role": "rol_1"},
        )
        change.session.execute(update(roles).values(name="Counter"))
    assert sentence(registry.events(subject=registry.ada.id)[-1]) == (
        "The command line changed the role of Ada Lovelace from Admin to Desk"
    )


def test_a_company_reads_only_its_own_log(registry: SmallRegistry) -> None:
    ada, carl = registry.signed_in(registry.ada), registry.signed_in(registry.carl)
    registry.token(ada)
    with registry.write() as change:
        verifier_keys.create(change, Actor.command_line(), label="nginx")
        for actor, company in ((ada, registry.northwind), (carl, registry.contoso)):
            events = search.list_(change, actor).items
            assert {event.company for event in events} == {company.id}
    assert None in {event.company for event in registry.events()}


def test_reading_it_needs_the_permission(registry: SmallRegistry, ada: Actor) -> None:
    blind = registry.with_token(registry.token(ada, permissions=["charges:get"])[0])
    auditor = registry.with_token(registry.token(ada, permissions=["audit:get"])[0])
    with registry.read() as reading:
        with pytest.raises(Forbidden) as refusal:
            search.list_(reading, blind)
        assert refusal.value.permission == "audit:get"
        assert search.list_(reading, auditor).items


def test_filters(registry: SmallRegistry, ada: Actor) -> None:
    bob = registry.colleague("manager")
    registry.now += 10
    token, _ = registry.token(bob, permissions=["access-tokens:deactivate"])
    registry.now += 10
    registry.do(access_tokens.deactivate, registry.with_token(token), token.id)

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
    # A person's events are also those that happened to them, and so it is with a token.
    assert actions(people=[str(bob.user)])[0] == "user.created"
    assert len(actions(people=[str(bob.user)])) == 4
    assert actions(people=[str(bob.user), str(ada.user)], kind="users") == ["user.created"] * 2
    assert actions(tokens=[token.id]) == ["access_token.created", "access_token.deactivated"]
    assert actions(tokens=[str(bob.credential)]) == [
        "authentication.created",
        "access_token.created",
    ]
    assert actions(tokens=[str(bob.credential), token.id], kind="access-tokens", user=bob.user) == [
        "access_token.created",
        "access_token.deactivated",
    ]
    assert actions(kind="authentications") == ["authentication.created"] * 2
    assert actions(kind="roles") == actions(people=[]) == actions(tokens=[]) == []
    assert actions(action="access_token.created", kind="authentications") == []
    with pytest.raises(InvalidInput):
        actions(kind="nonsense")
    assert actions(action="\0", subject="\ud800") == []
    assert actions(people=["\0"]) == actions(tokens=["\ud800"]) == []
    with registry.read() as reading:
        auditor = registry.signed_in(registry.ada)
        for filters in ({}, {"tokens": [token.id]}, {"people": [str(bob.user)]}, {"kind": "users"}):
            events = search.list_(reading, auditor, **filters).items  # type: ignore[arg-type]  # a TypedDict
            assert search.count(reading, auditor, **filters) == len(events)  # type: ignore[arg-type]  # the same


def test_pages_are_complete_even_within_a_millisecond(registry: SmallRegistry, ada: Actor) -> None:
    tokens = [registry.token(ada, label=f"T{n}")[0].id for n in range(7)]
    found = registry.every(search.list_, ada, action="access_token.created", limit=3)
    seen = [event.subject.id for event in found]
    with registry.read() as reading:
        foreign = token_search.list_(reading, ada, limit=1).next
        with pytest.raises(InvalidInput):
            search.list_(reading, ada, cursor=foreign)
        with pytest.raises(InvalidInput):
            search.list_(reading, ada, limit=0)
    assert seen == tokens[::-1]
