"""Sends the registry's enqueued mail through the mail server.

A mail's text and its link are created at the last moment, when the server is ready for the text.
The same transaction marks the mail as handed over. So a mail that couldn't be sent has created no
link, and a mail that may have been sent isn't sent again.
"""

import logging
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

from gatepass.core.credentials import ACCESS_TOKEN, ADMIN_KEY, LOGIN_TOKEN, VERIFIER_KEY
from gatepass.core.imported_keys import IMPORTED_KEY
from gatepass.log_limit import LogLimit
from gatepass.mail import messages
from gatepass.mail.delivery import Outcome, Post, Smtp, ToLog
from gatepass.mail.messages import Envelope
from gatepass.registry.membership import (
    access_requests,
    email_change_links,
    email_changes,
    invitation_links,
    invitations,
    outbox,
    password_resets,
    pending_email_changes,
    token_approvals,
)
from gatepass.registry.membership.outbox import OutgoingMail
from gatepass.registry.notifications import (
    decoy_alarms,
    expiry_letters,
    expiry_warnings,
    reported_credentials,
    token_alarms,
)
from gatepass.registry.storage.database import Database, Write
from gatepass.registry.webhooks import notices
from gatepass.registry.webhooks.queue import PAUSED_MAIL
from gatepass.settings import Settings
from gatepass.verify.periodic_task import PeriodicTask

#: Mail that another process has enqueued is found after this long.
_INTERVAL_SECONDS = 1.0


_log = logging.getLogger("gatepass.mail")


class Mailing:
    """Sends enqueued mail.

    Args:
        now: the node's time, Unix ms.

    Attributes:
        post: delivers mail: to the mail server, or to the log if there is none.
        task: sends due mail in the background, in the process that has the node's duties.
    """

    def __init__(self, settings: Settings, database: Database, now: Callable[[], int]) -> None:
        self._settings = settings
        self._database = database
        self._now = now
        self._log_limit = LogLimit()
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
        """Send all due mail, one after the other.

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
            self._log_trouble(mail, f"{self.post.name}: {outcome.trouble}")
        with self._database.auxiliary_write(self._now()) as write:
            self._settle(write, mail, outcome)

    def _settle(self, write: Write, mail: OutgoingMail, outcome: Outcome) -> None:
        if outcome.fate == "delivered":
            if outbox.delivered(write, mail) and mail.kind == invitations.INVITATIONS.mail:
                invitations.mail_delivered(write, mail.subject, demo=self.post.kind == "page")
        elif outcome.fate == "later":
            outbox.postpone(write, mail, outcome.trouble)
        elif outcome.fate in ("never", "logged"):
            held = outbox.give_up(write, mail, outcome.trouble)
            if held and outcome.fate == "logged" and mail.kind == invitations.INVITATIONS.mail:
                invitations.mail_not_sent(write, mail.subject)
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
            find, compose = _WRITERS[mail.kind]
            letter = find(write, mail.subject)
            if letter is None:
                outbox.drop(write, mail.subject)
                return None
            return compose(envelope, letter, self._settings.public_url)

    def _log_trouble(self, mail: OutgoingMail, trouble: str) -> None:
        # An unreachable server fails every mail, so each kind of trouble is logged once a minute.
        left_out = self._log_limit.left_out(trouble)
        if left_out is not None:
            more = f"; {left_out} more since the last such line" if left_out else ""
            _log.warning("%s (mail %s, attempt %d%s)", trouble, mail.id, mail.attempts, more)


def _invitation(envelope: Envelope, letter: invitation_links.Letter, site: str) -> EmailMessage:
    compose = messages.invitation_to_taken_address if letter.address_taken else messages.invitation
    return compose(
        envelope,
        company=letter.company_name,
        inviter=letter.inviter_name,
        url=f"{site}/invitations/{letter.token}",
        expires_at=letter.expires_at,
    )


def _password_reset(envelope: Envelope, letter: password_resets.Letter, site: str) -> EmailMessage:
    return messages.password_reset(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        url=f"{site}/password-resets/{letter.token}",
        expires_at=letter.expires_at,
    )


def _email_change(
    envelope: Envelope, made: email_change_links.LetterWithLink, site: str
) -> EmailMessage:
    letter, url = made.letter, f"{site}/email-changes/{made.token}"
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
    envelope: Envelope, letter: email_change_links.Letter, site: str
) -> EmailMessage:
    return messages.email_change_requested(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        requester=letter.requester_name,
        new=letter.email,
        url=f"{site}/password-resets",
    )


def _email_changed(
    envelope: Envelope, letter: email_change_links.Letter, site: str
) -> EmailMessage:
    return messages.email_changed(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        new=letter.email,
        by_command_line=letter.by_command_line,
        url=f"{site}/sign-in",
    )


def _credential_reported(
    envelope: Envelope, letter: reported_credentials.Letter, site: str
) -> EmailMessage:
    kind, path = _REPORTED[letter.id[:4]]
    return messages.credential_reported(
        envelope,
        company=letter.company,
        name=letter.user_name,
        what=f"{kind} {letter.id}",
        label=letter.label,
        ended=letter.id[:4] != VERIFIER_KEY,
        others=letter.others,
        url=site + path.format(letter.id),
    )


#: Of a reported credential, by its prefix: its name, and the page about it.
_REPORTED = {
    ACCESS_TOKEN: ("access token", "/access-tokens/{}"),
    IMPORTED_KEY: ("access token", "/access-tokens/{}"),
    LOGIN_TOKEN: ("sign-in", "/account/authentications"),
    ADMIN_KEY: ("admin key", "/company/admin-keys"),
    VERIFIER_KEY: ("verifier key", "/company/verifier-keys"),
}


def _decoy_used(envelope: Envelope, letter: decoy_alarms.Letter, site: str) -> EmailMessage:
    return messages.decoy_used(
        envelope,
        company=letter.company,
        name=letter.user_name,
        label=letter.label,
        call=letter.call,
        address=letter.address,
        at=letter.at,
        url=f"{site}/access-tokens/{letter.id}",
    )


def _token_reuse(envelope: Envelope, letter: token_alarms.Letter, site: str) -> EmailMessage:
    return messages.token_reuse(
        envelope,
        company=letter.company,
        name=letter.user_name,
        label=letter.label,
        url=f"{site}/access-tokens/{letter.token}",
    )


def _token_used_late(envelope: Envelope, letter: token_alarms.Letter, site: str) -> EmailMessage:
    return messages.token_used_late(
        envelope,
        company=letter.company,
        name=letter.user_name,
        label=letter.label,
        url=f"{site}/access-tokens/{letter.token}?calls=refused#calls",
    )


def _webhook_paused(envelope: Envelope, letter: notices.Letter, site: str) -> EmailMessage:
    return messages.webhook_paused(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        host=letter.host,
        gone=letter.gone,
        url=f"{site}/company/webhooks/{letter.webhook}",
    )


def _approval_asked(envelope: Envelope, letter: token_approvals.Request, site: str) -> EmailMessage:
    one = letter.count == 1
    return messages.token_approval_asked(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        label=letter.label,
        count=letter.count,
        url=f"{site}/access-tokens" + (f"/{letter.token}" if one else "?status=pending"),
    )


def _token_approved(
    envelope: Envelope, letter: token_approvals.Approved, site: str
) -> EmailMessage:
    return messages.token_approved(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        label=letter.label,
        approver=letter.approver,
        url=f"{site}/access-tokens/{letter.token}",
    )


def _access_requested(
    envelope: Envelope, letter: access_requests.Letter, site: str
) -> EmailMessage:
    call = letter.call
    return messages.access_requested(
        envelope,
        route="" if call is None or call.route is None else f"{call.method} {call.route}",
        address="" if call is None else call.address or "",
        company=letter.company_name,
        name=letter.user_name,
        label=letter.label,
        permission=letter.permission,
        own=letter.own,
        expires_at=letter.expires_at,
        url=f"{site}/access-requests/{letter.request}",
    )


def _access_tokens_ending(
    envelope: Envelope, letter: expiry_letters.Letter, site: str
) -> EmailMessage:
    return messages.access_tokens_ending(
        envelope,
        company=letter.company_name,
        name=letter.user_name,
        tokens=letter.tokens,
        others=letter.others,
        pages=f"{site}/access-tokens",
        list_url=site + _list_of(letter),
    )


def _list_of(letter: expiry_letters.Letter) -> str:
    """The list that has the letter's tokens first."""
    expired = not any(token.days for token in letter.tokens)
    which = "status=expired&sort=expires-desc" if expired else "sort=expires"
    own = all(token.owner is None for token in letter.tokens)
    return f"/access-tokens?{which}" + (f"&owner={letter.user}" if own else "")


# For each kind of mail: what finds its content, None if there is no reason to send it any more, and
# what composes the message.
_WRITERS: dict[str, tuple[Callable[[Write, str], Any], Callable[..., EmailMessage]]] = {
    invitations.INVITATIONS.mail: (invitation_links.make_link, _invitation),
    password_resets.PASSWORD_RESETS.mail: (password_resets.make_link, _password_reset),
    pending_email_changes.EMAIL_CHANGES.mail: (email_change_links.make_link, _email_change),
    email_changes.REQUESTED_MAIL: (email_change_links.notice, _email_change_requested),
    email_change_links.CHANGED_MAIL: (email_change_links.notice, _email_changed),
    reported_credentials.MAIL: (reported_credentials.letter, _credential_reported),
    decoy_alarms.MAIL: (decoy_alarms.letter, _decoy_used),
    token_alarms.REUSE_MAIL: (token_alarms.letter, _token_reuse),
    token_alarms.LATE_USE_MAIL: (token_alarms.letter, _token_used_late),
    PAUSED_MAIL: (notices.letter, _webhook_paused),
    token_approvals.ASKING_MAIL: (token_approvals.request, _approval_asked),
    token_approvals.APPROVED_MAIL: (token_approvals.approved, _token_approved),
    expiry_warnings.MAIL: (expiry_letters.letter, _access_tokens_ending),
    access_requests.MAIL: (access_requests.letter, _access_requested),
}
