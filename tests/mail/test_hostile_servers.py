"""Mail servers that would fill the memory, stop all mail, or break off where it hurts."""

import ssl
import tracemalloc
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from gatepass.mail.conversation import Limits
from gatepass.mail.delivery import Outcome, Smtp
from gatepass.registry.membership.outbox import LEASE_MS
from tests.support.mail.message import message
from tests.support.mail.scripted_smtp import GREETING, OK, ScriptedServer, Talk

# Long enough for a machine under load, where something is to arrive first.
LIMITS = Limits(seconds=2.0, reply_bytes=65_536)


def deliver(script: Callable[[Talk], None], limits: Limits = LIMITS) -> Outcome:
    with ScriptedServer(script) as server:
        return Smtp(server.url, "localhost", limits=limits).deliver(
            "gatepass@example.com", "new@example.com", message
        )


def up_to_the_text(talk: Talk) -> None:
    talk.say(GREETING)
    talk.answer(OK, OK, OK, b"354 go on\r\n")
    talk.take_text()


def test_a_conversation_ends_before_the_mails_lease_does() -> None:
    assert Limits().seconds * 1000 < LEASE_MS


@pytest.mark.parametrize(
    ("before", "endless"),
    [
        (b"", b"220-" + b"x" * 996 + b"\r\n"),
        (b"", b"2" * 1000),
        (GREETING, b"250-" + b"x" * 996 + b"\r\n"),
        (GREETING, b"250-\r\n"),
    ],
)
def test_a_reply_without_end_is_cut_and_takes_no_memory(before: bytes, endless: bytes) -> None:
    def script(talk: Talk) -> None:
        talk.say(before)
        if before:
            talk.hear()
        talk.flood(endless)

    tracemalloc.start()
    outcome = deliver(script, Limits(seconds=60.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome == Outcome(
        "later", "The mail server said more than 65,536 bytes, so the connection was closed."
    )
    assert peak < 8_000_000


def test_small_replies_without_end_add_up() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(OK, OK, OK, b"354 go on\r\n")
        talk.take_text()
        talk.flood(b"250-and on\r\n")

    outcome = deliver(script, Limits(seconds=60.0, reply_bytes=1000))
    assert outcome.fate == "unknown"
    assert "more than 1,000 bytes" in outcome.trouble


@pytest.mark.parametrize("said_before", [b"", GREETING])
def test_a_byte_now_and_then_is_cut(said_before: bytes) -> None:
    def script(talk: Talk) -> None:
        talk.say(said_before)
        while not talk.stopped.wait(0.05):
            talk.say(b"2")

    outcome = deliver(script)
    step = "reply to EHLO" if said_before else "greeting"
    assert outcome == Outcome(
        "later",
        f"The mail server didn't finish its {step} in time, so the connection was closed after "
        "2 seconds.",
    )


def test_one_who_never_answers_the_text_leaves_its_fate_unknown() -> None:
    def script(talk: Talk) -> None:
        up_to_the_text(talk)
        talk.hang()

    outcome = deliver(script)
    assert outcome.fate == "unknown"
    assert outcome.trouble.startswith("The mail server didn't finish its reply to the mail")
    assert outcome.trouble.endswith("It may or may not have accepted the mail.")


def test_one_who_hangs_at_the_farewell_has_the_mail() -> None:
    def script(talk: Talk) -> None:
        up_to_the_text(talk)
        talk.say(OK)
        talk.hear()
        talk.hang()

    assert deliver(script) == Outcome("delivered")


def test_one_who_floods_the_farewell_has_the_mail() -> None:
    def script(talk: Talk) -> None:
        up_to_the_text(talk)
        talk.say(OK)
        talk.flood(b"221-bye\r\n")

    assert deliver(script) == Outcome("delivered")


def test_one_who_never_answers_the_command_before_the_text_has_none_of_it() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(OK, OK, OK)
        talk.hang()

    assert deliver(script).fate == "later"


@pytest.mark.parametrize("step", range(4))
def test_421_in_the_middle_is_for_now(step: int) -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(*[OK] * step, b"421 4.3.2 shutting down\r\n")

    outcome = deliver(script)
    assert outcome.fate == "later"
    assert "(421 4.3.2: it closed the connection)" in outcome.trouble


@pytest.mark.parametrize("step", range(5))
def test_one_who_leaves_in_the_middle(step: int) -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(*[OK, OK, OK, b"354 go on\r\n"][:step])
        if step == 4:
            talk.take_text()
        else:
            talk.hear()

    outcome = deliver(script)
    assert outcome.fate == ("unknown" if step == 4 else "later")
    assert "closed the connection before its reply to" in outcome.trouble


def test_one_who_leaves_during_the_handshake() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(b"250-hello\r\n250 STARTTLS\r\n", b"220 go on\r\n")
        talk.connection.recv(5)

    outcome = deliver(script)
    assert outcome.fate == "later"
    assert "TLS" in outcome.trouble


def test_one_who_hangs_during_the_handshake() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(b"250-hello\r\n250 STARTTLS\r\n", b"220 go on\r\n")
        talk.hang()

    assert deliver(script) == Outcome(
        "later",
        "The mail server didn't finish its part of the TLS handshake in time, so the connection "
        "was closed after 2 seconds.",
    )


def test_what_is_said_before_the_handshake_counts_for_nothing_after_it() -> None:
    """A man in the middle could inject replies, and offers to sign in with a password."""
    offer = b"250-hello\r\n250 AUTH PLAIN\r\n"

    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(b"250-hello\r\n250 STARTTLS\r\n", b"220 go on\r\n" + offer)
        talk.connection.recv(5)

    with ScriptedServer(script) as server:
        tls = ssl.create_default_context()
        outcome = Smtp(server.url_for("user", "hunter2"), "localhost", tls, LIMITS).deliver(
            "gatepass@example.com", "new@example.com", message
        )
    assert "TLS" in outcome.trouble
    assert not any(b"AUTH" in line for line in server.talks[0].heard)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b"\x15\x03\x01\x00\x02\r\n"])
def test_one_who_speaks_something_else(answer: bytes) -> None:
    def script(talk: Talk) -> None:
        talk.say(answer)

    assert deliver(script) == Outcome("later", "The server at this address doesn't speak SMTP.")


def test_a_code_that_makes_no_sense_delivers_nothing() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(OK, OK, OK, OK)

    assert deliver(script).fate == "later"


def test_nothing_in_a_text_ends_it_early() -> None:
    """Servers differ in what they take for the end of a line: a bare one must not get there."""
    smuggled = b"before\n.\nMAIL FROM:<x>\r.\r.still\r\n.\r\nQUIT"

    class Smuggling(EmailMessage):
        def as_bytes(self, *_: object, **__: object) -> bytes:
            return smuggled

    def script(talk: Talk) -> None:
        up_to_the_text(talk)
        talk.say(OK)

    with ScriptedServer(script) as server:
        Smtp(server.url, "localhost").deliver("a@example.com", "b@example.com", Smuggling)
    text = server.talks[0].heard[4]
    assert text == b"before\r\n..\r\nMAIL FROM:<x>\r\n..\r\n..still\r\n..\r\nQUIT\r\n"
