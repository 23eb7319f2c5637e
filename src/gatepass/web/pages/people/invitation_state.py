"""The state of an invitation and its mail in one line, which claims no more than is known."""

from dataclasses import dataclass
from typing import Literal

from gatepass.core.display_text import isolated
from gatepass.mail.delivery import PostKind
from gatepass.registry.membership.invitations import Invitation

DEMO_MAIL = "/demo/mail"
_INTERRUPTED = "Sending was interrupted. The mail server may or may not have accepted it."
#: How the badge looks: waiting for the recipient, over, or in need of somebody here.
Look = Literal["pending", "over", "late"]


@dataclass(frozen=True)
class State:
    """What ``company/_invitations.html`` shows.

    Attributes:
        words: the state.
        detail: what happened to the mail, or the cause and the remedy; may be "".
        at: when it happened (Unix ms).
        again_at: when sending is next attempted.
        href: the page that shows the mail.
        copied: whether somebody copied the link.
    """

    words: str
    look: Look
    detail: str = ""
    at: int | None = None
    again_at: int | None = None
    href: str = ""
    copied: bool = False


def state_of(invitation: Invitation, post: PostKind, now: int, *, valid: bool) -> State:
    """The state at *now* (Unix ms).

    Args:
        post: how mail is sent.
        valid: whether the inviter may still grant the role.
    """
    if invitation.status in ("accepted", "deactivated"):
        return State(invitation.status.capitalize(), "over")
    if invitation.status == "expired":
        return State("Expired", "late", invitation.delivery_trouble or "")
    if not valid:
        return _broken_link(invitation, post)
    return _of_mail(invitation, post, now)


def _of_mail(invitation: Invitation, post: PostKind, now: int) -> State:
    mail, delivered_at = invitation.mail, invitation.delivered_at
    if delivered_at is not None:
        if post == "page":
            return _pending("On the demo's mail page", at=delivered_at, href=DEMO_MAIL)
        return _pending("Accepted by the mail server", at=delivered_at)
    if mail is not None and mail.in_person:
        return State("Pending", "pending", "Link copied", mail.due_at, copied=True)
    if post == "log":
        return State("Not sent", "late", "No mail server is set up. Copy the link.")
    if mail is None:
        return State("Not sent", "late")
    if mail.state == "given_up":
        return State("Not sent", "late", f"{mail.trouble or ''} Resend it to try again.")
    if mail.state == "handed_over" and (mail.trouble or now >= mail.due_at):
        return State("Unconfirmed", "late", mail.trouble or _INTERRUPTED)
    again = mail.due_at if mail.state == "waiting" else None
    if mail.trouble:
        return State("Not sent yet", "late", mail.trouble, again_at=again)
    return _pending("Queued" if mail.state == "waiting" else "Sending")


def _pending(detail: str, *, at: int | None = None, href: str = "") -> State:
    return State("Pending", "pending", detail, at, href=href)


def _broken_link(invitation: Invitation, post: PostKind) -> State:
    remedy = "Copy a new link." if post == "log" else "Resend it."
    inviter = isolated(invitation.invited_by.name)
    return State("Link broken", "late", f"{inviter} may no longer give this role. {remedy}")


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
        return f"{what} No mail server is set up: copy the link and send it yourself."
    if post == "page":
        return f"{what} The e-mail appears on the demo's mail page."
    return f"{what} The e-mail is queued; the list shows when the mail server has accepted it."
