"""Other e-mail addresses: once the link there was used, the old address told, and no way in."""

import threading
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
from gatepass.registry.authentication import sign_in
from gatepass.registry.authentication.reauthentication import Reauthentication
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
from small_registry import ADDRESS, HASHER, HOUR, PASSWORD, SmallRegistry, nothing_changes

NEW = "new@northwind.example"
DAY = 24 * HOUR


@pytest.fixture
def ada(registry: SmallRegistry) -> Actor:
    return registry.signed_in(registry.ada)


@pytest.fixture
def bob(registry: SmallRegistry) -> User:
    return registry.user(registry.northwind, "bob@northwind.example", "Bob", "manager")


def request(registry: SmallRegistry, actor: Actor, user: str, email: str = NEW) -> EmailChange:
    with registry.write() as change:
        return email_changes.request(change, actor, user, email=email)


def reauthentication(registry: SmallRegistry) -> Reauthentication:
    return Reauthentication(
        registry.database, registry.encryption_key, lambda: registry.now, HASHER
    )


def request_own(
    registry: SmallRegistry, actor: Actor, email: str = NEW, password: str = PASSWORD
) -> EmailChange:
    return email_changes.request_own(
        reauthentication(registry), actor, email=email, password=password
    ).made


def letter(registry: SmallRegistry, made: EmailChange) -> LetterWithLink | None:
    """The mail to the new address, as it goes out."""
    with registry.database.auxiliary_write(registry.now) as write:
        return email_change_links.make_link(write, made.id)


def link(registry: SmallRegistry, made: EmailChange) -> str:
    written = letter(registry, made)
    assert written is not None
    assert not written.address_taken
    return written.token


def use(registry: SmallRegistry, token: str, address: str | None = ADDRESS) -> User:
    with registry.write() as change:
        return email_change_links.use(change, token, address)


def broken(registry: SmallRegistry, token: str) -> BrokenLink:
    with registry.read() as reading, pytest.raises(BrokenLink) as looked:
        email_change_links.look(reading, token, ADDRESS)
    with nothing_changes(registry), pytest.raises(BrokenLink):
        use(registry, token)
    assert looked.value.reason == "email_change_broken"
    assert looked.value.message == "This e-mail address link is broken"
    return looked.value


def mailed(registry: SmallRegistry) -> list[tuple[str, str]]:
    """What goes out: kind and recipient."""
    with registry.read() as reading:
        table = outgoing_mail.c
        found = select(table.kind, table.recipient).where(table.state == "waiting")
        return sorted((row.kind, row.recipient) for row in reading.session.execute(found))


def waiting(registry: SmallRegistry, user: str) -> EmailChange | None:
    with registry.read() as reading:
        return pending_email_changes.pending(reading, user)


def signs_in(registry: SmallRegistry, email: str) -> bool:
    try:
        sign_in.sign_in(
            registry.database,
            registry.encryption_key,
            email=email,
            password=PASSWORD,
            address=ADDRESS,
            user_agent=None,
            now=lambda: registry.now,
            lifetime_ms=HOUR,
            hasher=HASHER,
        )
    except SignInFailed:
        return False
    return True


def refused(do: Any) -> str:
    with pytest.raises(GatepassError) as refusal:
        do()
    return refusal.value.reason


def test_ones_own_takes_the_password_and_the_link(registry: SmallRegistry, ada: Actor) -> None:
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
        with registry.read() as reading:
            offer = email_change_links.look(reading, token, ADDRESS)
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
    # Whoever is signed in stays so.
    with registry.write() as change:
        account.rename(change, ada, "Ada King")


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
def test_what_is_no_address_is_told(
    registry: SmallRegistry, ada: Actor, bob: User, text: str
) -> None:
    for do in (
        lambda: request_own(registry, ada, text),
        lambda: request(registry, ada, bob.id, text),
    ):
        with nothing_changes(registry), pytest.raises(InvalidInput) as wrong:
            do()
        assert [field for field, _ in wrong.value.errors] == ["email"]


def test_the_present_one_is_no_change_but_another_spelling_is(
    registry: SmallRegistry, ada: Actor
) -> None:
    with nothing_changes(registry), pytest.raises(InvalidInput):
        request_own(registry, ada, "ada@northwind.example")
    made = request_own(registry, ada, "Ada@Northwind.example")
    assert use(registry, link(registry, made)).email == "Ada@Northwind.example"


def test_a_colleagues_takes_all_that_their_role_grants(
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


def test_only_from_the_version_that_was_seen(
    registry: SmallRegistry, ada: Actor, bob: User
) -> None:
    seen = users.etag(bob)
    with registry.write() as change:
        user_roles.change_role(change, ada, bob.id, role="reporting")
    with registry.write() as change, pytest.raises(Conflict) as conflict:
        email_changes.request(change, ada, bob.id, email=NEW, if_match=[seen])
    assert conflict.value.reason == "changed_meanwhile"


def test_a_link_is_good_for_a_day_to_the_millisecond(registry: SmallRegistry, ada: Actor) -> None:
    token = link(registry, request_own(registry, ada))
    registry.now += DAY - 1
    with registry.read() as reading:
        email_change_links.look(reading, token, ADDRESS)
    registry.now += 1
    broken(registry, token)
    assert waiting(registry, registry.ada.id) is None


def test_a_new_request_ends_the_former(registry: SmallRegistry, ada: Actor) -> None:
    first = link(registry, request_own(registry, ada))
    second = request_own(registry, ada, "other@northwind.example")
    broken(registry, first)
    assert waiting(registry, registry.ada.id) == second
    kinds = [kind for kind, _ in mailed(registry)]
    # Of either the present address is told, whatever became of it.
    assert kinds == ["email_change", "email_change_requested", "email_change_requested"]


def test_cancelled_by_either(registry: SmallRegistry, ada: Actor, bob: User) -> None:
    acting = registry.signed_in(bob)
    token = link(registry, request(registry, ada, bob.id))
    with registry.write() as change:
        email_changes.cancel_own(change, acting)
    broken(registry, token)
    token = link(registry, request(registry, ada, bob.id))
    with registry.write() as change:
        email_changes.cancel(change, ada, bob.id)
    broken(registry, token)
    cancelled = registry.events(subject=bob.id, action="user.email_change_cancelled")
    assert [event.actor_name for event in cancelled] == ["Bob", "Ada Lovelace"]
    with nothing_changes(registry, but="revision revisions"), registry.write() as change:
        email_changes.cancel_own(change, acting)


@pytest.mark.parametrize("how", ["reset", "change"])
def test_a_new_password_ends_a_change_that_waits(
    registry: SmallRegistry, ada: Actor, bob: User, how: str
) -> None:
    """It is what the mail to the present address advises to whoever didn't want the change."""
    acting = registry.signed_in(bob)
    token = link(registry, request(registry, ada, bob.id))
    if how == "reset":
        with registry.database.auxiliary_write(registry.now) as write:
            assert password_resets.request(write, bob.email, ADDRESS)
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
            reauthentication(registry), acting, current=PASSWORD, new="another harbour lantern"
        )
    broken(registry, token)


def test_resets_that_went_to_the_former_address_end(registry: SmallRegistry, ada: Actor) -> None:
    with registry.database.auxiliary_write(registry.now) as write:
        assert password_resets.request(write, "ada@northwind.example", ADDRESS)
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


def test_taken_by_somebody_of_the_company(registry: SmallRegistry, ada: Actor, bob: User) -> None:
    with registry.write() as change:
        invitations.create(
            change, ada, email="asked@northwind.example", role="reporting", lifetime_ms=HOUR
        )
    for email, reason in (
        ("ADA@northwind.example", "email_taken"),
        ("asked@northwind.example", "invitation_pending"),
    ):
        assert refused(lambda email=email: request(registry, ada, bob.id, email)) == reason
    assert refused(lambda: request_own(registry, ada, bob.email)) == "email_taken"
    # A deactivated colleague's is free.
    with registry.write() as change:
        offboarding.deactivate(change, ada, bob.id)
    assert use(registry, link(registry, request_own(registry, ada, bob.email))).email == bob.email


def test_taken_meanwhile(registry: SmallRegistry, ada: Actor) -> None:
    token = link(registry, request_own(registry, ada))
    registry.user(registry.northwind, NEW, "Somebody Quicker")
    assert not broken(registry, token).address_taken, "whoever it is can see their colleagues"


def test_another_companys_is_told_to_its_owner_alone(registry: SmallRegistry, ada: Actor) -> None:
    """What the requester sees is the same: nobody finds out who is another company's customer."""
    made = request_own(registry, ada, "carl@contoso.example")
    assert waiting(registry, registry.ada.id) == made
    written = letter(registry, made)
    assert written is not None
    assert written.address_taken
    assert broken(registry, written.token).address_taken
    # Looked at anew each time: it opens as soon as nobody has the address.
    with registry.write() as change:
        change.session.execute(
            update(users_table)
            .where(users_table.c.id == registry.carl.id)
            .values(deactivated_at=registry.now)
        )
    assert use(registry, written.token).email == "carl@contoso.example"


def test_fifty_changes_to_one_address_make_one(registry: SmallRegistry, ada: Actor) -> None:
    people = [
        registry.user(registry.northwind, f"p{n}@northwind.example", f"P{n}", "reporting")
        for n in range(10)
    ]
    tokens = [link(registry, request(registry, ada, each.id)) for each in people]
    outcomes: list[str] = []

    def follow(token: str) -> None:
        try:
            use(registry, token)
            outcomes.append("changed")
        except BrokenLink as error:
            outcomes.append(error.reason)

    threads = [threading.Thread(target=follow, args=(token,)) for token in tokens * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["changed"] + ["email_change_broken"] * 49
    with registry.read() as reading:
        holder = users.by_email(reading, NEW)
    assert holder is not None
    assert holder.id in {each.id for each in people}


def end(registry: SmallRegistry, user: User) -> None:
    with registry.write() as change:
        offboarding.deactivate(change, Actor.command_line(), user.id)


def demote(registry: SmallRegistry, user: User) -> None:
    with registry.write() as change:
        user_roles.change_role(change, Actor.command_line(), user.id, role="customer-service")


def promote_bob(registry: SmallRegistry, bob: User) -> None:
    with registry.write() as change:
        operators.name_operator(change, Actor.command_line(), bob.id, operator=True)


@pytest.mark.parametrize(
    "what", ["requester ended", "requester demoted", "user ended", "user became an operator"]
)
def test_what_it_was_asked_for_with_must_still_be_true(
    registry: SmallRegistry, bob: User, what: str
) -> None:
    """Somebody who was dismissed must not find a door that they opened beforehand."""
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
def test_what_cannot_be_confirmed_any_more_does_not_wait(
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
        with registry.write() as change:
            operators.name_operator(change, Actor.command_line(), bob.id, operator=False)
        broken(registry, token)


def test_an_operator_keeps_the_change_that_they_asked_for(
    registry: SmallRegistry, ada: Actor
) -> None:
    made = request_own(registry, ada)
    for operator in (True, False):
        with registry.write() as change:
            operators.name_operator(
                change, Actor.command_line(), registry.ada.id, operator=operator
            )
        assert waiting(registry, registry.ada.id) == made
    assert use(registry, link(registry, made)).email == NEW


def test_never_an_operators_not_even_by_another_operator(
    registry: SmallRegistry, ada: Actor, bob: User
) -> None:
    promote_bob(registry, bob)
    with nothing_changes(registry):
        assert refused(lambda: request(registry, ada, bob.id)) == "operator_required"
    with registry.write() as change:
        operators.name_operator(change, Actor.command_line(), registry.ada.id, operator=True)
    with nothing_changes(registry):
        assert refused(lambda: request(registry, ada, bob.id)) == "operator_required"


def test_from_where_the_account_cannot_be_reached(registry: SmallRegistry, ada: Actor) -> None:
    token = link(registry, request_own(registry, ada))
    with registry.write() as change:
        allowlist.replace(
            change,
            Actor.command_line(),
            registry.northwind.id,
            [Entry("203.0.113.0/24", "")],
        )
    for address in (ADDRESS, None):
        with pytest.raises(Forbidden) as refusal:
            use(registry, token, address)
        assert refusal.value.reason == "company_address_not_allowed"
    assert use(registry, token, "203.0.113.9").email == NEW


def test_nobody_is_mailed_without_end(registry: SmallRegistry, ada: Actor, bob: User) -> None:
    for number in range(email_changes.MOST_AN_HOUR):
        request(registry, ada, bob.id, f"n{number}@northwind.example")
        registry.now += 1
    with nothing_changes(registry), pytest.raises(TooManyAttempts) as refusal:
        request(registry, ada, bob.id)
    assert 0 < refusal.value.retry_after <= 3600
    assert "failed" not in refusal.value.message
    registry.now += refusal.value.retry_after * 1000
    request(registry, ada, bob.id)


def test_requests_of_a_clock_that_ran_ahead_count_for_nothing(
    registry: SmallRegistry, bob: User
) -> None:
    """Safe: at each time on its own, five are all that goes out."""
    corrected = registry.now
    for at in (corrected + 365 * DAY, corrected):
        registry.now = at
        ada = registry.signed_in(registry.ada)
        for number in range(email_changes.MOST_AN_HOUR):
            request(registry, ada, bob.id, f"n{number}@northwind.example")
        with pytest.raises(TooManyAttempts):
            request(registry, ada, bob.id)
    # A little ahead is another node's clock.
    registry.now -= 5_000
    with pytest.raises(TooManyAttempts):
        request(registry, ada, bob.id)


def test_on_the_server_at_once(registry: SmallRegistry, ada: Actor, bob: User) -> None:
    token = link(registry, request(registry, ada, bob.id, "other@northwind.example"))

    def change_to(email: str, actor: Actor | None = None) -> User:
        with registry.write() as change:
            return email_change_links.change_at_once(
                change, actor or Actor.command_line(), bob.id, email
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
    with registry.read() as reading:
        assert users.by_email(reading, "ada@northwind.example") == again


def test_a_narrowed_role_of_the_requester_ends_it(
    registry: SmallRegistry, ada: Actor, bob: User
) -> None:
    with registry.write() as change:
        everything = roles.create(
            change, ada, catalogue=registry.catalogue, name="Owner", permissions=["*"]
        )
    olga = registry.user(registry.northwind, "olga@northwind.example", "Olga", everything.id)
    token = link(registry, request(registry, registry.signed_in(olga), bob.id))
    with registry.write() as change:
        roles.modify(
            change,
            ada,
            everything.id,
            catalogue=registry.catalogue,
            changes={"permissions": ["users:manage"]},
        )
    broken(registry, token)
