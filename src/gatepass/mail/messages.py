"""What the mails say, as plain text and as HTML.

Names and addresses come from people, so they can hold anything. In a header nothing but printable
characters is left of them, so no line can be added to it; in HTML they are escaped; and the only
link is ours. No pictures, no tracking, nothing loaded from anywhere.
"""

import email.policy
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

from gatepass.core.display_text import isolated
from gatepass.core.domains import InvalidDomain, parse_domain

_WIDTH = 72
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_BODY = "margin:0;padding:32px 16px;background:#f6f7f9;color:#12161d;font:16px/24px sans-serif"
_CARD = (
    "max-width:520px;margin:0 auto;padding:32px;background:#ffffff;border:1px solid #e1e5eb;"
    "border-radius:10px"
)
_BUTTON = (
    "display:inline-block;padding:10px 20px;background:#1d57cf;color:#ffffff;border-radius:6px;"
    "font-weight:bold;text-decoration:none"
)
_SMALL = "margin:0 0 16px;color:#545d6c;font-size:14px;line-height:20px;word-break:break-all"


@dataclass(frozen=True, slots=True)
class Envelope:
    """From whom to whom.

    Attributes:
        mail_id: the same for each attempt, so that a mail that arrives twice is seen to be one.
        host: of our public address, for the message's own id.
        sender: name and address.
        now: Unix ms.
    """

    mail_id: str
    host: str
    sender: tuple[str, str]
    recipient: str
    now: int


def invitation(
    envelope: Envelope, *, company: str, inviter: str, url: str, expires_at: int
) -> EmailMessage:
    """The mail with an invitation's link. *expires_at* is Unix ms."""
    company, inviter = _person(company), _person(inviter)
    return _message(
        envelope,
        subject=f"{inviter} invited you to {company}",
        before=[f"{inviter} invited you, {_one_line(envelope.recipient)}, to {company}."],
        call="Choose your name and password",
        url=url,
        after=[
            f"The link works once, until {exactly(expires_at)}. After that, {inviter} can send you "
            "a new one.",
            "If you didn't expect this, do nothing: no account is made unless somebody opens the "
            "link and chooses a password.",
        ],
    )


def invitation_to_taken_address(
    envelope: Envelope, *, company: str, inviter: str, url: str, expires_at: int
) -> EmailMessage:
    """The mail of an invitation to an address that another company's user has. *expires_at* is Unix
    ms."""
    company, inviter = _person(company), _person(inviter)
    address = _one_line(envelope.recipient)
    return _message(
        envelope,
        subject=f"{inviter} invited you to {company}",
        before=[
            f"{inviter} invited you, {address}, to {company}.",
            "This address belongs to an account at another company already, and an address can "
            f"belong to one only. To join {company}, ask {inviter} to invite you at another "
            "address. They are not told that you have that account.",
        ],
        call="About this invitation",
        url=url,
        after=[
            f"If you close the other account before {exactly(expires_at)}, this link opens the "
            "invitation after all. Until then it says that it is broken.",
            "If you didn't expect this, do nothing.",
        ],
    )


def email_change(
    envelope: Envelope,
    *,
    company: str,
    name: str,
    requester: str | None,
    url: str,
    expires_at: int,
) -> EmailMessage:
    """The mail to a new address, with the link that makes it count. *expires_at* is Unix ms.

    It doesn't name the present address: a new one that was mistyped is a stranger's.

    Args:
        requester: who asked for it; None for the account's owner.
    """
    company, name = _person(company), _person(name)
    who = "You" if requester is None else _person(requester)
    return _message(
        envelope,
        subject=f"Confirm your new e-mail address for {company}",
        before=[
            f"Hello {name},",
            f"{who} asked to change the e-mail address of your account at {company} to "
            f"{_one_line(envelope.recipient)}.",
        ],
        call="Confirm this address",
        url=url,
        after=[
            f"The link works once, until {exactly(expires_at)}. Until you confirm, the old address "
            "stays.",
            "If you don't know what this is about, do nothing: nothing changes.",
        ],
    )


def email_change_to_taken_address(
    envelope: Envelope, *, company: str, name: str, url: str, expires_at: int
) -> EmailMessage:
    """The mail to a new address that another company's user has. *expires_at* is Unix ms."""
    company, name = _person(company), _person(name)
    return _message(
        envelope,
        subject=f"This address can't be used for {company}",
        before=[
            f"The account of {name} at {company} was to have this e-mail address, "
            f"{_one_line(envelope.recipient)}.",
            "It belongs to an account at another company already, and an address can belong to one "
            f"only. Choose another address for {company}. Nobody there is told that you have that "
            "account.",
        ],
        call="About this change",
        url=url,
        after=[
            f"If you close the other account before {exactly(expires_at)}, this link confirms the "
            "address after all. Until then it says that it is broken.",
            "If you don't know what this is about, do nothing: nothing changes.",
        ],
    )


def email_change_requested(
    envelope: Envelope, *, company: str, name: str, requester: str | None, new: str, url: str
) -> EmailMessage:
    """The mail to the present address, at once.

    Args:
        requester: who asked for it; None for the account's owner.
        url: where a new password is asked for.
    """
    company, name, new = _person(company), _person(name), _one_line(new)
    address = _one_line(envelope.recipient)
    if requester is None:
        # To cancel it isn't enough: the password is known to somebody else.
        who = "Somebody who is signed in as you, and knows your password,"
        otherwise = "reset your password; that"
    else:
        who = _person(requester)
        otherwise = "cancel the change in My account > Profile, or reset your password; a reset"
    return _message(
        envelope,
        subject=f"Your e-mail address at {company} is to change",
        before=[
            f"Hello {name},",
            f"{who} asked to change the e-mail address of your account at {company} from {address} "
            f"to {new}. It changes once the link in the mail to the new address is confirmed.",
            f"If you expected this, you don't need to do anything. Otherwise {otherwise} cancels "
            "the change and ends every sign-in. Then tell an administrator.",
        ],
        call="Set a new password",
        url=url,
        after=["After the change, password resets no longer go to this address."],
    )


def email_changed(
    envelope: Envelope,
    *,
    company: str,
    name: str,
    new: str,
    by_command_line: bool,
    url: str,
) -> EmailMessage:
    """The mail to the former address once the new one counts.

    Args:
        by_command_line: whether whoever runs the server changed it.
        url: where one signs in.
    """
    company, name, new = _person(company), _person(name), _one_line(new)
    how = "on the server" if by_command_line else "through the link in the mail to the new address"
    return _message(
        envelope,
        subject=f"Your e-mail address at {company} has changed",
        before=[
            f"Hello {name},",
            f"The e-mail address of your account at {company} was changed from "
            f"{_one_line(envelope.recipient)} to {new}, {how}. From now on you sign in with the "
            "new one.",
        ],
        call="Sign in",
        url=url,
        after=[
            "If you didn't expect this, tell an administrator of your company at once: unless you "
            "are an operator, they can end the account's sign-ins and request another change of "
            "address. The administrator of this Gatepass server can change the address back.",
        ],
    )


def password_reset(
    envelope: Envelope, *, company: str, name: str, url: str, expires_at: int
) -> EmailMessage:
    """The mail with a password reset's link. *expires_at* is Unix ms."""
    company, name = _person(company), _person(name)
    return _message(
        envelope,
        subject=f"Set a new password for {company}",
        before=[
            f"Hello {name},",
            f"Somebody, most likely you, asked for a new password for your account at {company}.",
        ],
        call="Set a new password",
        url=url,
        after=[
            f"The link works once, until {exactly(expires_at)}. Setting a new password ends every "
            "sign-in there is.",
            "If it wasn't you, do nothing: your password stays as it is.",
        ],
    )


def exactly(at: int) -> str:
    """A time (Unix ms) to the second, for a reader in whatever zone."""
    instant = datetime.fromtimestamp(at // 1000, UTC)
    return f"{instant.day} {_MONTHS[instant.month - 1]} {instant:%Y, %H:%M:%S} UTC"


def mailbox(address: str) -> tuple[str, str]:
    """Local part and host of an address as mail servers take it: an international host by its
    A-labels."""
    local, _, host = address.rpartition("@")
    return local, mail_domain(host)


def mail_domain(host: str) -> str:
    """A host as mail and name servers take it: by its A-labels where it is international."""
    try:
        return parse_domain(host)
    except InvalidDomain:
        return host


def _message(
    envelope: Envelope,
    *,
    subject: str,
    before: Sequence[str],
    call: str,
    url: str,
    after: Sequence[str],
) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    name, address = envelope.sender
    message["From"] = Address(_one_line(name), *mailbox(address))
    message["To"] = Address("", *mailbox(_one_line(envelope.recipient)))
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.fromtimestamp(envelope.now // 1000, UTC))
    message["Message-ID"] = f"<{envelope.mail_id}@{envelope.host}>"
    # No holiday replies (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    text = _text(before, call, url, after)
    message.set_content(text, cte=_encoding(text))
    html = _html(before, call, url, after)
    message.add_alternative(html, subtype="html", cte=_encoding(html))
    return message


def _text(before: Sequence[str], call: str, url: str, after: Sequence[str]) -> str:
    # The link stands on a line of its own, whole: a broken one is the usual trouble with mail.
    paragraphs = [_wrapped(one) for one in before] + [f"{call}:", url]
    return "\n\n".join(paragraphs + [_wrapped(one) for one in after]) + "\n"


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _html(before: Sequence[str], call: str, url: str, after: Sequence[str]) -> str:
    link = escape(url)
    lines = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"></head>',
        f'<body style="{_BODY}"><div style="{_CARD}">',
        *(f'<p style="margin:0 0 16px">{escape(one)}</p>' for one in before),
        f'<p style="margin:24px 0"><a style="{_BUTTON}" href="{link}">{escape(call)}</a></p>',
        f'<p style="{_SMALL}">Or open this address:<br>{link}</p>',
        *(f'<p style="{_SMALL}">{escape(one)}</p>' for one in after),
        "</div></body></html>\n",
    ]
    return "\n".join(lines)


def _encoding(text: str) -> str:
    """As readable as any server allows: bare where it is ASCII with short enough lines."""
    bare = text.isascii() and all(len(line) <= 900 for line in text.splitlines())
    return "7bit" if bare else "quoted-printable"


def _person(name: str) -> str:
    """A person's or company's name for a sentence, which it can't turn round."""
    return isolated(" ".join(_one_line(name).split()))


def _one_line(text: str) -> str:
    """*text* without what could end a header's line, or couldn't be encoded at all."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
