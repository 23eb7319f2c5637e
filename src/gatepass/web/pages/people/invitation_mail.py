"""How it stands with an invitation's mail, in words that are true whatever became of it."""

from dataclasses import dataclass

from gatepass.mail.delivery import PostKind
from gatepass.registry.membership.invitations import Invitation

DEMO_MAIL = "/demo/mail"
_INTERRUPTED = "Sending it was interrupted. Nobody knows whether the mail server has it."


@dataclass(frozen=True)
class MailState:
    """What ``company/_invitations.html`` says.

    Attributes:
        words: the state itself.
        late: whether somebody waits for nothing.
        detail: why, and what helps, in sentences; may be "".
        at: when it came to that (Unix ms).
        again_at: when it is tried again.
        href: where the mail can be seen.
    """

    words: str
    late: bool = True
    detail: str = ""
    at: int | None = None
    again_at: int | None = None
    href: str = ""


def mail_state(invitation: Invitation, post: PostKind, now: int) -> MailState | None:
    """The state at *now* (Unix ms), where *post* is how mail goes out; None where it is of no
    interest any more."""
    one, mail = invitation, invitation.mail
    if one.delivered_at is not None:
        if post == "page":
            return MailState("On the demo's mail page", False, at=one.delivered_at, href=DEMO_MAIL)
        return MailState("Delivered", False, at=one.delivered_at)
    if one.status not in ("pending", "expired"):
        return None
    if mail is not None and mail.in_person:
        return MailState("Link copied", False, at=mail.due_at)
    if post == "log":
        return MailState("No mail server is set up", detail="Copy the link and hand it over.")
    if mail is None or one.status == "expired":
        return MailState("Not delivered", detail=one.delivery_trouble or "")
    if mail.state == "given_up":
        trouble = mail.trouble or ""
        return MailState("Not delivered", detail=f"{trouble} It isn't tried again by itself.")
    if mail.state == "handed_over" and (mail.trouble or now >= mail.due_at):
        return MailState("Perhaps delivered", detail=mail.trouble or _INTERRUPTED)
    again = mail.due_at if mail.trouble and mail.state == "waiting" else None
    return MailState("Not delivered yet", detail=mail.trouble or "", again_at=again)


def said_after(done: str, post: PostKind) -> str:
    """What is said after an invitation was made, renewed or ended; "" if nothing was."""
    if done == "ended":
        return "The invitation is deactivated. Its link no longer works."
    if done not in ("invited", "resent"):
        return ""
    what = "Invitation created." if done == "invited" else "Earlier links no longer work."
    if post == "log":
        return f"{what} No mail server is set up: copy the link, and hand it over."
    if post == "page":
        return f"{what} The mail with the link appears on the demo's mail page."
    return f"{what} The mail with the link is being sent; its row says whether it was delivered."
