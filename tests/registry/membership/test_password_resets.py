from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from gatepass.core.credentials import LOGIN_TOKEN, make
from gatepass.core.decision import Reason
from gatepass.core.errors import BrokenLink, Forbidden, InvalidInput
from gatepass.core.networks import Networks, parse_network
from gatepass.registry.authentication import passwords
from gatepass.registry.authentication.session_records import begin
from gatepass.registry.grants.publishing import publish, published_grant, published_rules
from gatepass.registry.membership import account, password_resets
from gatepass.registry.storage.tables import authentications, outgoing_mail, users
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import (
    ADDRESS,
    HOUR,
    PASSWORD,
    SmallRegistry,
    nothing_changes,
)
from tests.support.weak_hashing import HASHER

ADA = "ada@northwind.example"
NEW = "a wholly new phrase"


def request(registry: SmallRegistry, email: str = ADA) -> bool:
    return registry.auxiliary(password_resets.request, email, ADDRESS)


def link(registry: SmallRegistry) -> str:
    """The link of the latest request, created as its mail is sent."""
    with registry.database.auxiliary_write(registry.now) as write:
        latest = (
            write.session.execute(
                select(outgoing_mail.c.subject_id).where(outgoing_mail.c.state == "waiting")
            )
            .scalars()
            .all()[-1]
        )
        letter = password_resets.make_link(write, latest)
    assert letter is not None
    with registry.database.auxiliary_write(registry.now) as write:
        write.session.execute(
            update(outgoing_mail)
            .where(outgoing_mail.c.subject_id == latest)
            .values(state="delivered")
        )
    return letter.token


def look(registry: SmallRegistry, token: str, address: str | None = ADDRESS) -> Any:
    return registry.ask(password_resets.look, token, address)


def complete(registry: SmallRegistry, token: str, **fields: Any) -> None:
    ordinary = {"password": NEW, "address": ADDRESS}
    password_resets.complete(
        registry.database,
        token=token,
        now=lambda: registry.now,
        hasher=HASHER,
        **(ordinary | fields),
    )


def broken(registry: SmallRegistry, token: str) -> None:
    with pytest.raises(BrokenLink, match=r"^This password reset link is broken$"):
        look(registry, token)
    with nothing_changes(registry), pytest.raises(BrokenLink):
        complete(registry, token)


def change_ada(registry: SmallRegistry, **values: Any) -> None:
    with registry.write() as change:
        change.session.execute(update(users).where(users.c.id == registry.ada.id).values(values))


def password_is(registry: SmallRegistry, password: str) -> bool:
    with registry.read() as reading:
        kept = reading.session.execute(
            select(users.c.password_hash).where(users.c.id == registry.ada.id)
        ).scalar_one()
    return passwords.verify(password, kept, hasher=HASHER)


def test_a_link_sets_a_password_once_and_deactivates_all_sign_ins(registry: SmallRegistry) -> None:
    credentials = [make(LOGIN_TOKEN), make(LOGIN_TOKEN)]
    for credential in credentials:
        registry.do(
            begin,
            registry.ada,
            credential,
            lifetime_ms=HOUR,
            address=ADDRESS,
            user_agent=None,
        )
    assert registry.reason(credentials[0].text, "users:get") is Reason.allowed
    assert request(registry)
    token = link(registry)
    assert look(registry, token).email == ADA
    complete(registry, token)
    assert password_is(registry, NEW)
    for credential in credentials:
        assert registry.reason(credential.text, "users:get") is Reason.token_deactivated
    broken(registry, token)
    last = registry.events(registry.northwind)[-4:]
    assert [event.action for event in last] == [
        "user.password_reset_requested",
        "authentication.deactivated",
        "authentication.deactivated",
        "user.password_reset",
    ]
    assert {event.actor_id for event in last[1:]} == {registry.ada.id}
    assert last[3].after == {"authentications_ended": 2}


def test_other_users_sign_ins_stay_active(registry: SmallRegistry) -> None:
    carl = registry.signed_in(registry.carl)
    request(registry)
    complete(registry, link(registry))
    with registry.read() as reading:
        grant = published_grant(reading, carl.credential or "")
        ended = reading.session.execute(
            select(authentications.c.id).where(authentications.c.deactivated_at.is_not(None))
        ).all()
    assert grant is not None
    assert not grant.deactivated
    assert ended == []


def test_a_link_is_valid_for_an_hour(registry: SmallRegistry) -> None:
    request(registry)
    token = link(registry)
    registry.now += HOUR - 1
    look(registry, token)
    registry.now += 1
    broken(registry, token)


def test_an_unknown_address_gets_no_mail(registry: SmallRegistry) -> None:
    with nothing_changes(registry):
        for address in ("nobody@example.com", "", "no address", "\x00", "ü" * 400):
            assert not request(registry, address)


def test_at_most_three_mails_an_hour(registry: SmallRegistry) -> None:
    assert [request(registry) for _ in range(5)] == [True, True, True, False, False]
    assert request(registry, "carl@contoso.example")
    registry.now += HOUR
    assert request(registry)


def test_requests_from_a_clock_far_ahead_are_not_counted(registry: SmallRegistry) -> None:
    """Safe, because each hour of either clock has its own limit."""
    corrected = registry.now
    registry.now += 365 * 24 * HOUR
    assert [request(registry) for _ in range(4)] == [True, True, True, False]
    registry.now = corrected
    assert [request(registry) for _ in range(4)] == [True, True, True, False]
    # Slightly ahead is clock skew, or a request that waited for the lock.
    registry.now -= 5_000
    assert not request(registry)


def test_at_most_three_mails_an_hour_under_concurrency(registry: SmallRegistry) -> None:
    assert concurrently(lambda _: request(registry), range(8)).count(True) == 3


def test_setting_a_password_deactivates_the_other_links(registry: SmallRegistry) -> None:
    tokens = []
    for _ in range(2):
        request(registry)
        tokens.append(link(registry))
    request(registry)
    complete(registry, tokens[0])
    broken(registry, tokens[1])
    # The third mail isn't sent either.
    with registry.read() as reading:
        states = reading.session.execute(select(outgoing_mail.c.state)).scalars().all()
    assert sorted(states) == ["delivered", "delivered", "dropped"]


def test_a_deactivated_user_cannot_reset(registry: SmallRegistry) -> None:
    request(registry)
    token = link(registry)
    change_ada(registry, deactivated_at=registry.now)
    broken(registry, token)
    with nothing_changes(registry):
        assert not request(registry)


def test_no_link_is_created_for_a_user_deactivated_before_the_mail_is_sent(
    registry: SmallRegistry,
) -> None:
    request(registry)
    change_ada(registry, deactivated_at=registry.now)
    with registry.database.auxiliary_write(registry.now) as write:
        (reset,) = write.session.execute(select(outgoing_mail.c.subject_id)).scalars()
        assert password_resets.make_link(write, reset) is None


def test_eight_characters_suffice_with_a_second_factor_which_stays(registry: SmallRegistry) -> None:
    request(registry)
    token = link(registry)
    with pytest.raises(InvalidInput):
        complete(registry, token, password="nine char")
    change_ada(registry, totp_sealed=b"sealed")
    with pytest.raises(InvalidInput):
        complete(registry, token, password="seven c")
    complete(registry, token, password="nine char")
    with registry.read() as reading:
        encrypted = reading.session.execute(
            select(users.c.totp_sealed).where(users.c.id == registry.ada.id)
        ).scalar_one()
    assert encrypted == b"sealed"
    assert password_is(registry, "nine char")


def test_a_valid_link_from_outside_the_allowlist_says_so(registry: SmallRegistry) -> None:
    request(registry)
    token = link(registry)
    with registry.write() as change:
        rules = published_rules(change, registry.northwind.id)
        networks = Networks.of([parse_network("203.0.113.0/24")])
        publish(change, msgspec.structs.replace(rules, allowlist=networks))
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        complete(registry, token)
    assert refusal.value.reason == "company_address_not_allowed"
    assert password_is(registry, PASSWORD)
    complete(registry, token, address="203.0.113.9")


def test_changing_the_password_otherwise_deactivates_the_links(registry: SmallRegistry) -> None:
    request(registry)
    token = link(registry)
    request(registry)
    ada = registry.signed_in(registry.ada)
    account.change_password(registry.reauthentication, ada, current=PASSWORD, new=NEW)
    broken(registry, token)
    with registry.read() as reading:
        states = reading.session.scalars(select(outgoing_mail.c.state)).all()
    assert sorted(states) == ["delivered", "dropped"]
