"""Getting a message to a mail server (SMTP, RFC 5321), and telling what became of it.

Certificates are always checked. A password never goes over the wire in the clear, but for a server
on this very machine. What a server says is not passed on: it may quote what it was sent.
"""

import email.policy
import ipaddress
import logging
import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal, Protocol
from urllib.parse import unquote, urlsplit

from gatepass.mail.messages import mailbox

#: How long any step of a conversation may take.
TIMEOUT_S = 10.0

_log = logging.getLogger("gatepass.mail")

Fate = Literal["delivered", "later", "never", "unknown", "withdrawn"]
#: Called when the server is ready for the text: the message, or None if it shall not go out after
#: all. From then on the message's fate is unknown until the server has answered.
Write = Callable[[], EmailMessage | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message.

    Attributes:
        fate: ``delivered``; ``later`` and ``never``: it was not sent, and may be tried again, or
            not; ``unknown``: the connection was lost while it was being sent; ``withdrawn``: it
            was not to be sent any more.
        trouble: what went wrong, in a sentence for whoever waits for it.
    """

    fate: Fate
    trouble: str = ""


class Post(Protocol):
    """A way for mail to go out."""

    def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
        """Send what *write* returns. Whatever goes wrong with the server is in the outcome."""
        ...


class ToLog:
    """Without a mail server: the text goes to the log, its link included. That is the only place
    where a log may hold one."""

    def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
        """Log the message."""
        message = write()
        if message is None:
            return Outcome("withdrawn")
        part = message.get_body(("plain",))
        text = "" if part is None else "\n".join(part.get_content().splitlines())
        _log.info("no GATEPASS_SMTP_URL, so this mail to %s stays here:\n%s", recipient, text)
        return Outcome("delivered")


class Smtp:
    """A mail server.

    Args:
        url: ``smtp://user:password@host:port`` (STARTTLS where it is offered; port 587, without a
            user 25) or ``smtps://…`` (TLS from the start; port 465).
        name: what we call ourselves.
        tls: how certificates are checked.
    """

    def __init__(self, url: str, name: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._implicit = parts.scheme == "smtps"
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._host = parts.hostname or ""
        self._port = parts.port or (465 if self._implicit else 587 if self._user else 25)
        self._name = name
        self._tls = tls or ssl.create_default_context()

    def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
        """Send what *write* returns, in one conversation."""
        sender, recipient = "@".join(mailbox(sender)), "@".join(mailbox(recipient))
        sending = _Sending(sender, recipient, write)
        try:
            connection = self._connect()
        except _Untrusted as error:
            return Outcome("later", str(error))
        except ssl.SSLError:
            return Outcome("later", "The mail server's certificate can't be trusted.")
        except smtplib.SMTPAuthenticationError:
            return Outcome("later", "The mail server doesn't accept our password.")
        except (smtplib.SMTPException, OSError, UnicodeError):
            return Outcome("later", "The mail server can't be reached.")
        try:
            return sending.converse(connection)
        finally:
            _leave(connection)

    def _connect(self) -> smtplib.SMTP:
        connection: smtplib.SMTP
        if self._implicit:
            connection = smtplib.SMTP_SSL(
                self._host, self._port, self._name, timeout=TIMEOUT_S, context=self._tls
            )
        else:
            connection = smtplib.SMTP(self._host, self._port, self._name, timeout=TIMEOUT_S)
        try:
            connection.ehlo_or_helo_if_needed()
            secret = self._implicit
            if not self._implicit and connection.has_extn("starttls"):
                connection.starttls(context=self._tls)
                connection.ehlo()
                secret = True
            if self._user:
                # Whoever stands in between can take the offer of STARTTLS away.
                if not secret and not _is_on_this_machine(connection):
                    raise _Untrusted(
                        "The mail server offers no encryption, and our password isn't sent without."
                    )
                connection.login(self._user, self._password)
        except BaseException:
            connection.close()
            raise
        return connection


class _Untrusted(Exception):
    pass


class _Sending:
    """One message's way from MAIL FROM to the answer to its text."""

    def __init__(self, sender: str, recipient: str, write: Write) -> None:
        self._sender = sender
        self._recipient = recipient
        self._write = write

    def converse(self, connection: smtplib.SMTP) -> Outcome:
        options: list[str] = []
        policy = email.policy.SMTP
        if not (self._sender + self._recipient).isascii():
            if not connection.has_extn("smtputf8"):
                return Outcome("never", "The mail server takes no addresses beyond plain ASCII.")
            options = ["SMTPUTF8", "BODY=8BITMIME"]
            policy = email.policy.SMTPUTF8
        try:
            code, _ = connection.mail(self._sender, options)
            if code != 250:
                return _refused(code, "our address as the sender")
            code, _ = connection.rcpt(self._recipient)
            if code not in (250, 251):
                return _refused(code, "the address")
        except (smtplib.SMTPException, OSError):
            return Outcome("later", "The connection to the mail server was lost.")
        message = self._write()
        if message is None:
            return Outcome("withdrawn")
        try:
            code, _ = connection.data(message.as_bytes(policy=policy))
        except smtplib.SMTPDataError as refusal:
            # To the command alone: nothing of the text was sent.
            return _refused(refusal.smtp_code, "the mail")
        except (smtplib.SMTPException, OSError):
            return Outcome(
                "unknown",
                "The connection to the mail server was lost before it said whether it has the "
                "mail.",
            )
        return Outcome("delivered") if code == 250 else _refused(code, "the mail")


def _refused(code: int, what: str) -> Outcome:
    if 500 <= code <= 599:
        return Outcome("never", f"The mail server refuses {what} ({code}).")
    return Outcome("later", f"The mail server doesn't take {what} for now ({code}).")


def _is_on_this_machine(connection: smtplib.SMTP) -> bool:
    assert connection.sock is not None  # it is connected
    address = ipaddress.ip_address(str(connection.sock.getpeername()[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _leave(connection: smtplib.SMTP) -> None:
    # What the server says to a farewell changes nothing.
    with suppress(smtplib.SMTPException, OSError):
        connection.quit()
    connection.close()
