"""Sending a mail to a mail server, and reporting the outcome.

Certificates are always verified. A password is never sent in the clear, except to a server on this
machine. Of a server's reply only the codes are passed on, because it may quote what it was sent.
"""

import email.policy
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal, Protocol
from urllib.parse import urlsplit

from gatepass.mail import trouble
from gatepass.mail.authentication import authenticate, credential
from gatepass.mail.conversation import Conversation, ConversationFailed, Limits, Reply
from gatepass.mail.messages import mail_domain, mailbox

_log = logging.getLogger("gatepass.mail")

Fate = Literal["delivered", "later", "never", "unknown", "withdrawn", "logged"]
#: How mail is sent: to a mail server, to the log if none is configured, or to the demo's mail page.
PostKind = Literal["server", "log", "page"]
#: Called when the server is ready for the text: the message, or None to withdraw it. From then on
#: the outcome is unknown until the server has replied.
Write = Callable[[], EmailMessage | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of sending a message.

    Attributes:
        fate: ``delivered``; ``later`` and ``never``: it was not sent, and may be tried again, or
            not; ``unknown``: the connection was lost while it was being sent; ``withdrawn``: it
            was not to be sent any more; ``logged``: for want of a mail server.
        trouble: the error, as a sentence for the sender.
    """

    fate: Fate
    trouble: str = ""


class Post(Protocol):
    """A way to send mail.

    Attributes:
        kind: its destination.
        name: the same for the log, without credentials.
    """

    kind: PostKind
    name: str

    def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
        """Send what *write* returns. The outcome holds the server's errors."""
        ...


class ToLog:
    """Writes mail to the log if no mail server is configured. No other log line contains a link."""

    kind: PostKind = "log"
    name = "the log"

    def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
        """Log the message that *write* returns."""
        message = write()
        if message is None:
            return Outcome("withdrawn")
        part = message.get_body(("plain",))
        text = "" if part is None else "\n".join(part.get_content().splitlines())
        _log.warning("GATEPASS_SMTP_URL isn't set; mail to %s not sent:\n%s", recipient, text)
        return Outcome("logged", trouble.NO_SERVER)


class Smtp:
    """A mail server.

    Args:
        url: ``smtp://user:password@host:port`` (STARTTLS where it is offered; port 587, without a
            user 25) or ``smtps://…`` (TLS from the start; port 465).
        name: our host name in EHLO.
        tls: how certificates are verified.
        limits: the time and bytes one conversation may take.
    """

    kind: PostKind = "server"

    def __init__(
        self, url: str, name: str, tls: ssl.SSLContext | None = None, limits: Limits | None = None
    ) -> None:
        parts = urlsplit(url)
        self._implicit = parts.scheme == "smtps"
        self._user = credential(parts.username or "")
        self._password = credential(parts.password or "")
        self._host = mail_domain(parts.hostname or "")
        self._port = parts.port or (465 if self._implicit else 587 if self._user else 25)
        self._own_name = name
        self._tls = tls or ssl.create_default_context()
        self._limits = limits or Limits()
        self.name = f"{parts.scheme}://{self._host}:{self._port}"

    def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
        """Send the message that *write* returns, in one conversation."""
        try:
            conversation = Conversation(self._host, self._port, self._limits)
        except ConversationFailed as failure:
            return Outcome("later", str(failure))
        try:
            self._open(conversation)
            outcome = _Sending(sender, recipient, write).converse(conversation)
            conversation.leave()
        except ConversationFailed as failure:
            return Outcome("later", str(failure))
        finally:
            conversation.close()
        return outcome

    def _open(self, conversation: Conversation) -> None:
        """Connect, encrypt and sign in.

        Raises:
            ConversationFailed: one of these failed.
        """
        if self._implicit:
            self._encrypt(conversation)
        try:
            self._require(conversation.greeting(), 220, "the connection")
        except ConversationFailed as failure:
            if self._port == 465 and not self._implicit:
                raise ConversationFailed(f"{failure} {trouble.TLS_FROM_THE_START}") from None
            raise
        self._require(conversation.greet(self._own_name), 250, "the greeting")
        if not self._implicit and "STARTTLS" in conversation.extensions:
            self._require(conversation.command("STARTTLS"), 220, "STARTTLS")
            self._encrypt(conversation)
            self._require(conversation.greet(self._own_name), 250, "the greeting")
        if self._user:
            self._sign_in(conversation)

    def _encrypt(self, conversation: Conversation) -> None:
        try:
            conversation.encrypt(self._tls)
        except ssl.SSLError as error:
            raise ConversationFailed(trouble.of_tls(error)) from None

    def _sign_in(self, conversation: Conversation) -> None:
        # An attacker in between can strip the STARTTLS offer.
        if not conversation.encrypted and not conversation.is_on_this_machine():
            raise ConversationFailed(trouble.NOT_ENCRYPTED)
        reply = authenticate(conversation, self._user, self._password)
        if reply.code != 235:
            raise ConversationFailed(trouble.of_sign_in(reply))

    def _require(self, reply: Reply, code: int, what: str) -> None:
        if reply.code != code:
            raise ConversationFailed(trouble.of_refusal(reply, what))


class _Sending:
    """The transaction of one message, from MAIL FROM to the reply to its text."""

    def __init__(self, sender: str, recipient: str, write: Write) -> None:
        self._sender = "@".join(mailbox(sender))
        self._recipient = "@".join(mailbox(recipient))
        self._write = write

    def converse(self, conversation: Conversation) -> Outcome:
        international = not (self._sender + self._recipient).isascii()
        if international and not {"SMTPUTF8", "8BITMIME"} <= conversation.extensions.keys():
            return Outcome("never", trouble.NO_SMTPUTF8)
        options = " SMTPUTF8 BODY=8BITMIME" if international else ""
        reply = conversation.command(f"MAIL FROM:<{self._sender}>{options}", "MAIL FROM")
        if reply.code != 250:
            # An operator can fix that; then the mail can be sent.
            return Outcome("later", trouble.of_refusal(reply, "the sender address"))
        reply = conversation.command(f"RCPT TO:<{self._recipient}>", "RCPT TO")
        if reply.code not in (250, 251):
            return _refused(reply, "the address")
        return self._hand_over(conversation, international)

    def _hand_over(self, conversation: Conversation, international: bool) -> Outcome:
        message = self._write()
        if message is None:
            return Outcome("withdrawn")
        policy = email.policy.SMTPUTF8 if international else email.policy.SMTP
        text = message.as_bytes(policy=policy)
        reply = conversation.command("DATA")
        if reply.code != 354:
            return _refused(reply, "the mail")
        try:
            reply = conversation.text(text)
        except ConversationFailed as failure:
            return Outcome("unknown", f"{failure} {trouble.UNKNOWN}")
        return Outcome("delivered") if reply.code == 250 else _refused(reply, "the mail")


def _refused(reply: Reply, what: str) -> Outcome:
    return Outcome("never" if reply.code >= 500 else "later", trouble.of_refusal(reply, what))
