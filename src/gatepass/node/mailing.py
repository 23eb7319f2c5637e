"""The node's mail: what waits in the registry, written and handed to a mail server.

A mail's text is written, and the link in it made, at the last moment: when the server is ready for
it. In the same transaction the mail is marked as handed over. So a mail that couldn't be sent made
no link, and one that may have been sent isn't sent again.
"""

import logging
import time
from collections.abc import Callable
from email.message import EmailMessage

from gatepass.mail import messages
from gatepass.mail.delivery import Outcome, Post, Smtp, ToLog
from gatepass.mail.messages import Envelope
from gatepass.registry.membership import (
    email_change_links,
    email_changes,
    invitation_links,
    invitations,
    outbox,
    password_resets,
    pending_email_changes,
)
from gatepass.registry.membership.outbox import OutgoingMail
from gatepass.registry.storage.database import Database, Reading, Write
from gatepass.settings import Settings
from gatepass.verify.periodic_task import PeriodicTask

#: Mail that another process has enqueued is found after this long.
_INTERVAL_SECONDS = 1.0
#: What the log says no more than once within so long.
_SILENCE_SECONDS = 60.0

_log = logging.getLogger("gatepass.mail")


class Mailing:
    """Sends what waits.

    Args:
        now: the node's time, Unix ms.

    Attributes:
        post: how mail goes out.
        task: sends due mail in the background, in the process that has the node's duties.
    """

    def __init__(self, settings: Settings, database: Database, now: Callable[[], int]) -> None:
        self._settings = settings
        self._database = database
        self._now = now
        self._troubles = _Troubles()
        self.post: Post = ToLog()
        if settings.smtp_url is not None:
            self.post = Smtp(settings.smtp_url, settings.mail_host)
        self.task = PeriodicTask(
            "mailing", self.send_due, _INTERVAL_SECONDS, log=_log, failure="sending mail failed"
        )

    def wake(self) -> None:
        """Send enqueued mail at once if this process sends the node's mail."""
        self.task.wake()

    def send_due(self) -> None:
        """Send what is due now, one mail after the other.

        Raises:
            Unavailable: the database can't be used.
        """
        while True:
            with self._database.read(self._now()) as reading:
                if not outbox.any_due(reading):
                    return
            with self._database.auxiliary_write(self._now()) as write:
                mail = outbox.claim(write)
            if mail is None:
                return
            self._send(mail)

    def _send(self, mail: OutgoingMail) -> None:
        _, sender = self._settings.sender
        outcome = self.post.deliver(sender, mail.recipient, lambda: self._write(mail))
        if outcome.trouble and outcome.fate != "logged":
            about = f"mail {mail.id}, attempt {mail.attempts}"
            self._troubles.log(f"{self.post.name}: {outcome.trouble}", about)
        with self._database.auxiliary_write(self._now()) as write:
            self._settle(write, mail, outcome)

    def _settle(self, write: Write, mail: OutgoingMail, outcome: Outcome) -> None:
        if outcome.fate == "delivered":
            if outbox.delivered(write, mail) and mail.kind == invitations.INVITATIONS.mail:
                invitations.mail_delivered(write, mail.subject, demo=self.post.kind == "page")
        elif outcome.fate == "later":
            outbox.postpone(write, mail, outcome.trouble)
        elif outcome.fate in ("never", "logged"):
            outbox.give_up(write, mail, outcome.trouble)
        elif outcome.fate == "unknown":
            outbox.note(write, mail, outcome.trouble)

    def _write(self, mail: OutgoingMail) -> EmailMessage | None:
        now = self._now()
        with self._database.auxiliary_write(now) as write:
            if not outbox.hand_over(write, mail):
                return None
            envelope = Envelope(
                mail.id, self._settings.mail_host, self._settings.sender, mail.recipient, now
            )
            message = _WRITERS[mail.kind](write, mail.subject, envelope, self._settings)
            if message is None:
                outbox.drop(write, mail.subject)
            return message


class _Troubles:
    """Warnings in the log, each at most once a minute: a server that is away is away for all."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # When each was logged last, and how often it was kept back since.
        self._logged: dict[str, tuple[float, int]] = {}

    def log(self, trouble: str, about: str = "") -> None:
        """Log *trouble*, and *about* what it was, unless it was logged within the last minute."""
        now = self._monotonic()
        last, kept_back = self._logged.get(trouble, (now - _SILENCE_SECONDS, 0))
        if now - last < _SILENCE_SECONDS:
            self._logged[trouble] = (last, kept_back + 1)
            return
        self._logged[trouble] = (now, 0)
        more = f"{kept_back} more since the last such line" if kept_back else ""
        details = "; ".join(filter(None, (about, more)))
        _log.warning("%s%s", trouble, f" ({details})" if details else "")


def _invitation(
    write: Write, subject: str, envelope: Envelope, settings: Settings
) -> EmailMessage | None:
    letter = invitation_links.make_link(write, subject)
    if letter is None:
        return None
    compose = messages.invitation_to_taken_address if letter.address_taken else messages.invitation
    return compose(
        envelope,
        company=letter.company_name,
        inviter=letter.inviter_name,
        url=f"{settings.public_url}/invitations/{letter.token}",
        expires_at=letter.expires_at,
    )


def _password_reset(
    write: Write, subject: str, envelope: Envelope, settings: Settings
) -> EmailMessage | None:
    letter = password_resets.make_link(write, subject)
    if letter is None:
        return None
    return messages.password_reset(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        url=f"{settings.public_url}/password-resets/{letter.token}",
        expires_at=letter.expires_at,
    )


def _email_change(
    write: Write, subject: str, envelope: Envelope, settings: Settings
) -> EmailMessage | None:
    made = email_change_links.make_link(write, subject)
    if made is None:
        return None
    letter, url = made.letter, f"{settings.public_url}/email-changes/{made.token}"
    if made.address_taken:
        return messages.email_change_to_taken_address(
            envelope,
            company=letter.company_name,
            name=letter.user_name,
            url=url,
            expires_at=made.expires_at,
        )
    return messages.email_change(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        requester=letter.requester_name,
        url=url,
        expires_at=made.expires_at,
    )


def _email_change_requested(
    reading: Reading, subject: str, envelope: Envelope, settings: Settings
) -> EmailMessage | None:
    letter = email_change_links.notice(reading, subject)
    if letter is None:
        return None
    return messages.email_change_requested(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        requester=letter.requester_name,
        new=letter.email,
        url=f"{settings.public_url}/password-resets",
    )


def _email_changed(
    reading: Reading, subject: str, envelope: Envelope, settings: Settings
) -> EmailMessage | None:
    letter = email_change_links.notice(reading, subject)
    if letter is None:
        return None
    return messages.email_changed(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        new=letter.email,
        by_command_line=letter.by_command_line,
        url=f"{settings.public_url}/sign-in",
    )


_Writer = Callable[[Write, str, Envelope, Settings], EmailMessage | None]
_WRITERS: dict[str, _Writer] = {
    invitations.INVITATIONS.mail: _invitation,
    password_resets.PASSWORD_RESETS.mail: _password_reset,
    pending_email_changes.EMAIL_CHANGES.mail: _email_change,
    email_changes.REQUESTED_MAIL: _email_change_requested,
    email_change_links.CHANGED_MAIL: _email_changed,
}
