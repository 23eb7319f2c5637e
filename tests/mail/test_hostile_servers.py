"""Hostile mail servers: endless replies, hangs, and disconnections at every step."""

import ssl
import tracemalloc
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest

from gatepass.mail.conversation import Limits
from gatepass.mail.delivery import Outcome, Smtp
from gatepass.registry.membership.outbox import LEASE_MS
from tests.support.concurrency import concurrently
from tests.support.mail.message import message
from tests.support.mail.scripted_smtp import GREETING, OK, ScriptedServer, Talk

# Enough for the steps before a hang on a busy machine.
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


def test_a_conversation_is_shorter_than_the_mails_lease() -> None:
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
def test_an_endless_reply_is_cut_off_and_takes_no_memory(before: bytes, endless: bytes) -> None:
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


def test_endless_small_replies_add_up() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(OK, OK, OK, b"354 go on\r\n")
        talk.take_text()
        talk.flood(b"250-and on\r\n")

    outcome = deliver(script, Limits(seconds=60.0, reply_bytes=1000))
    assert outcome.fate == "unknown"
    assert "more than 1,000 bytes" in outcome.trouble


def greeting_byte_by_byte(talk: Talk) -> None:
    while not talk.stopped.wait(0.05):
        talk.say(b"2")


def reply_byte_by_byte(talk: Talk) -> None:
    talk.say(GREETING)
    greeting_byte_by_byte(talk)


def hang_in_the_handshake(talk: Talk) -> None:
    talk.say(GREETING)
    talk.answer(b"250-hello\r\n250 STARTTLS\r\n", b"220 go on\r\n")
    talk.hang()


def hang_before_the_text(talk: Talk) -> None:
    talk.say(GREETING)
    talk.answer(OK, OK, OK)
    talk.hang()


def hang_after_the_text(talk: Talk) -> None:
    up_to_the_text(talk)
    talk.hang()


def hang_after_quit(talk: Talk) -> None:
    up_to_the_text(talk)
    talk.say(OK)
    talk.hear()
    talk.hang()


HANGING = {
    greeting_byte_by_byte: ("later", "greeting", "seconds."),
    reply_byte_by_byte: ("later", "reply to EHLO", "seconds."),
    hang_in_the_handshake: ("later", "part of the TLS handshake", "seconds."),
    hang_before_the_text: ("later", "reply to DATA", "seconds."),
    hang_after_the_text: ("unknown", "reply to the mail", "may not have accepted the mail."),
}


@pytest.fixture(scope="module")
def outcomes() -> dict[Callable[[Talk], None], Any]:
    """The outcomes of hanging servers, all asked at once since each takes the whole limit."""
    scripts = [*HANGING, hang_after_quit]
    return dict(zip(scripts, concurrently(deliver, scripts), strict=True))


@pytest.mark.parametrize("script", HANGING)
def test_a_server_that_hangs_is_cut_off(
    outcomes: dict[Callable[[Talk], None], Any], script: Callable[[Talk], None]
) -> None:
    fate, step, end = HANGING[script]
    outcome = outcomes[script]
    assert outcome.fate == fate
    start = f"The mail server didn't finish its {step} in time, so the connection was closed after"
    assert outcome.trouble.startswith(f"{start} 2 seconds.")
    assert outcome.trouble.endswith(end)


def test_a_server_that_hangs_after_quit_has_the_mail(
    outcomes: dict[Callable[[Talk], None], Any],
) -> None:
    assert outcomes[hang_after_quit] == Outcome("delivered")


def test_a_server_that_floods_after_quit_has_the_mail() -> None:
    def script(talk: Talk) -> None:
        up_to_the_text(talk)
        talk.say(OK)
        talk.flood(b"221-bye\r\n")

    assert deliver(script) == Outcome("delivered")


@pytest.mark.parametrize("step", range(4))
def test_421_at_any_step_is_temporary(step: int) -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(*[OK] * step, b"421 4.3.2 shutting down\r\n")

    outcome = deliver(script)
    assert outcome.fate == "later"
    assert "(421 4.3.2: it closed the connection)" in outcome.trouble


@pytest.mark.parametrize("step", range(5))
def test_a_server_that_disconnects_at_any_step(step: int) -> None:
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


def test_a_server_that_disconnects_in_the_handshake() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(b"250-hello\r\n250 STARTTLS\r\n", b"220 go on\r\n")
        talk.connection.recv(5)

    outcome = deliver(script)
    assert outcome.fate == "later"
    assert "TLS" in outcome.trouble


def test_replies_before_the_handshake_are_discarded() -> None:
    """A man in the middle could inject replies, and offers of AUTH."""
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
def test_a_server_of_another_protocol_is_reported(answer: bytes) -> None:
    def script(talk: Talk) -> None:
        talk.say(answer)

    assert deliver(script) == Outcome("later", "The server at this address doesn't speak SMTP.")


def test_an_unexpected_code_delivers_nothing() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(OK, OK, OK, OK)

    assert deliver(script).fate == "later"


def test_no_line_of_a_text_ends_it_early() -> None:
    """Servers differ on bare CR and LF, which attackers use to smuggle mail."""
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
