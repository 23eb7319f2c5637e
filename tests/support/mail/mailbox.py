"""An SMTP server on loopback that stores messages, and can be told to misbehave."""

import re
import threading
from collections import deque
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.support.processes.ports import free_port
from tests.support.waiting import LIMIT_S

_LINK = re.compile(
    r"^(https?://\S+/(?:invitations|password-resets|email-changes)/\S+)$", re.MULTILINE
)


class Mailbox:
    """A mail server that accepts every recipient; a context manager that starts and stops it.

    Attributes:
        messages: the accepted messages, in order.
        recipients: the envelopes' recipients.
        tried: the number of RCPT commands.
        at_rcpt, at_data: the next answers instead of 250, one per mail.
        cut_at_data: whether it accepts the next message and closes the connection without an
            answer.
    """

    def __init__(self, port: int = 0, **options: Any) -> None:
        self.port = port or free_port()
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.tried = 0
        self.at_rcpt: deque[str] = deque()
        self.at_data: deque[str] = deque()
        self.cut_at_data = False
        self._arrived = threading.Condition()
        self._controller = Controller(self, "127.0.0.1", self.port, **options)

    @property
    def url(self) -> str:
        """The GATEPASS_SMTP_URL of this server."""
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> "Mailbox":
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def wait(self, messages: int = 1, *, seconds: float = LIMIT_S) -> None:
        """Wait until so many messages have arrived."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= messages, seconds)

    def link(self, number: int = -1) -> str:
        """The link in the text part of a message, by default the latest."""
        return link_in(self.messages[number])

    def token(self, number: int = -1) -> str:
        """The last path segment of that link."""
        return self.link(number).rpartition("/")[2]

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        self.tried += 1
        if self.at_rcpt:
            return self.at_rcpt.popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.at_data:
            return self.at_data.popleft()
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        with self._arrived:
            self.messages.append(message)
            self.recipients += envelope.rcpt_tos
            self._arrived.notify_all()
        if self.cut_at_data:
            self.cut_at_data = False
            server.transport.abort()
        return "250 OK"


def link_in(message: EmailMessage) -> str:
    """The link in a message's text part, on its own line."""
    part = message.get_body(("plain",))
    assert part is not None
    found = _LINK.search("\n".join(part.get_content().splitlines()))
    assert found is not None
    return found[1]
