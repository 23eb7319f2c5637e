"""Delivery of the registry's outgoing mail to a real SMTP server, on both engines."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from gatepass.core.grants import Holder
from gatepass.core.networks import Networks
from gatepass.log_limit import LogLimit
from gatepass.mail.conversation import Limits
from gatepass.mail.delivery import Outcome, PostKind, Smtp, Write
from gatepass.node.mailing import Mailing
from gatepass.registry.actor import Actor
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.grants.publishing import publish, published_holder
from gatepass.registry.membership import invitation_links, invitations, outbox, password_resets
from gatepass.registry.membership.invitations import Invitation
from gatepass.registry.notifications import expiry_warnings
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.tables import outgoing_mail as outgoing_mail_table
from gatepass.registry.storage.tables import users
from gatepass.registry.storage.tables import webhooks as webhooks_table
from gatepass.registry.webhooks import hooks, queue
from gatepass.settings import Settings
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import HOUR, MINUTE, SmallRegistry
from tests.support.mail.mailbox import Mailbox
from tests.support.mail.scripted_smtp import GREETING, OK, ScriptedServer, Talk
from tests.support.processes.ports import free_port

PUBLIC_URL = "https://tokens.example.com"
LIFETIME = 72 * HOUR


@pytest.fixture
def ada(registry: SmallRegistry) -> Actor:
    return registry.signed_in(registry.ada)


def mailing(registry: SmallRegistry, port: int) -> Mailing:
    settings = Settings(
        data_dir=Path("/nowhere"),
        database_url="",
        public_url=PUBLIC_URL,
        smtp_url=f"smtp://127.0.0.1:{port}",
    )
    return Mailing(settings, registry.database, lambda: registry.now)


def invite(registry: SmallRegistry, actor: Actor, email: str = "new@example.com") -> Invitation:
    return registry.do(
        invitations.create, actor, email=email, role="reporting", lifetime_ms=LIFETIME
    )


def seen(registry: SmallRegistry, actor: Actor) -> Invitation:
    """The only invitation as the list shows it."""
    (one,) = registry.ask(invitations.list_, actor).items
    return one


def opens(registry: SmallRegistry, token: str) -> bool:
    with registry.read() as reading:
        try:
            invitation_links.look(reading, token, "198.51.100.7")
        except invitation_links.BrokenLink:
            return False
    return True


def test_an_invitation_arrives_with_a_link_that_opens(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox
) -> None:
    invite(registry, ada)
    assert seen(registry, ada).delivered_at is None
    registry.now += 5_000
    mailing(registry, mailbox.port).send_due()
    assert mailbox.recipients == ["new@example.com"]
    assert mailbox.link().startswith(f"{PUBLIC_URL}/invitations/gpiv_")
    assert opens(registry, mailbox.token())
    assert seen(registry, ada).delivered_at == registry.now
    assert [event.action for event in registry.events(registry.northwind)][-1] == (
        "invitation.delivered"
    )
    mailing(registry, mailbox.port).send_due()
    assert len(mailbox.messages) == 1


def test_an_unreachable_server_is_retried_with_growing_pauses(
    registry: SmallRegistry, ada: Actor
) -> None:
    port = free_port()
    ours = mailing(registry, port)
    invite(registry, ada)
    ours.send_due()
    assert seen(registry, ada).delivery_trouble == "The mail server refuses connections."
    for pause in (30_000, 2 * MINUTE, 10 * MINUTE, HOUR, HOUR):
        registry.now += pause - 1
        assert not registry.ask(outbox.any_due)
        registry.now += 1
        ours.send_due()
    registry.now += HOUR
    with Mailbox(port) as mailbox:
        ours.send_due()
        ours.send_due()
        assert len(mailbox.messages) == 1
        assert opens(registry, mailbox.token())
    assert seen(registry, ada).delivered_at == registry.now
    assert seen(registry, ada).delivery_trouble is None


def test_expired_mail_is_given_up(registry: SmallRegistry, ada: Actor, mailbox: Mailbox) -> None:
    invite(registry, ada)
    registry.now += LIFETIME
    mailing(registry, mailbox.port).send_due()
    assert mailbox.tried == 0
    assert state(registry) == "given_up"


def test_a_temporary_refusal_is_retried(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox
) -> None:
    ours = mailing(registry, mailbox.port)
    mailbox.at_rcpt.append("451 greylisted for secret reasons")
    mailbox.at_data.append("452 full")
    invite(registry, ada)
    ours.send_due()
    trouble = seen(registry, ada).delivery_trouble
    assert trouble == "The mail server temporarily rejected the address (451)."
    registry.now += 30_000
    ours.send_due()
    assert seen(registry, ada).delivery_trouble == (
        "The mail server temporarily rejected the mail (452)."
    )
    registry.now += 2 * MINUTE
    ours.send_due()
    assert len(mailbox.messages) == 1
    assert opens(registry, mailbox.token())


@pytest.mark.parametrize("step", ["at_rcpt", "at_data"])
def test_a_permanent_refusal_is_given_up_and_reported(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox, step: str
) -> None:
    ours = mailing(registry, mailbox.port)
    getattr(mailbox, step).append("550 gpiv_echoed")
    invite(registry, ada)
    ours.send_due()
    assert state(registry) == "given_up"
    trouble = seen(registry, ada).delivery_trouble or ""
    assert "(550)" in trouble
    assert "gpiv_" not in trouble
    registry.now += HOUR
    ours.send_due()
    assert mailbox.tried == 1
    # A user can still resend it.
    registry.do(invitations.resend, ada, seen(registry, ada).id, lifetime_ms=LIFETIME)
    ours.send_due()
    assert seen(registry, ada).delivered_at == registry.now


def test_mail_is_not_retried_after_a_connection_lost_behind_its_text(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox
) -> None:
    ours = mailing(registry, mailbox.port)
    mailbox.cut_at_data = True
    invite(registry, ada)
    ours.send_due()
    assert state(registry) == "handed_over"
    assert seen(registry, ada).delivered_at is None
    assert seen(registry, ada).delivery_trouble == (
        "The mail server closed the connection before its reply to the mail. It may or may not "
        "have accepted the mail."
    )
    for _ in range(80):
        registry.now += HOUR - 1
        ours.send_due()
    assert len(mailbox.messages) == 1


def test_the_link_of_a_mail_with_an_unknown_outcome_is_valid(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox
) -> None:
    mailbox.cut_at_data = True
    invite(registry, ada)
    mailing(registry, mailbox.port).send_due()
    assert opens(registry, mailbox.token())


def test_mail_of_a_sender_that_dies_before_handing_over_is_sent_by_another(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox
) -> None:
    invite(registry, ada)
    claimed = registry.auxiliary(outbox.claim)
    assert claimed is not None
    ours = mailing(registry, mailbox.port)
    registry.now += outbox.LEASE_MS - 1
    ours.send_due()
    assert mailbox.messages == []
    registry.now += 1
    ours.send_due()
    assert len(mailbox.messages) == 1


def test_a_slow_sender_that_lost_its_claim_sends_nothing(
    registry: SmallRegistry, ada: Actor
) -> None:
    invite(registry, ada)
    claims = []
    for _ in range(2):
        claims.append(registry.auxiliary(outbox.claim))
        registry.now += outbox.LEASE_MS
    slow, quick = claims
    assert slow is not None
    assert quick is not None
    with registry.database.auxiliary_write(registry.now) as write:
        assert not outbox.hand_over(write, slow)
        assert outbox.hand_over(write, quick)


def test_exactly_one_of_two_claims_of_a_mail_succeeds(registry: SmallRegistry, ada: Actor) -> None:
    invite(registry, ada)
    seconds: list[object] = []

    def claim() -> None:
        seconds.append(registry.auxiliary(outbox.claim))

    second = threading.Thread(target=claim)
    with registry.database.auxiliary_write(registry.now) as write:
        assert outbox.claim(write) is not None
        second.start()
        # It waits for the first transaction's row lock.
        second.join(0.3)
        assert seconds == []
    second.join()
    assert seconds == [None]


def test_mail_of_a_sender_that_dies_while_handing_over_is_not_sent_again(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox
) -> None:
    invite(registry, ada)
    with registry.database.auxiliary_write(registry.now) as write:
        claimed = outbox.claim(write)
        assert claimed is not None
        assert outbox.hand_over(write, claimed)
    for _ in range(5):
        registry.now += HOUR
        mailing(registry, mailbox.port).send_due()
    assert mailbox.messages == []


def test_exactly_one_of_many_concurrent_senders_sends(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox
) -> None:
    for number in range(5):
        invite(registry, ada, f"new{number}@example.com")
    senders = [mailing(registry, mailbox.port) for _ in range(4)]
    concurrently(Mailing.send_due, senders)
    mailing(registry, mailbox.port).send_due()
    assert sorted(mailbox.recipients) == [f"new{number}@example.com" for number in range(5)]


class Meanwhile:
    """A post that calls *happens* right before the text is sent."""

    kind: PostKind = "server"
    name = "meanwhile"

    def __init__(self, port: int, happens: object) -> None:
        self._smtp = Smtp(f"smtp://127.0.0.1:{port}", "localhost")
        self._happens = happens

    def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
        assert callable(self._happens)
        self._happens()
        return self._smtp.deliver(sender, recipient, write)


@pytest.mark.parametrize("what", ["deactivated", "replaced", "inviter gone"])
def test_mail_revoked_during_the_conversation_is_not_sent(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox, what: str
) -> None:
    made = invite(registry, ada)

    def happens() -> None:
        with registry.write() as change:
            if what == "deactivated":
                invitations.deactivate(change, ada, made.id)
            elif what == "replaced":
                invitations.resend(change, ada, made.id, lifetime_ms=LIFETIME)
            else:
                end_user(change, registry.ada.id)

    ours = mailing(registry, mailbox.port)
    ours.post = Meanwhile(mailbox.port, happens)
    claimed = registry.auxiliary(outbox.claim)
    assert claimed is not None
    ours._send(claimed)
    assert mailbox.messages == []
    ours.post = Smtp(f"smtp://127.0.0.1:{mailbox.port}", "localhost")
    ours.send_due()
    assert len(mailbox.messages) == (1 if what == "replaced" else 0)


def test_a_server_that_hangs_after_accepting_a_mail_gets_it_once_and_the_others_too(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepass.mail.conversation._LEAVE_S", 0.1)

    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(OK, OK, OK, b"354 go on\r\n")
        talk.take_text()
        talk.say(OK)
        talk.hang()

    with ScriptedServer(script) as server:
        ours = mailing(registry, server.port)
        for number in range(2):
            invite(registry, ada, f"new{number}@example.com")
        ours.send_due()
        registry.now += HOUR
        ours.send_due()
        assert len(server.talks) == 2
    page = registry.ask(invitations.list_, ada)
    assert all(one.delivered_at is not None for one in page.items)


@pytest.mark.slow
def test_a_mail_that_times_out_does_not_block_the_others(
    registry: SmallRegistry, ada: Actor
) -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(OK, OK)
        if b"stuck" in talk.hear():
            talk.hang()
        talk.say(OK)
        talk.answer(b"354 go on\r\n")
        talk.take_text()
        talk.say(OK)
        talk.answer(b"221 bye\r\n")

    with ScriptedServer(script) as server:
        ours = mailing(registry, server.port)
        ours.post = Smtp(server.url, "localhost", limits=Limits(seconds=2.0))
        for name in ("stuck", "new"):
            registry.now += 1
            invite(registry, ada, f"{name}@example.com")
        ours.send_due()
    after, stuck = registry.ask(invitations.list_, ada).items
    assert after.delivered_at is not None
    assert stuck.delivered_at is None
    assert stuck.delivery_trouble == (
        "The mail server didn't finish its reply to RCPT TO in time, so the connection was closed "
        "after 2 seconds."
    )


def test_the_log_says_what_is_wrong_once_a_minute_and_without_credentials(
    registry: SmallRegistry, ada: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    passed = [1000.0]

    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(b"250-hello\r\n250 AUTH PLAIN\r\n", b"535 5.7.8 hunter2 is wrong\r\n")

    with ScriptedServer(script) as server:
        ours = mailing(registry, server.port)
        ours.post = Smtp(server.url_for("user", "hunter2"), "localhost")
        ours._log_limit = LogLimit(lambda: passed[0])
        for number in range(3):
            invite(registry, ada, f"new{number}@example.com")
        ours.send_due()
        passed[0] += 59.9
        invite(registry, ada, "new3@example.com")
        ours.send_due()
        assert len(caplog.records) == 1
        passed[0] += 0.1
        invite(registry, ada, "new4@example.com")
        ours.send_due()
    assert [one.levelname for one in caplog.records] == ["WARNING"] * 2
    trouble = (
        f"smtp://127.0.0.1:{server.port}: The mail server rejected the user and password in "
        "GATEPASS_SMTP_URL (535 5.7.8)."
    )
    first, second = (one.getMessage() for one in caplog.records)
    assert first.startswith(f"{trouble} (mail mail_")
    assert second.startswith(f"{trouble} (mail mail_")
    assert second.endswith("attempt 1; 3 more since the last such line)")
    assert "hunter2" not in caplog.text


def test_without_a_server_nothing_is_delivered(
    registry: SmallRegistry, ada: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(data_dir=Path("/nowhere"), database_url="", public_url=PUBLIC_URL)
    invite(registry, ada)
    Mailing(settings, registry.database, lambda: registry.now).send_due()
    shown = seen(registry, ada)
    assert shown.delivered_at is None
    assert shown.delivery_trouble == "No mail server was configured to send it."
    assert state(registry) == "given_up"
    assert sentence(registry.events(registry.northwind)[-1]) == (
        "No mail server is set up, so the invitation to new@example.com wasn't mailed"
    )
    # The log has the mail for the operator, with a valid link.
    (logged,) = caplog.records
    assert logged.levelname == "WARNING"
    assert opens(registry, logged.getMessage().partition("/invitations/")[2].split()[0])


def test_taking_the_link_cancels_the_mail(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox
) -> None:
    """Whether it is queued or being handed over."""
    made = invite(registry, ada)
    tokens: list[str] = []

    def take() -> None:
        _, token = registry.do(
            invitations.take_link, ada, made.id, lifetime_ms=LIFETIME, mail_server=False
        )
        tokens.append(token)

    ours = mailing(registry, mailbox.port)
    ours.post = Meanwhile(mailbox.port, take)
    ours.send_due()
    assert mailbox.messages == []
    take()
    ours.send_due()
    assert mailbox.messages == []
    assert [opens(registry, token) for token in tokens] == [False, True]
    assert seen(registry, ada).delivered_at is None
    assert seen(registry, ada).delivery_trouble == outbox.IN_PERSON


def test_no_link_is_stored_or_logged(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    invite(registry, ada)
    assert registry.auxiliary(password_resets.request, "carl@contoso.example", None)
    caplog.set_level("DEBUG")
    mailing(registry, mailbox.port).send_due()
    secrets = [mailbox.token(number)[21:53] for number in (0, 1)]
    with registry.read() as reading:
        for table in ("invitations", "password_resets", "outgoing_mail", "audit_events"):
            kept = repr(reading.session.execute(text(f"SELECT * FROM {table}")).all())
            assert not any(secret in kept for secret in secrets)
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("gatepass")]
    assert not any(secret in said for secret in secrets for said in ours)


def test_a_password_reset_is_mailed_to_the_user(registry: SmallRegistry, mailbox: Mailbox) -> None:
    assert registry.auxiliary(password_resets.request, "ADA@northwind.example", "198.51.100.7")
    mailing(registry, mailbox.port).send_due()
    assert mailbox.recipients == ["ada@northwind.example"]
    assert mailbox.link().startswith(f"{PUBLIC_URL}/password-resets/gprs_")


def end_user(change: Change, user: str) -> None:
    """Deactivate the user's row and grants, as ``offboarding.deactivate`` does."""
    holder = published_holder(change, user)
    assert holder is not None
    change.session.execute(
        update(users).where(users.c.id == user).values(deactivated_at=change.now)
    )
    publish(change, Holder(user, holder.company, False, holder.role))


def state(registry: SmallRegistry) -> str:
    with registry.read() as reading:
        return str(reading.session.execute(select(outgoing_mail_table.c.state)).scalar_one())


@pytest.mark.parametrize("because", ["gone", "failing", "requested"])
def test_the_mail_about_a_paused_webhook(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox, because: str
) -> None:
    """It names the webhook by its host alone, and isn't sent once the webhook was resumed."""
    webhook, _ = registry.do(
        hooks.create,
        ada,
        key=registry.encryption_key,
        networks=Networks(),
        url="https://hooks.example.com/services/key",
        events=["user.*"],
    )
    registry.auxiliary(queue._pause, webhook.id, "gone")
    with registry.write() as change:
        change.session.execute(update(webhooks_table).values(paused_because=because))
    mailing(registry, mailbox.port).send_due()
    if because == "requested":
        assert mailbox.messages == []
        return
    (message,) = mailbox.messages
    assert message["Subject"] == "The webhook hooks.example.com of Northwind is paused"
    text = " ".join(message.as_string().split())
    assert f"{PUBLIC_URL}/company/webhooks/{webhook.id}" in text
    assert ("410 Gone" in text) is (because == "gone")
    assert ("three days" in text) is (because == "failing")
    assert "services" not in text


def test_the_mail_about_a_token_that_expires(
    registry: SmallRegistry, ada: Actor, mailbox: Mailbox
) -> None:
    token, text = registry.token(ada, expires_at=registry.now + 8 * 24 * HOUR)
    registry.now += 24 * HOUR
    expiry_warnings.warn(registry.database, lambda: registry.now)
    mailing(registry, mailbox.port).send_due()
    assert mailbox.messages == []
    registry.now += expiry_warnings.WHILE_MS
    mailing(registry, mailbox.port).send_due()
    (message,) = mailbox.messages
    assert mailbox.recipients == [registry.ada.email]
    body = message.get_body(("plain",))
    assert body is not None
    rotate = f"Rotate: {PUBLIC_URL}/access-tokens/{token.id}/rotate"
    assert rotate in body.get_content().splitlines()
    assert text not in message.as_string()
