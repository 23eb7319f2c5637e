"""E-mail changes: confirmed by a link, reported to the old address, closed to attackers."""

from typing import Any

import pytest
from sqlalchemy import select, update

from gatepass.core.errors import (
    BrokenLink,
    Conflict,
    Forbidden,
    GatepassError,
    InvalidInput,
    SignInFailed,
    TooManyAttempts,
)
from gatepass.registry.actor import Actor
from gatepass.registry.directory import roles, user_roles, users
from gatepass.registry.directory.users import User
from gatepass.registry.membership import (
    account,
    email_change_links,
    email_changes,
    invitations,
    offboarding,
    operators,
    password_resets,
    pending_email_changes,
)
from gatepass.registry.membership.email_change_links import LetterWithLink
from gatepass.registry.membership.pending_email_changes import EmailChange
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.storage.tables import outgoing_mail
from gatepass.registry.storage.tables import password_resets as resets
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

NEW = "new@northwind.example"
DAY = 24 * HOUR


@pytest.fixture
def bob(registry: SmallRegistry) -> User:
    return registry.user(registry.northwind, "bob@northwind.example", "Bob", "manager")


def request(registry: SmallRegistry, actor: Actor, user: str, email: str = NEW) -> EmailChange:
    return registry.do(email_changes.request, actor, user, email=email)


def request_own(
    registry: SmallRegistry, actor: Actor, email: str = NEW, password: str = PASSWORD
) -> EmailChange:
    return email_changes.request_own(
        registry.reauthentication, actor, email=email, password=password
    ).made


def letter(registry: SmallRegistry, made: EmailChange) -> LetterWithLink | None:
    """The content of the mail to the new address, when it is sent."""
    return registry.auxiliary(email_change_links.make_link, made.id)


def link(registry: SmallRegistry, made: EmailChange) -> str:
    written = letter(registry, made)
    assert written is not None
    assert not written.address_taken
    return written.token


def use(registry: SmallRegistry, token: str, address: str | None = ADDRESS) -> User:
    return registry.do(email_change_links.use, token, address)


def broken(registry: SmallRegistry, token: str) -> BrokenLink:
    with registry.read() as reading, pytest.raises(BrokenLink) as looked:
        email_change_links.look(reading, token, ADDRESS)
    with nothing_changes(registry), pytest.raises(BrokenLink):
        use(registry, token)
    assert looked.value.reason == "email_change_broken"
    assert looked.value.message == "This e-mail address link is broken"
    return looked.value


def mailed(registry: SmallRegistry) -> list[tuple[str, str]]:
    """The enqueued mails: kind and recipient."""
    with registry.read() as reading:
        table = outgoing_mail.c
        found = select(table.kind, table.recipient).where(table.state == "waiting")
        return sorted((row.kind, row.recipient) for row in reading.session.execute(found))


def waiting(registry: SmallRegistry, user: str) -> EmailChange | None:
    return registry.ask(pending_email_changes.pending, user)


def signs_in(registry: SmallRegistry, email: str) -> bool:
    try:
        registry.sign_in(email=email)
    except SignInFailed:
        return False
    return True


def refused(do: Any) -> str:
    with pytest.raises(GatepassError) as refusal:
        do()
    return refusal.value.reason


def test_ones_own_change_requires_the_password_and_the_link(
    registry: SmallRegistry, ada: Actor
) -> None:
    made = request_own(registry, ada)
    assert (made.email, made.requested_by, made.expires_at) == (NEW, ada.person, registry.now + DAY)
    assert waiting(registry, registry.ada.id) == made
    assert mailed(registry) == [
        ("email_change", NEW),
        ("email_change_requested", "ada@northwind.example"),
    ]
    assert signs_in(registry, "ada@northwind.example")
    assert not signs_in(registry, NEW), "it doesn't count yet"
    token = link(registry, made)
    for _ in range(2):
        offer = registry.ask(email_change_links.look, token, ADDRESS)
        assert (offer.letter.email, offer.letter.requester_name) == (NEW, None)
    assert use(registry, token).email == NEW
    assert signs_in(registry, NEW.upper())
    assert not signs_in(registry, "ada@northwind.example")
    assert waiting(registry, registry.ada.id) is None
    assert ("email_changed", "ada@northwind.example") in mailed(registry)
    broken(registry, token)
    requested, changed = registry.events(subject=registry.ada.id)[1:]
    assert (requested.action, changed.action) == (
        "user.email_change_requested",
        "user.email_changed",
    )
    for event in (requested, changed):
        assert event.before == {"email": "ada@northwind.example"}
        assert event.after == {"email": NEW}
    assert not any(token[21:] in repr(event) for event in registry.events())
    # Authentications stay active.
    registry.do(account.rename, ada, "Ada King")


def test_a_wrong_password_changes_nothing_and_counts(registry: SmallRegistry, ada: Actor) -> None:
    for _ in range(10):
        with (
            nothing_changes(registry, but="sign_in_failures"),
            pytest.raises(InvalidInput) as wrong,
        ):
            request_own(registry, ada, password="not the password at all")
        assert wrong.value.errors[0][0] == "current_password"
    with pytest.raises(TooManyAttempts):
        request_own(registry, ada, password="not the password at all")
    with pytest.raises(TooManyAttempts):
        request_own(registry, ada)


@pytest.mark.parametrize(
    "text", ["", "ada", "a b@c.example", "a\0@b.example", "a@b@c", "\ud800@x.y"]
)
def test_invalid_addresses_are_refused(
    registry: SmallRegistry, ada: Actor, bob: User, text: str
) -> None:
    for do in (
        lambda: request_own(registry, ada, text),
        lambda: request(registry, ada, bob.id, text),
    ):
        with nothing_changes(registry), pytest.raises(InvalidInput) as wrong:
            do()
        assert [field for field, _ in wrong.value.errors] == ["email"]


def test_the_present_address_is_refused_but_not_another_spelling(
    registry: SmallRegistry, ada: Actor
) -> None:
    with nothing_changes(registry), pytest.raises(InvalidInput):
        request_own(registry, ada, "ada@northwind.example")
    made = request_own(registry, ada, "Ada@Northwind.example")
    assert use(registry, link(registry, made)).email == "Ada@Northwind.example"


def test_a_colleagues_change_requires_all_permissions_of_their_role(
    registry: SmallRegistry, ada: Actor, bob: User
) -> None:
    manager, desk = registry.signed_in(bob), registry.colleague("customer-service")
    assert refused(lambda: request(registry, manager, registry.ada.id)) == "permission_missing"
    assert refused(lambda: request(registry, desk, bob.id)) == "permission_missing"
    assert refused(lambda: request(registry, ada, registry.ada.id)) == "own_email"
    assert refused(lambda: request(registry, ada, registry.carl.id)) == "not_found"
    token, _ = registry.token(ada)
    by_token = registry.with_token(token)
    assert refused(lambda: request(registry, by_token, bob.id)) == "signed_in_user_required"
    made = request(registry, ada, bob.id)
    assert made.requested_by == ada.person
    assert mailed(registry) == [
        ("email_change", NEW),
        ("email_change_requested", "bob@northwind.example"),
    ]
    written = letter(registry, made)
    assert written is not None
    assert written.letter.requester_name == "Ada Lovelace"
    assert use(registry, written.token).email == NEW
    (event,) = registry.events(subject=bob.id, action="user.email_changed")
    assert event.actor_id == bob.id


def test_a_stale_if_match_is_refused(registry: SmallRegistry, ada: Actor, bob: User) -> None:
    seen = users.etag(bob)
    registry.do(user_roles.change_role, ada, bob.id, role="reporting")
    with registry.write() as change, pytest.raises(Conflict) as conflict:
        email_changes.request(change, ada, bob.id, email=NEW, if_match=[seen])
    assert conflict.value.reason == "changed_meanwhile"


def test_a_link_is_valid_for_exactly_a_day(registry: SmallRegistry, ada: Actor) -> None:
    token = link(registry, request_own(registry, ada))
    registry.now += DAY - 1
    registry.ask(email_change_links.look, token, ADDRESS)
    registry.now += 1
    broken(registry, token)
    assert waiting(registry, registry.ada.id) is None


def test_a_new_request_replaces_the_former(registry: SmallRegistry, ada: Actor) -> None:
    first = link(registry, request_own(registry, ada))
    second = request_own(registry, ada, "other@northwind.example")
    broken(registry, first)
    assert waiting(registry, registry.ada.id) == second
    kinds = [kind for kind, _ in mailed(registry)]
    # Both are reported to the present address.
    assert kinds == ["email_change", "email_change_requested", "email_change_requested"]


def test_both_the_user_and_an_administrator_can_cancel(
    registry: SmallRegistry, ada: Actor, bob: User
) -> None:
    acting = registry.signed_in(bob)
    token = link(registry, request(registry, ada, bob.id))
    registry.do(email_changes.cancel_own, acting)
    broken(registry, token)
    token = link(registry, request(registry, ada, bob.id))
    registry.do(email_changes.cancel, ada, bob.id)
    broken(registry, token)
    cancelled = registry.events(subject=bob.id, action="user.email_change_cancelled")
    assert [event.actor_name for event in cancelled] == ["Bob", "Ada Lovelace"]
    with nothing_changes(registry, but="revision revisions"), registry.write() as change:
        email_changes.cancel_own(change, acting)


@pytest.mark.parametrize("how", ["reset", "change"])
def test_a_new_password_cancels_a_pending_change(
    registry: SmallRegistry, ada: Actor, bob: User, how: str
) -> None:
    """The mail to the present address advises it to users who didn't want the change."""
    acting = registry.signed_in(bob)
    token = link(registry, request(registry, ada, bob.id))
    if how == "reset":
        assert registry.auxiliary(password_resets.request, bob.email, ADDRESS)
        with registry.database.auxiliary_write(registry.now) as write:
            reset = write.session.scalars(select(resets.c.id)).one()
            sent = password_resets.make_link(write, reset)
        assert sent is not None
        password_resets.complete(
            registry.database,
            token=sent.token,
            password="another harbour lantern",
            address=ADDRESS,
            now=lambda: registry.now,
            hasher=HASHER,
        )
    else:
        account.change_password(
            registry.reauthentication, acting, current=PASSWORD, new="another harbour lantern"
        )
    broken(registry, token)


def test_reset_links_sent_to_the_former_address_are_deactivated(
    registry: SmallRegistry, ada: Actor
) -> None:
    assert registry.auxiliary(password_resets.request, "ada@northwind.example", ADDRESS)
    with registry.database.auxiliary_write(registry.now) as write:
        reset = write.session.scalars(select(resets.c.id)).one()
        sent = password_resets.make_link(write, reset)
    assert sent is not None
    use(registry, link(registry, request_own(registry, ada)))
    with registry.read() as reading, pytest.raises(BrokenLink):
        password_resets.look(reading, sent.token, ADDRESS)
    with registry.database.auxiliary_write(registry.now) as write:
        assert not password_resets.request(write, "ada@northwind.example", ADDRESS)
        assert password_resets.request(write, NEW, ADDRESS)


def test_an_address_taken_in_the_company_is_refused(
    registry: SmallRegistry, ada: Actor, bob: User
) -> None:
    registry.do(
        invitations.create, ada, email="asked@northwind.example", role="reporting", lifetime_ms=HOUR
    )
    for email, reason in (
        ("ADA@northwind.example", "email_taken"),
        ("asked@northwind.example", "invitation_pending"),
    ):
        assert refused(lambda email=email: request(registry, ada, bob.id, email)) == reason
    assert refused(lambda: request_own(registry, ada, bob.email)) == "email_taken"
    # A deactivated colleague's address is free.
    registry.do(offboarding.deactivate, ada, bob.id)
    assert use(registry, link(registry, request_own(registry, ada, bob.email))).email == bob.email


def test_an_address_taken_meanwhile_breaks_the_link(registry: SmallRegistry, ada: Actor) -> None:
    token = link(registry, request_own(registry, ada))
    registry.user(registry.northwind, NEW, "Somebody Quicker")
    assert not broken(registry, token).address_taken, "any user can see their colleagues"


def test_only_the_mail_discloses_another_companys_address(
    registry: SmallRegistry, ada: Actor
) -> None:
    """The requester sees no difference, and can't learn who uses another company."""
    made = request_own(registry, ada, "carl@contoso.example")
    assert waiting(registry, registry.ada.id) == made
    written = letter(registry, made)
    assert written is not None
    assert written.address_taken
    assert broken(registry, written.token).address_taken
    # Checked each time: the link is valid once nobody has the address.
    with registry.write() as change:
        change.session.execute(
            update(users_table)
            .where(users_table.c.id == registry.carl.id)
            .values(deactivated_at=registry.now)
        )
    assert use(registry, written.token).email == "carl@contoso.example"


def test_of_fifty_concurrent_changes_to_one_address_one_succeeds(
    registry: SmallRegistry, ada: Actor
) -> None:
    people = [
        registry.user(registry.northwind, f"p{n}@northwind.example", f"P{n}", "reporting")
        for n in range(10)
    ]
    tokens = [link(registry, request(registry, ada, each.id)) for each in people]
    outcomes = concurrently(lambda token: use(registry, token).email, tokens * 5)
    assert sorted(outcomes) == ["email_change_broken"] * 49 + [NEW]
    holder = registry.ask(users.by_email, NEW)
    assert holder is not None
    assert holder.id in {each.id for each in people}


def end(registry: SmallRegistry, user: User) -> None:
    registry.do(offboarding.deactivate, Actor.command_line(), user.id)


def demote(registry: SmallRegistry, user: User) -> None:
    registry.do(user_roles.change_role, Actor.command_line(), user.id, role="customer-service")


def promote_bob(registry: SmallRegistry, bob: User) -> None:
    registry.do(operators.name_operator, Actor.command_line(), bob.id, operator=True)


@pytest.mark.parametrize(
    "what", ["requester ended", "requester demoted", "user ended", "user became an operator"]
)
def test_the_conditions_of_the_request_must_still_hold(
    registry: SmallRegistry, bob: User, what: str
) -> None:
    """A dismissed user must not use a link that they prepared before."""
    grace = registry.user(registry.northwind, "grace@northwind.example", "Grace")
    token = link(registry, request(registry, registry.signed_in(grace), bob.id))
    if what == "requester ended":
        end(registry, grace)
    elif what == "requester demoted":
        demote(registry, grace)
    elif what == "user ended":
        end(registry, bob)
    else:
        promote_bob(registry, bob)
    broken(registry, token)


@pytest.mark.parametrize("what", ["requester ended", "user ended", "user became an operator"])
def test_changes_that_can_no_longer_be_confirmed_are_cancelled(
    registry: SmallRegistry, bob: User, what: str
) -> None:
    grace = registry.user(registry.northwind, "grace@northwind.example", "Grace")
    token = link(registry, request(registry, registry.signed_in(grace), bob.id))
    sent = mailed(registry)
    if what == "requester ended":
        end(registry, grace)
    elif what == "user ended":
        end(registry, bob)
    else:
        promote_bob(registry, bob)
    assert waiting(registry, bob.id) is None
    assert mailed(registry) == [mail for mail in sent if mail[0] != "email_change"]
    (event,) = registry.events(subject=bob.id, action="user.email_change_cancelled")
    assert (event.actor_kind, event.after) == ("command line", {"email": NEW})
    if what == "user became an operator":
        registry.do(operators.name_operator, Actor.command_line(), bob.id, operator=False)
        broken(registry, token)


def test_a_change_is_pending_only_while_its_requester_may_make_it(
    registry: SmallRegistry, bob: User
) -> None:
    """As its link: a requester who gets the role back makes both valid again."""
    grace = registry.user(registry.northwind, "grace@northwind.example", "Grace")
    made = request(registry, registry.signed_in(grace), bob.id)
    demote(registry, grace)
    assert waiting(registry, bob.id) is None
    registry.do(user_roles.change_role, Actor.command_line(), grace.id, role="manager")
    assert waiting(registry, bob.id) == made
    demote(registry, grace)
    # What nobody sees as pending is ended all the same.
    end(registry, grace)
    (event,) = registry.events(subject=bob.id, action="user.email_change_cancelled")
    assert event.after == {"email": NEW}


def test_an_operators_own_pending_change_stays(registry: SmallRegistry, ada: Actor) -> None:
    made = request_own(registry, ada)
    for operator in (True, False):
        registry.do(
            operators.name_operator, Actor.command_line(), registry.ada.id, operator=operator
        )
        assert waiting(registry, registry.ada.id) == made
    assert use(registry, link(registry, made)).email == NEW


def test_nobody_else_changes_an_operators_address(
    registry: SmallRegistry, ada: Actor, bob: User
) -> None:
    promote_bob(registry, bob)
    with nothing_changes(registry):
        assert refused(lambda: request(registry, ada, bob.id)) == "operator_required"
    registry.do(operators.name_operator, Actor.command_line(), registry.ada.id, operator=True)
    with nothing_changes(registry):
        assert refused(lambda: request(registry, ada, bob.id)) == "operator_required"


def test_a_link_followed_from_outside_the_allowlist_is_refused(
    registry: SmallRegistry, ada: Actor
) -> None:
    token = link(registry, request_own(registry, ada))
    registry.do(
        allowlist.replace,
        Actor.command_line(),
        registry.northwind.id,
        [Entry("203.0.113.0/24", "")],
    )
    for address in (ADDRESS, None):
        with pytest.raises(Forbidden) as refusal:
            use(registry, token, address)
        assert refusal.value.reason == "company_address_not_allowed"
    assert use(registry, token, "203.0.113.9").email == NEW


def test_requests_per_hour_are_limited(registry: SmallRegistry, ada: Actor, bob: User) -> None:
    for number in range(email_changes.MOST_AN_HOUR):
        request(registry, ada, bob.id, f"n{number}@northwind.example")
        registry.now += 1
    with nothing_changes(registry), pytest.raises(TooManyAttempts) as refusal:
        request(registry, ada, bob.id)
    assert 0 < refusal.value.retry_after <= 3600
    assert "failed" not in refusal.value.message
    registry.now += refusal.value.retry_after * 1000
    request(registry, ada, bob.id)


def test_requests_from_a_clock_far_ahead_are_not_counted(
    registry: SmallRegistry, bob: User
) -> None:
    """Safe, because each hour of either clock has its own limit."""
    corrected = registry.now
    for at in (corrected + 365 * DAY, corrected):
        registry.now = at
        ada = registry.signed_in(registry.ada)
        for number in range(email_changes.MOST_AN_HOUR):
            request(registry, ada, bob.id, f"n{number}@northwind.example")
        with pytest.raises(TooManyAttempts):
            request(registry, ada, bob.id)
    # Slightly ahead is clock skew between nodes.
    registry.now -= 5_000
    with pytest.raises(TooManyAttempts):
        request(registry, ada, bob.id)


def test_the_command_line_changes_an_address_at_once(
    registry: SmallRegistry, ada: Actor, bob: User
) -> None:
    token = link(registry, request(registry, ada, bob.id, "other@northwind.example"))

    def change_to(email: str, actor: Actor | None = None) -> User:
        return registry.do(
            email_change_links.change_at_once, actor or Actor.command_line(), bob.id, email
        )

    assert change_to(NEW).email == NEW
    broken(registry, token)
    assert signs_in(registry, NEW)
    assert ("email_changed", "bob@northwind.example") in mailed(registry)
    for taken in ("ada@northwind.example", "carl@contoso.example"):
        assert refused(lambda taken=taken: change_to(taken)) == "email_taken"
    assert refused(lambda: change_to("nothing")) == "invalid"
    assert refused(lambda: change_to("x@northwind.example", ada)) == "operator_required"
    end(registry, bob)
    assert refused(lambda: change_to("x@northwind.example")) == "user_deactivated"


def test_the_former_address_is_free_at_once(registry: SmallRegistry, ada: Actor) -> None:
    use(registry, link(registry, request_own(registry, ada)))
    again = registry.user(registry.contoso, "ada@northwind.example", "Another Ada")
    assert registry.ask(users.by_email, "ada@northwind.example") == again


def test_a_reduced_role_of_the_requester_breaks_the_link(
    registry: SmallRegistry, ada: Actor, bob: User
) -> None:
    everything = registry.do(
        roles.create, ada, catalogue=registry.catalogue, name="Owner", permissions=["*"]
    )
    olga = registry.user(registry.northwind, "olga@northwind.example", "Olga", everything.id)
    token = link(registry, request(registry, registry.signed_in(olga), bob.id))
    registry.do(
        roles.modify,
        ada,
        everything.id,
        catalogue=registry.catalogue,
        changes={"permissions": ["users:manage"]},
    )
    broken(registry, token)
