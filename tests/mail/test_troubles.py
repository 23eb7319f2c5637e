"""Sentences for a mail server that refuses a mail: the cause, and no secrets."""

import re
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest

from gatepass.mail.conversation import Limits
from gatepass.mail.delivery import Outcome, Smtp
from tests.support.mail.message import message
from tests.support.mail.scripted_smtp import GREETING, OK, ScriptedServer, Talk
from tests.support.processes.ports import free_port

BYE = b"221 bye\r\n"
PASSWORD = "pässwörd ŁĲ"
ESCAPED = "p%C3%A4ssw%C3%B6rd%20%C5%81%C4%B2"


def deliver(url: str, recipient: str = "new@example.com", seconds: float = 10.0) -> Outcome:
    server = Smtp(url, "localhost", limits=Limits(seconds=seconds))
    return server.deliver("gatepass@example.com", recipient, message)


def scripted(script: Callable[[Talk], None], **options: Any) -> Outcome:
    with ScriptedServer(script) as server:
        return deliver(server.url, **options)


class Door:
    """A server's script that lets in by one mechanism, and keeps what it was told."""

    def __init__(self, mechanisms: str, password: bytes = PASSWORD.encode()) -> None:
        self.told: list[bytes] = []
        self._mechanisms = mechanisms
        self._password = password

    def __call__(self, talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(f"250-hello\r\n250 AUTH {self._mechanisms}\r\n".encode())
        words = talk.hear().split()
        if words[1] == b"PLAIN":
            self.told = b64decode(words[2]).split(b"\0")[1:]
        else:
            for prompt in (b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"):
                talk.say(b"334 " + prompt + b"\r\n")
                self.told.append(b64decode(talk.hear()))
        good = self.told[-1] == self._password
        talk.say(b"235 come in\r\n" if good else b"535 5.7.8 no " + self.told[-1] + b"\r\n")
        if good:
            talk.accept_mail()


@pytest.mark.parametrize("mechanisms", ["PLAIN", "LOGIN", "XOAUTH2 LOGIN PLAIN", "NTLM LOGIN"])
@pytest.mark.parametrize("typed", [ESCAPED, PASSWORD.replace(" ", "%20")])
def test_a_password_outside_ascii(mechanisms: str, typed: str) -> None:
    door = Door(mechanisms)
    with ScriptedServer(door) as server:
        assert deliver(server.url_for("j%C3%B6rg%40example.com", typed)).fate == "delivered"
    assert door.told == ["jörg@example.com".encode(), PASSWORD.encode()]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        # As other keyboards make it.
        ("a%CC%88", "ä".encode()),
        ("%C2%A0x%E3%80%80", b" x "),
        # NFKC would change these, and the password with them.
        ("%EF%AC%81%C2%B2", "ﬁ²".encode()),
        # What no server would have stored in UTF-8.
        ("%E9%FF", b"\xe9\xff"),
        ("%2B+%25", b"++%"),
    ],
)
def test_what_of_a_password_is_sent(typed: str, sent: bytes) -> None:
    door = Door("PLAIN", sent)
    with ScriptedServer(door) as server:
        assert deliver(server.url_for("user", typed)).fate == "delivered"


def test_a_server_that_knows_only_a_challenge() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(b"250-hello\r\n250 AUTH CRAM-MD5\r\n")
        talk.answer(b"334 " + b64encode(b"<1896.697170952@postoffice.reston.mci.net>") + b"\r\n")
        said = b64decode(talk.hear())
        # RFC 2195, 2.
        good = said == b"tim b913a602c7eda7a495b4e6e7334d3890"
        talk.say(b"235 come in\r\n" if good else b"535 no\r\n")
        talk.accept_mail()

    with ScriptedServer(script) as server:
        assert deliver(server.url_for("tim", "tanstaaftanstaaf")).fate == "delivered"


def test_a_mechanism_that_is_offered_and_not_taken_is_followed_by_the_next() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(b"250-hello\r\n250 AUTH PLAIN LOGIN\r\n", b"504 5.5.4 not that way\r\n")
        talk.accept_mail(b"334 \r\n", b"334 \r\n", b"235 come in\r\n")

    with ScriptedServer(script) as server:
        assert deliver(server.url_for("user", "hunter2")).fate == "delivered"


@pytest.mark.parametrize(
    ("offer", "trouble"),
    [
        (
            "AUTH XOAUTH2",
            "The mail server offers only XOAUTH2 to sign in; Gatepass supports PLAIN, LOGIN and "
            "CRAM-MD5.",
        ),
        (
            "AUTH xoauth2 OAUTHBEARER \x1b[31m <b>",
            "The mail server offers only XOAUTH2, OAUTHBEARER to sign in; Gatepass supports PLAIN, "
            "LOGIN and CRAM-MD5.",
        ),
        (
            "SIZE 1000",
            "GATEPASS_SMTP_URL has a user, but the mail server doesn't offer AUTH. Most servers "
            "offer it only after STARTTLS, which is missing too.",
        ),
    ],
)
def test_no_way_to_sign_in(offer: str, trouble: str) -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(f"250-hello\r\n250 {offer}\r\n".encode())
        talk.answer(BYE)

    with ScriptedServer(script) as server:
        assert deliver(server.url_for("user", "hunter2")) == Outcome("later", trouble)


@pytest.mark.parametrize("mechanisms", ["PLAIN", "LOGIN"])
def test_a_wrong_password_is_not_repeated(mechanisms: str) -> None:
    """A server that quotes what it was sent doesn't bring it into the log."""
    with ScriptedServer(Door(mechanisms)) as server:
        assert deliver(server.url_for("user", "hunter2")) == Outcome(
            "later",
            "The mail server rejected the user and password in GATEPASS_SMTP_URL (535 5.7.8).",
        )


def at(step: int, reply: str) -> Callable[[Talk], None]:
    """A script that answers *reply* at a step: 0 the greeting, then one a command, 5 the text."""

    def script(talk: Talk) -> None:
        if step:
            talk.say(GREETING)
            talk.answer(*[OK, OK, OK, b"354 go on\r\n"][: step - 1])
            if step == 5:
                talk.take_text()
            else:
                talk.hear()
        talk.say(reply.encode() + b"\r\n")
        talk.answer(BYE)

    return script


@pytest.mark.parametrize(
    ("step", "reply", "fate", "trouble"),
    [
        (0, "554 no", "later", "The mail server rejected the connection (554)."),
        (
            0,
            "421 4.7.0 later",
            "later",
            "The mail server temporarily rejected the connection (421 4.7.0: it closed the "
            "connection).",
        ),
        (1, "550 no", "later", "The mail server rejected the greeting (550)."),
        (
            2,
            "530 5.7.0 Authentication required",
            "later",
            "The mail server rejected the sender address (530 5.7.0: it requires encryption or "
            "a sign-in first: see GATEPASS_SMTP_URL).",
        ),
        (
            2,
            "553 5.7.1 <gatepass@example.com>: not owned by user",
            "later",
            "The mail server rejected the sender address (553 5.7.1: not permitted).",
        ),
        (
            3,
            "550 5.1.1 <new@example.com>: unknown",
            "never",
            "The mail server rejected the address (550 5.1.1: there is no such mailbox).",
        ),
        (3, "550 gpiv_echoed", "never", "The mail server rejected the address (550)."),
        (
            3,
            "450 4.2.0 greylisted",
            "later",
            "The mail server temporarily rejected the address (450 4.2.0).",
        ),
        (
            3,
            "452 4.2.2 over quota",
            "later",
            "The mail server temporarily rejected the address (452 4.2.2: the mailbox is full).",
        ),
        (4, "554 no valid recipients", "never", "The mail server rejected the mail (554)."),
        (
            5,
            "552 5.3.4 too big",
            "never",
            "The mail server rejected the mail (552 5.3.4: too large).",
        ),
        (
            5,
            "552 too big",
            "never",
            "The mail server rejected the mail (552: too large, or the mailbox is full).",
        ),
        (
            5,
            "451 4.3.0 try again",
            "later",
            "The mail server temporarily rejected the mail (451 4.3.0).",
        ),
        (
            5,
            "550 5.7.99999 \x1b[2J\u202e",
            "never",
            "The mail server rejected the mail (550).",
        ),
    ],
)
def test_what_it_refused(step: int, reply: str, fate: str, trouble: str) -> None:
    outcome = scripted(at(step, reply))
    assert (outcome.fate, outcome.trouble) == (fate, trouble)


def test_starttls_that_is_offered_and_refused() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(b"250-hello\r\n250 STARTTLS\r\n", b"454 4.7.0 TLS not available\r\n")
        talk.answer(BYE)

    assert scripted(script) == Outcome(
        "later",
        "The mail server temporarily rejected STARTTLS (454 4.7.0).",
    )


def test_an_address_that_no_plain_server_takes() -> None:
    def script(talk: Talk) -> None:
        talk.say(GREETING)
        talk.answer(b"250-hello\r\n250 8BITMIME\r\n")
        talk.answer(BYE)

    assert scripted(script, recipient="jörg@example.com") == Outcome(
        "never",
        "The mail server doesn't support non-ASCII characters before the @ (SMTPUTF8).",
    )


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert deliver(f"smtp://127.0.0.1:{free_port()}") == Outcome(
        "later", "The mail server refuses connections."
    )

    def unknown(number: int) -> Callable[..., None]:
        def look_up(*_: object, **__: object) -> None:
            raise socket.gaierror(number, "no")

        return look_up

    for number, trouble in (
        (socket.EAI_NONAME, "The mail server's host name doesn't exist."),
        (
            socket.EAI_AGAIN,
            "The mail server's host name can't be resolved: no name server answers.",
        ),
    ):
        monkeypatch.setattr(socket, "getaddrinfo", unknown(number))
        assert deliver("smtp://mail.example.com") == Outcome("later", trouble)


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "bücher..example"])
def test_a_name_that_is_none(host: str) -> None:
    assert deliver(f"smtp://{host}").trouble.startswith("The mail server's host name ")


def test_connecting_to_nowhere_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert deliver("smtp://127.0.0.1") == Outcome(
        "later", "The mail server doesn't respond: connecting timed out."
    )


def test_an_address_of_a_family_that_this_machine_lacks_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = socket.getaddrinfo

    def also_unknown(host: str, port: int, **options: Any) -> Any:
        known = found("127.0.0.1", port, **options)
        return [(socket.AF_UNIX, socket.SOCK_STREAM, 99, "", "nowhere"), *known]

    with ScriptedServer(Door("PLAIN", b"hunter2")) as server:
        monkeypatch.setattr(socket, "getaddrinfo", also_unknown)
        assert deliver(server.url_for("user", "hunter2")).fate == "delivered"


def test_a_log_line_names_the_server_and_no_credentials() -> None:
    assert Smtp("smtp://us%40er:hunter2@bücher.example", "localhost").name == (
        "smtp://xn--bcher-kva.example:587"
    )


def test_every_trouble_is_a_sentence_that_can_be_shown() -> None:
    """Whatever a server says, what is shown of it is short, printable and plain."""
    wild = ["550 " + "x" * 60_000, "550-\x00\x1b\r\n550 \xff", "599 9.9.9 <script>", "299 hm"]
    for reply in wild:
        for step in (0, 1, 3, 5):
            trouble = scripted(at(step, reply)).trouble
            assert re.fullmatch(r"[A-Z][ -~]{10,200}\.", trouble), trouble
