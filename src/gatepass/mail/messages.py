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
            f"somebody, most likely you, asked for a new password for your account at {company}.",
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
    try:
        return local, parse_domain(host)
    except InvalidDomain:
        return local, host


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
