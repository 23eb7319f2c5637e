from dataclasses import replace
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from gatepass.core.errors import (
    BrokenLink,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    SignInFailed,
)
from gatepass.core.grants import Holder
from gatepass.core.networks import Networks, parse_network
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search_terms
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import publish, published_rules
from gatepass.registry.membership import (
    account,
    invitation_links,
    invitations,
    offboarding,
    password_resets,
)
from gatepass.registry.membership.invitations import Invitation
from gatepass.registry.storage.tables import users as users_table
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import (
    ADDRESS,
    HOUR,
    PASSWORD,
    SmallRegistry,
    nothing_changes,
)
from tests.support.weak_hashing import HASHER

LIFETIME = 72 * HOUR
NEW = "new@northwind.example"


def invite(
    registry: SmallRegistry, actor: Actor, email: str = NEW, role: str = "reporting"
) -> Invitation:
    return registry.do(invitations.create, actor, email=email, role=role, lifetime_ms=LIFETIME)


def link(registry: SmallRegistry, invitation: Invitation) -> str:
    """The link, created as its mail is sent."""
    letter = registry.auxiliary(invitation_links.make_link, invitation.id)
    assert letter is not None
    return letter.token


def look(registry: SmallRegistry, token: str, address: str | None = ADDRESS) -> Any:
    return registry.ask(invitation_links.look, token, address)


def accept(registry: SmallRegistry, token: str, **fields: Any) -> User:
    ordinary = {"name": "Nell Newcomer", "password": PASSWORD, "address": ADDRESS}
    return invitation_links.accept(
        registry.database,
        token=token,
        now=lambda: registry.now,
        hasher=HASHER,
        **(ordinary | fields),
    ).made


def resend(registry: SmallRegistry, actor: Actor, invitation: Invitation) -> Invitation:
    return registry.do(invitations.resend, actor, invitation.id, lifetime_ms=LIFETIME)


def take_link(
    registry: SmallRegistry, actor: Actor, invitation: Invitation, *, mail_server: bool = False
) -> str:
    _, token = registry.do(
        invitations.take_link, actor, invitation.id, lifetime_ms=LIFETIME, mail_server=mail_server
    )
    return token


def deactivate(registry: SmallRegistry, actor: Actor, invitation: Invitation) -> Invitation:
    return registry.do(invitations.deactivate, actor, invitation.id)


def status(registry: SmallRegistry, actor: Actor, invitation: Invitation) -> str:
    with registry.read() as reading:
        found = {one.id: one for one in invitations.list_(reading, actor).items}
    return found[invitation.id].status


def broken(registry: SmallRegistry, token: str) -> BrokenLink:
    with pytest.raises(BrokenLink, match=r"^This invitation link is broken$") as looked:
        look(registry, token)
    with nothing_changes(registry), pytest.raises(BrokenLink):
        accept(registry, token)
    assert looked.value.reason == "invitation_broken"
    return looked.value


def end_user(registry: SmallRegistry, user: User) -> None:
    with registry.write() as change:
        change.session.execute(
            update(users_table).where(users_table.c.id == user.id).values(deactivated_at=1)
        )
        publish(change, Holder(user.id, user.company, False, user.role))


def test_a_link_creates_one_user_once(registry: SmallRegistry, ada: Actor) -> None:
    made = invite(registry, ada)
    assert (made.status, made.expires_at, made.invited_by.id) == (
        "pending",
        registry.now + LIFETIME,
        registry.ada.id,
    )
    token = link(registry, made)
    offer = look(registry, token)
    assert (offer.company_name, offer.inviter_name) == ("Northwind", "Ada Lovelace")
    user = accept(registry, token)
    assert (user.email, user.name, user.role, user.company) == (
        NEW,
        "Nell Newcomer",
        "reporting",
        registry.northwind.id,
    )
    assert status(registry, ada, made) == "accepted"
    broken(registry, token)
    last = registry.events(registry.northwind)[-2:]
    assert [(event.action, event.actor_id) for event in last] == [
        ("user.created", user.id),
        ("invitation.accepted", user.id),
    ]
    assert not any(token[21:] in repr(event) for event in registry.events())


def test_a_link_expires_to_the_millisecond(registry: SmallRegistry, ada: Actor) -> None:
    made = invite(registry, ada)
    token = link(registry, made)
    registry.now += LIFETIME - 1
    look(registry, token)
    assert status(registry, registry.signed_in(registry.ada), made) == "pending"
    registry.now += 1
    assert status(registry, registry.signed_in(registry.ada), made) == "expired"
    assert broken(registry, token).contact == "Ada Lovelace"
    resend(registry, registry.signed_in(registry.ada), made)
    registry.now += LIFETIME - 1
    accept(registry, link(registry, made))


def test_a_tampered_link_discloses_nothing(registry: SmallRegistry, ada: Actor) -> None:
    token = link(registry, invite(registry, ada))
    other = link(registry, invite(registry, ada, "other@northwind.example"))
    from gatepass.core.credentials import _checksum

    body = token[:21] + other[21:53]
    for text in ("", "gpiv_", token[:-1], token + "x", body + _checksum(body.encode()), "ü" * 59):
        error = broken(registry, text)
        assert (error.contact, error.company) == (None, None)


def test_a_link_of_another_kind_is_refused(registry: SmallRegistry, ada: Actor) -> None:
    from gatepass.core.credentials import PASSWORD_RESET, make

    broken(registry, make(PASSWORD_RESET).text)


def test_resending_breaks_the_old_link_at_once(registry: SmallRegistry, ada: Actor) -> None:
    made = invite(registry, ada)
    old = link(registry, made)
    registry.now += HOUR
    again = resend(registry, ada, made)
    assert again.expires_at == registry.now + LIFETIME
    assert again.id == made.id
    broken(registry, old)
    new = link(registry, made)
    broken(registry, old)
    accept(registry, new)
    with pytest.raises(Conflict, match="accepted already"):
        resend(registry, ada, made)
    with pytest.raises(Conflict, match="accepted already"):
        deactivate(registry, ada, made)


def test_deactivation_is_final(registry: SmallRegistry, ada: Actor) -> None:
    made = invite(registry, ada)
    token = link(registry, made)
    assert deactivate(registry, ada, made).status == "deactivated"
    assert broken(registry, token).company == "Northwind"
    with nothing_changes(registry, but="revision revisions changed_records"):
        assert deactivate(registry, ada, made).status == "deactivated"
    with pytest.raises(Conflict, match="deactivated already"):
        resend(registry, ada, made)
    # The address is free again.
    invite(registry, ada)


def test_a_link_is_broken_once_its_inviter_is_deactivated(
    registry: SmallRegistry, ada: Actor
) -> None:
    bob = registry.user(registry.northwind, "bob@northwind.example", "Bob", "admin")
    made = invite(registry, registry.signed_in(bob))
    token = link(registry, made)
    look(registry, token)
    end_user(registry, bob)
    assert broken(registry, token).contact == "Ada Lovelace"
    # Resending makes the actor the inviter.
    assert resend(registry, ada, made).invited_by.id == registry.ada.id
    accept(registry, link(registry, made))


def test_a_link_is_broken_once_its_inviter_lacks_a_permission(
    registry: SmallRegistry, ada: Actor
) -> None:
    bob = registry.user(registry.northwind, "bob@northwind.example", "Bob", "manager")
    made = invite(registry, registry.signed_in(bob), role="customer-service")
    token = link(registry, made)
    look(registry, token)
    registry.do(publish, Holder(bob.id, bob.company, True, "reporting"))
    broken(registry, token)


def test_a_link_is_broken_without_its_role_or_company(registry: SmallRegistry, ada: Actor) -> None:
    token = link(registry, invite(registry, ada))
    rules = registry.ask(published_rules, registry.northwind.id)
    without = {role: held for role, held in rules.roles.items() if role != "reporting"}
    for changed in (
        msgspec.structs.replace(rules, roles=without),
        msgspec.structs.replace(rules, active=False),
    ):
        registry.do(publish, changed)
        broken(registry, token)
    registry.do(publish, rules)
    accept(registry, token)


def test_an_address_taken_meanwhile_breaks_the_link(registry: SmallRegistry, ada: Actor) -> None:
    token = link(registry, invite(registry, ada))
    registry.user(registry.contoso, NEW.upper())
    broken(registry, token)


def test_a_valid_link_from_outside_the_allowlist_says_so(
    registry: SmallRegistry, ada: Actor
) -> None:
    token = link(registry, invite(registry, ada))
    with registry.write() as change:
        rules = published_rules(change, registry.northwind.id)
        networks = Networks.of([parse_network("203.0.113.0/24")])
        publish(change, msgspec.structs.replace(rules, allowlist=networks))
    for address in (ADDRESS, None):
        with pytest.raises(Forbidden) as refusal:
            look(registry, token, address)
        assert refusal.value.reason == "company_address_not_allowed"
        with pytest.raises(Forbidden), nothing_changes(registry):
            accept(registry, token, address=address)
    broken(registry, token[:-1])
    accept(registry, token, address="203.0.113.9")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("name", "two\nlines"),
        ("password", "short"),
        ("password", "x" * 257),
        ("password", "passwordpassword"),
        ("password", f"my address is {NEW}"),
        ("password", "all of NORTHWIND knows this"),
    ],
)
def test_invalid_fields_leave_the_link_valid(
    registry: SmallRegistry, ada: Actor, field: str, value: str
) -> None:
    token = link(registry, invite(registry, ada))
    with nothing_changes(registry), pytest.raises(InvalidInput) as refusal:
        accept(registry, token, **{field: value})
    assert [name for name, _ in refusal.value.errors] == [field]
    accept(registry, token)


def test_a_broken_link_is_reported_before_invalid_fields(registry: SmallRegistry) -> None:
    with pytest.raises(BrokenLink):
        accept(registry, "gpiv_", name="", password="")


def test_of_concurrent_requests_one_accepts(registry: SmallRegistry, ada: Actor) -> None:
    token = link(registry, invite(registry, ada))
    outcomes = concurrently(lambda token: accept(registry, token).email, [token] * 12)
    assert sorted(outcomes) == ["invitation_broken"] * 11 + [NEW]


def test_required_permissions(registry: SmallRegistry, ada: Actor) -> None:
    manager = registry.colleague("manager")
    clerk = registry.colleague("customer-service", "Cleo")
    with pytest.raises(Forbidden) as refusal:
        invite(registry, manager, role="admin")
    assert refusal.value.permission is not None
    with pytest.raises(Forbidden):
        invite(registry, clerk)
    with pytest.raises(Forbidden):
        invite(registry, Actor.command_line())
    for email, role in (("nobody", "reporting"), (NEW, "emperor"), (NEW + "\n x", "reporting")):
        with pytest.raises(InvalidInput):
            invite(registry, ada, email, role)
    made = invite(registry, manager)
    with pytest.raises(Forbidden), registry.read() as reading:
        invitations.list_(reading, clerk)
    for act in (resend, deactivate):
        with pytest.raises(Forbidden):
            act(registry, clerk, made)


def test_no_access_token_can_read_or_change_them(registry: SmallRegistry, ada: Actor) -> None:
    made = invite(registry, ada)
    token, _ = registry.token(ada, permissions=["users:*"])
    program = registry.with_token(token)
    for act in (
        lambda: invite(registry, program, "x@example.com"),
        lambda: resend(registry, program, made),
        lambda: deactivate(registry, program, made),
    ):
        with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
            act()
        assert refusal.value.reason == "signed_in_user_required"
    with pytest.raises(Forbidden) as refusal:
        status(registry, program, made)
    assert refusal.value.permission == "users:manage"


def test_another_companys_invitations_are_not_found(registry: SmallRegistry, ada: Actor) -> None:
    made = invite(registry, ada)
    carl = registry.signed_in(registry.carl)
    for act in (resend, deactivate):
        with nothing_changes(registry), pytest.raises(NotFound):
            act(registry, carl, made)
    assert registry.ask(invitations.list_, carl).items == []
    # Another company's invitation makes no difference either.
    invite(registry, carl)


def test_a_deactivated_user_can_be_invited_again(registry: SmallRegistry, ada: Actor) -> None:
    """As a new user: nothing of the former account is restored."""
    first = accept(registry, link(registry, invite(registry, ada)))
    acting = registry.signed_in(first)
    for gone in range(2):
        with pytest.raises(Conflict) as conflict:
            invite(registry, ada)
        assert conflict.value.reason == "email_taken"
        registry.now += 1
        registry.do(offboarding.deactivate, ada, first.id)
        again = accept(
            registry, link(registry, invite(registry, ada)), password="another harbour lantern"
        )
        assert again.id != first.id
        assert (again.email, again.status) == (NEW, "active")
        with registry.read() as reading:
            assert users.by_email(reading, NEW) == again
            assert users.get(reading, first.id).status == "deactivated"
            found = search_terms.people_called(reading, ada, NEW)
        assert [one.id for one in found][-2:] == [first.id, again.id]
        assert len(found) == gone + 2
        first = again
    with pytest.raises(Forbidden) as refusal, registry.write() as change:
        account.rename(change, acting, "Nell again")
    assert refusal.value.reason == "account_deactivated"


def test_only_the_new_users_password_works(registry: SmallRegistry, ada: Actor) -> None:
    first = accept(registry, link(registry, invite(registry, ada)))
    registry.do(offboarding.deactivate, ada, first.id)
    again = accept(
        registry, link(registry, invite(registry, ada)), password="another harbour lantern"
    )

    def signed_in(password: str) -> str:
        signed = registry.sign_in(email=NEW, password=password)
        return signed.authentication.user.id or ""

    assert signed_in("another harbour lantern") == again.id
    with pytest.raises(SignInFailed):
        signed_in(PASSWORD)
    assert registry.auxiliary(password_resets.request, NEW, ADDRESS)
    assert len(registry.events(subject=again.id, action="user.password_reset_requested")) == 1
    registry.now += 1
    # Attempts on the deactivated account are still in the audit log.
    registry.do(offboarding.deactivate, ada, again.id)
    with pytest.raises(SignInFailed):
        signed_in("another harbour lantern")
    assert len(registry.events(subject=again.id, action="authentication.refused")) == 2


def test_another_companys_address_looks_like_any_other(registry: SmallRegistry, ada: Actor) -> None:
    """An inviter can't learn who uses another company."""
    theirs, nobodys = (
        invite(registry, ada, email) for email in ("carl@contoso.example", "nobody@contoso.example")
    )
    assert replace(theirs, id="", email="") == replace(nobodys, id="", email="")
    for one in (theirs, nobodys):
        assert resend(registry, ada, one).status == "pending"
        with pytest.raises(Conflict) as conflict:
            invite(registry, ada, one.email)
        assert conflict.value.reason == "invitation_pending"
    with registry.database.auxiliary_write(registry.now) as write:
        told = invitation_links.make_link(write, theirs.id)
        ordinary = invitation_links.make_link(write, nobodys.id)
        for one in (theirs, nobodys):
            invitations.mail_delivered(write, one.id, demo=False)
    assert told is not None
    assert ordinary is not None
    assert (told.address_taken, ordinary.address_taken) == (True, False)
    refusal = broken(registry, told.token)
    assert (refusal.address_taken, refusal.contact) == (True, "Ada Lovelace")
    listed = registry.ask(invitations.list_, ada).items
    assert {replace(one, id="", email="") for one in listed} == {
        replace(listed[0], id="", email="")
    }
    events = [
        [event.action for event in registry.events(subject=one.id)] for one in (theirs, nobodys)
    ]
    assert events[0] == events[1]
    assert not broken(registry, told.token[:-1]).address_taken


def test_a_handed_over_link_discloses_only_that_it_is_broken(
    registry: SmallRegistry, ada: Actor
) -> None:
    """The inviter has it, and must not learn about another company's user."""
    made = invite(registry, ada, "carl@contoso.example")
    _, token = registry.do(
        invitations.take_link, ada, made.id, lifetime_ms=LIFETIME, mail_server=False
    )
    refusal = broken(registry, token)
    assert (refusal.address_taken, refusal.contact) == (False, "Ada Lovelace")


def test_a_link_is_valid_once_the_other_account_is_deactivated(
    registry: SmallRegistry, ada: Actor
) -> None:
    """All conditions are checked when the link is followed."""
    token = link(registry, invite(registry, ada, "carl@contoso.example"))
    broken(registry, token)
    end_user(registry, registry.carl)
    user = accept(registry, token)
    assert (user.company, user.email) == (registry.northwind.id, "carl@contoso.example")


def test_of_two_companies_that_invite_an_address_one_gets_the_user(
    registry: SmallRegistry, ada: Actor
) -> None:
    carl = registry.signed_in(registry.carl)
    tokens = [link(registry, invite(registry, inviter)) for inviter in (ada, carl)] * 5
    outcomes = concurrently(lambda token: accept(registry, token).email, tokens)
    assert sorted(outcomes) == ["invitation_broken"] * 9 + [NEW]


def test_an_address_has_one_pending_invitation(registry: SmallRegistry, ada: Actor) -> None:
    with pytest.raises(Conflict) as conflict:
        invite(registry, ada, "ADA@northwind.example")
    assert conflict.value.reason == "email_taken"
    first = invite(registry, ada)
    with pytest.raises(Conflict) as conflict:
        invite(registry, ada, NEW.upper())
    assert conflict.value.reason == "invitation_pending"
    registry.now += LIFETIME
    ada = registry.signed_in(registry.ada)
    invite(registry, ada)
    with pytest.raises(Conflict) as conflict:
        resend(registry, ada, first)
    assert conflict.value.reason == "invitation_pending"


def test_pagination(registry: SmallRegistry, ada: Actor) -> None:
    made = []
    for number in range(5):
        registry.now += 1
        made.append(invite(registry, ada, f"new{number}@example.com").id)
    found = registry.every(invitations.list_, ada, limit=2)
    assert [one.id for one in found] == made[::-1]


def test_taking_a_link_breaks_the_old_one_and_changes_the_inviter(
    registry: SmallRegistry, ada: Actor
) -> None:
    made = invite(registry, ada)
    mailed = link(registry, made)
    registry.now += LIFETIME
    bea = registry.colleague("admin", "Bea")
    first = take_link(registry, bea, made)
    second = take_link(registry, bea, made)
    for dead in (mailed, first):
        broken(registry, dead)
    assert look(registry, second).inviter_name == "Bea"
    end_user(registry, registry.ada)
    registry.now += LIFETIME - 1
    accept(registry, second)
    taken = [one for one in registry.events() if one.action == "invitation.link_taken"]
    assert [one.actor_name for one in taken] == ["Bea"] * 2
    assert not any(second[21:53] in repr(one) for one in taken)


def test_a_refused_request_for_a_link_changes_nothing(registry: SmallRegistry, ada: Actor) -> None:
    made = invite(registry, ada)
    token = link(registry, made)
    with nothing_changes(registry), pytest.raises(Conflict) as refused:
        take_link(registry, ada, made, mail_server=True)
    assert refused.value.reason == "link_goes_by_mail"
    accept(registry, token)
    with nothing_changes(registry), pytest.raises(Conflict) as refused:
        take_link(registry, ada, made)
    assert refused.value.reason == "invitation_ended"


def test_pending_invitations_are_counted_among_the_newest(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pending() -> int:
        return registry.ask(invitations.pending_count, ada)

    made = []
    for number in range(4):
        registry.now += 1
        made.append(invite(registry, ada, f"new{number}@northwind.example"))
    assert pending() == 4
    deactivate(registry, ada, made[0])
    accept(registry, link(registry, made[1]))
    assert pending() == 2
    monkeypatch.setattr(invitations, "COUNT_LIMIT", 1)
    assert pending() == 1
    registry.now += LIFETIME
    assert pending() == 0
    with pytest.raises(Forbidden):
        registry.ask(invitations.pending_count, registry.colleague("reporting"))
