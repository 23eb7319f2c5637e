"""The state of an invitation's mail, in words that claim no more than is known."""

from dataclasses import dataclass

from gatepass.core.display_text import isolated
from gatepass.mail.delivery import PostKind
from gatepass.registry.membership.invitations import Invitation

DEMO_MAIL = "/demo/mail"
_INTERRUPTED = "Sending was interrupted. The mail server may or may not have accepted it."


@dataclass(frozen=True)
class MailState:
    """What ``company/_invitations.html`` shows.

    Attributes:
        words: the state.
        late: whether the recipient may be waiting for a mail that doesn't come.
        detail: the cause and the remedy, in sentences; may be "".
        at: when the state began (Unix ms).
        again_at: when sending is next attempted.
        href: the page that shows the mail.
    """

    words: str
    late: bool = True
    detail: str = ""
    at: int | None = None
    again_at: int | None = None
    href: str = ""


def mail_state(invitation: Invitation, post: PostKind, now: int) -> MailState | None:
    """The state at *now* (Unix ms); None if it no longer matters. *post*: how mail is sent."""
    one, mail = invitation, invitation.mail
    if one.delivered_at is not None:
        if post == "page":
            return MailState("On the demo's mail page", False, at=one.delivered_at, href=DEMO_MAIL)
        return MailState("Accepted by the mail server", False, at=one.delivered_at)
    if one.status not in ("pending", "expired"):
        return None
    if mail is not None and mail.in_person:
        return MailState("Link copied", False, at=mail.due_at)
    if post == "log":
        return MailState("No mail server", detail="Copy the link and send it yourself.")
    if mail is None or one.status == "expired":
        return MailState("Not sent", detail=one.delivery_trouble or "")
    if mail.state == "given_up":
        trouble = mail.trouble or ""
        return MailState("Not sent", detail=f"{trouble} Resend it to try again.")
    if mail.state == "handed_over" and (mail.trouble or now >= mail.due_at):
        return MailState("Unconfirmed", detail=mail.trouble or _INTERRUPTED)
    again = mail.due_at if mail.state == "waiting" else None
    if mail.trouble:
        return MailState("Not sent yet", detail=mail.trouble, again_at=again)
    return MailState("Queued" if mail.state == "waiting" else "Sending")


def broken_link(invitation: Invitation, post: PostKind) -> MailState:
    """The state of a pending invitation whose inviter may no longer grant its role."""
    remedy = "Copy a new link." if post == "log" else "Resend it."
    inviter = isolated(invitation.invited_by.name)
    return MailState("Link broken", detail=f"{inviter} may no longer give this role. {remedy}")


def said_after(done: str, post: PostKind) -> str:
    """The notice after an invitation was created, resent or deactivated; else ""."""
    if done == "ended":
        return "Invitation deactivated. Its link no longer works."
    if done not in ("invited", "resent"):
        return ""
    what = (
        "Invitation created."
        if done == "invited"
        else "Invitation resent. Earlier links no longer work."
    )
    if post == "log":
        return f"{what} No mail server is configured: copy the link and send it yourself."
    if post == "page":
        return f"{what} The e-mail appears on the demo's mail page."
    return f"{what} The e-mail is queued; the list shows when the mail server has accepted it."
