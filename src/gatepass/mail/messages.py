"""The mails, as plain text and HTML.

Names and addresses are user input. In headers only their printable characters are kept, which
prevents header injection; in HTML they are escaped; the only link is ours. No images, no tracking,
no remote content.
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
from gatepass.core.token_warnings import EndingToken

_WIDTH = 72
_HOUR_MS = 3_600_000
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
    """Sender and recipient of a mail.

    Attributes:
        mail_id: the same for each attempt, so that duplicates can be recognised.
        host: the host of our public address, for the Message-ID.
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
    """The mail with an invitation link. *expires_at* is Unix ms."""
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
            "If you didn't expect this, ignore this e-mail: no account is created unless someone "
            "opens the link and chooses a password.",
        ],
    )


def invitation_to_taken_address(
    envelope: Envelope, *, company: str, inviter: str, url: str, expires_at: int
) -> EmailMessage:
    """The invitation mail to an address used at another company. *expires_at* is Unix ms."""
    company, inviter = _person(company), _person(inviter)
    address = _one_line(envelope.recipient)
    return _message(
        envelope,
        subject=f"{inviter} invited you to {company}",
        before=[
            f"{inviter} invited you, {address}, to {company}.",
            "This address already belongs to an account at another company, and each address can "
            f"have only one. To join {company}, ask {inviter} to invite you at another address. "
            "We don't tell them about your other account.",
        ],
        call="About this invitation",
        url=url,
        after=[
            f"If you close the other account before {exactly(expires_at)}, this link will open the "
            "invitation. Until then, it is reported as broken.",
            "If you didn't expect this, ignore this e-mail.",
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
    """The mail to a new address, with the link that confirms it. *expires_at* is Unix ms.

    It doesn't name the current address: a mistyped new one belongs to a stranger.

    Args:
        requester: who requested it; None for the account's owner.
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
            f"The link works once, until {exactly(expires_at)}. Until you confirm, your old "
            "address stays in use.",
            "If you don't recognise this request, ignore this e-mail: nothing changes.",
        ],
    )


def email_change_to_taken_address(
    envelope: Envelope, *, company: str, name: str, url: str, expires_at: int
) -> EmailMessage:
    """The mail to a new address that a user of another company has. *expires_at* is Unix ms."""
    company, name = _person(company), _person(name)
    return _message(
        envelope,
        subject=f"This address can't be used for {company}",
        before=[
            f"Someone asked to change the e-mail address of {name}'s account at {company} to "
            f"{_one_line(envelope.recipient)}.",
            "This address already belongs to an account at another company, and each address can "
            f"have only one. Choose another address for {company}. We don't tell anyone there "
            "about your other account.",
        ],
        call="About this change",
        url=url,
        after=[
            f"If you close the other account before {exactly(expires_at)}, this link will confirm "
            "the address. Until then, it is reported as broken.",
            "If you don't recognise this request, ignore this e-mail: nothing changes.",
        ],
    )


def email_change_requested(
    envelope: Envelope, *, company: str, name: str, requester: str | None, new: str, url: str
) -> EmailMessage:
    """The mail that notifies the current address of a requested change.

    Args:
        requester: who requested it; None for the account's owner.
        url: the page to request a password reset.
    """
    company, name, new = _person(company), _person(name), _one_line(new)
    address = _one_line(envelope.recipient)
    if requester is None:
        # Cancelling isn't enough: someone else knows the password.
        who = "Someone who is signed in as you and knows your password"
        otherwise = "reset your password, which"
    else:
        who = _person(requester)
        otherwise = "cancel the change in My account > Profile, or reset your password, which"
    return _message(
        envelope,
        subject=f"Request to change your e-mail address at {company}",
        before=[
            f"Hello {name},",
            f"{who} asked to change the e-mail address of your account at {company} from {address} "
            f"to {new}. The address changes once the link in the e-mail to the new address is "
            "confirmed.",
            f"If you expected this, you don't need to do anything. Otherwise, {otherwise} cancels "
            "the change and ends every sign-in. Then tell an administrator.",
        ],
        call="Set a new password",
        url=url,
        after=["After the change, password resets are no longer sent to this address."],
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
    """The mail to the previous address after the change.

    Args:
        by_command_line: whether it was changed on the server.
        url: the sign-in page.
    """
    company, name, new = _person(company), _person(name), _one_line(new)
    how = (
        "on the server"
        if by_command_line
        else "confirmed by the link in the e-mail to the new address"
    )
    return _message(
        envelope,
        subject=f"Your e-mail address at {company} has changed",
        before=[
            f"Hello {name},",
            f"The e-mail address of your account at {company} was changed from "
            f"{_one_line(envelope.recipient)} to {new}, {how}. Sign in with the new address from "
            "now on.",
        ],
        call="Sign in",
        url=url,
        after=[
            "If you didn't expect this, tell an administrator of your company immediately. Unless "
            "you are an operator, they can end the account's sign-ins and request another change "
            "of address. The people who run this Gatepass server can change the address back.",
        ],
    )


def password_reset(
    envelope: Envelope, *, company: str, name: str, url: str, expires_at: int
) -> EmailMessage:
    """The mail with a password reset link. *expires_at* is Unix ms."""
    company, name = _person(company), _person(name)
    return _message(
        envelope,
        subject=f"Set a new password for {company}",
        before=[
            f"Hello {name},",
            f"Someone, most likely you, requested a new password for your account at {company}.",
        ],
        call="Set a new password",
        url=url,
        after=[
            f"The link works once, until {exactly(expires_at)}. Setting a new password signs "
            "you out everywhere.",
            "If you didn't request this, ignore this e-mail: your password doesn't change.",
        ],
    )


def credential_reported(
    envelope: Envelope,
    *,
    company: str,
    name: str,
    what: str,
    label: str,
    ended: bool,
    url: str,
    others: int = 0,
) -> EmailMessage:
    """The mail about a credential that somebody found and reported.

    Args:
        what: such as ``access token gpat_4fT0…``: its kind, and its id.
        label: "" if it has none.
        ended: whether the report ended it.
        url: the page to replace it.
        others: how many more were reported with it, and ended.
    """
    company, name, what = _person(company), _person(name), _one_line(what)
    called = f" “{_person(label)}”" if label else ""
    kind = what.partition(" gp")[0]
    now = (
        "We have ended it, and every call with it is refused."
        if ended
        else "It still works, because calls would fail without it. Create another one, exchange it "
        "where it is used, and deactivate this one, as soon as you can."
    )
    return _message(
        envelope,
        subject=f"Leaked {kind}{called} at {company}",
        before=[
            f"Hello {name},",
            f"Somebody who has the text of the {what}{called} reported it as leaked. {now}",
            *_others_reported(others),
        ],
        call="See what it was used for" if ended else "Create another one",
        url=url,
        after=[
            "Find out how the text got out: look into repositories, logs and build output. "
            "`gatepass scan` finds such texts in files and in the history of a repository.",
        ],
    )


def _others_reported(count: int) -> list[str]:
    if not count:
        return []
    more = "One more was" if count == 1 else f"{count:,} more were"
    return [f"{more} reported with it, and ended as well. The audit log names each."]


def decoy_used(
    envelope: Envelope,
    *,
    company: str,
    name: str,
    label: str,
    call: str,
    address: str | None,
    at: int,
    url: str,
) -> EmailMessage:
    """The mail about a decoy that somebody used.

    Args:
        call: what was called, such as ``POST /v1/charges``; "" if it isn't known.
        address: where from; None if it isn't known.
        at: Unix ms.
        url: the decoy's page.
    """
    company, name, label = _person(company), _person(name), _person(label)
    where = f"from {_one_line(address)}" if address else "from an unknown address"
    what = f", for {_one_line(call)}" if call else ""
    return _message(
        envelope,
        subject=f"Somebody used the decoy “{label}” of {company}",
        before=[
            f"Hello {name},",
            f"Somebody used the decoy “{label}” {where}{what}, on {exactly(at)}.",
            "The call was refused like one with a token that doesn't exist. Its sender has read "
            "the place where you left the decoy.",
        ],
        call="See where it was used",
        url=url,
        after=[
            "Look at what else that place holds, and replace it. Further uses are on that page; "
            "there is at most one such mail a minute.",
        ],
    )


def token_reuse(
    envelope: Envelope, *, company: str, name: str, label: str, url: str
) -> EmailMessage:
    """The mail about a family of access tokens that was ended, because one was used again.

    Args:
        url: the page of that token.
    """
    company, name, label = _person(company), _person(name), _person(label)
    return _message(
        envelope,
        subject=f"The access token “{label}” at {company} may be stolen, and was ended",
        before=[
            f"Hello {name},",
            f"The access token “{label}” rotates itself. An old text of it was used to rotate it "
            "once more, although the new one was in use already. So two programs have a text of "
            "it, and one of them may be a thief's. All tokens that follow from the same one were "
            "ended, and every call with them is refused.",
        ],
        call="See what it was used for",
        url=url,
        after=[
            "Find out who used the old text, and how it got out. Two jobs that share a token do "
            "this, too: give each its own. Then create a new token.",
        ],
    )


def token_used_late(
    envelope: Envelope, *, company: str, name: str, label: str, url: str
) -> EmailMessage:
    """The mail about calls with an old text of an access token that has rotated itself.

    Args:
        url: the page of the token that was used, with the calls that were refused.
    """
    company, name, label = _person(company), _person(name), _person(label)
    return _message(
        envelope,
        subject=f"An old text of the access token “{label}” at {company} is used",
        before=[
            f"Hello {name},",
            f"The access token “{label}” has rotated itself, and something still uses its old "
            "text. These calls are refused. The new token works on.",
        ],
        call="See these calls",
        url=url,
        after=[
            "Most likely a job kept the old text. If the address isn't one of yours, the text was "
            "stolen: find out how it got out. We tell you of it once a day.",
        ],
    )


def webhook_paused(
    envelope: Envelope, *, company: str, name: str, host: str, gone: bool, url: str
) -> EmailMessage:
    """The mail to an administrator about a webhook that Gatepass paused.

    Args:
        host: of the webhook.
        gone: whether its receiver answered 410.
        url: the webhook's page.
    """
    company, name, host = _person(company), _person(name), _one_line(host)
    why = (
        f"{host} answered 410 Gone to an event of {company}, which asks for no more of them."
        if gone
        else f"For three days, {host} hasn't accepted an event of {company}."
    )
    return _message(
        envelope,
        subject=f"The webhook {host} of {company} is paused",
        before=[
            f"Hello {name},",
            f"{why} So its webhook is paused, and gets nothing more.",
            "Events wait for up to 30 days. When you resume the webhook, they are sent in order.",
        ],
        call="Look at the webhook",
        url=url,
        after=["If the receiver isn't needed any more, delete the webhook there."],
    )


def token_approval_asked(
    envelope: Envelope, *, company: str, name: str, label: str, count: int, url: str
) -> EmailMessage:
    """The mail that asks a second person to approve access tokens.

    Args:
        label: of the token, or of one of them.
        count: how many there are.
        url: the page to approve it, or a list of them.
    """
    company, name, label = _person(company), _person(name), _person(label)
    one = count == 1
    what = f"The access token “{label}”" if one else f"{count} access tokens"
    it, waits = ("it", "waits") if one else ("they", "wait")
    return _message(
        envelope,
        subject=f"{what} of {company} {waits} for your approval",
        before=[
            f"Hello {name},",
            f"{what} of {company} {waits} for the approval of a second person. Until then, every "
            f"call with {'it' if one else 'them'} is refused.",
        ],
        call="Look at it" if one else "Look at them",
        url=url,
        after=[
            f"After seven days without approval, {it} will be deactivated. To refuse "
            f"{'it' if one else 'one'}, deactivate it.",
        ],
    )


def token_approved(
    envelope: Envelope, *, company: str, name: str, label: str, approver: str, url: str
) -> EmailMessage:
    """The mail to the owner of an access token that was approved. *url* is its page."""
    company, name, label = _person(company), _person(name), _person(label)
    return _message(
        envelope,
        subject=f"The access token “{label}” of {company} is approved",
        before=[
            f"Hello {name},",
            f"{_person(approver)} approved the access token “{label}” of {company}. It works from "
            "now on.",
        ],
        call="Look at it",
        url=url,
        after=["If you don't know this token, deactivate it on its page."],
    )


def access_requested(
    envelope: Envelope,
    *,
    company: str,
    name: str,
    label: str,
    permission: str,
    own: bool,
    route: str,
    address: str,
    expires_at: int,
    url: str,
) -> EmailMessage:
    """The mail about an access token that asks for a permission.

    It doesn't have the justification: the token's holder may be a stranger.

    Args:
        own: whether the token is the reader's.
        route, address: of the call that was refused, its method and the catalogue's path; each may
            be "".
        expires_at: until when it can be answered, Unix ms.
        url: the page to answer.
    """
    company, name, label = _person(company), _person(name), _person(label)
    whose = "your access token" if own else "the access token"
    call = [_one_line(route)] if route else []
    call += [f"from {_one_line(address)}"] if address else []
    did = " ".join(["called", *call, "and was refused"]) if call else "was refused"
    return _message(
        envelope,
        subject=f"{whose.capitalize()} “{label}” at {company} asks for {_one_line(permission)}",
        before=[
            f"Hello {name},",
            f"A program that uses {whose} “{label}” {did}, because the token lacks "
            f"{_one_line(permission)}, and asks for it. Until somebody allows it, these calls stay "
            "refused.",
        ],
        call="Look at it and answer",
        url=url,
        after=[
            f"It can be answered until {exactly(expires_at)}. If you don't expect it, deny it, and "
            "find out who has the token.",
        ],
    )


def access_tokens_ending(
    envelope: Envelope,
    *,
    company: str,
    name: str,
    tokens: Sequence[EndingToken],
    others: int,
    pages: str,
    list_url: str,
) -> EmailMessage:
    """The mail about access tokens that end soon, or have ended.

    Args:
        tokens: at least one.
        others: how many more there are.
        pages: the address of tokens' pages, without a token's id.
        list_url: the list with all of them.
    """
    company, name = _person(company), _person(name)
    number = len(tokens) + others
    soon, ended = any(token.days for token in tokens), not all(token.days for token in tokens)
    only = tokens[0] if number == 1 else None
    if only is None:
        what = ["end soon"] * soon + ["have ended"] * ended
        subject = f"{number:,} access tokens at {company} {' or '.join(what)}"
    else:
        subject = (
            f"The access token “{_person(only.label)}” at {company} {_ends(only, envelope.now)}"
        )
    why = "the token is yours" if only else "the tokens are yours"
    if any(token.owner is not None for token in tokens):
        which = "the token belongs" if only else "some of the tokens belong"
        why = f"you are an administrator of {company}, and {which} to no user"
    first = f" These are the first {len(tokens)}:" if others else ""
    rotate = (
        "Rotate a token to replace it without a gap: the new one works at once, and the old one "
        "until it isn't used any more."
    )
    return _message(
        envelope,
        subject=subject,
        before=[
            f"Hello {name},",
            f"{subject}. Calls with a token that has ended are refused.{first}",
        ],
        items=[_item(token, pages, envelope.now) for token in tokens],
        call="See the access token" if only else "See the list",
        url=f"{pages}/{only.id}" if only else list_url,
        after=[*([rotate] if soon else []), f"You get this e-mail because {why}."],
    )


def _item(token: EndingToken, pages: str, now: int) -> "_Item":
    page = f"{pages}/{token.id}"
    belongs = f"Belongs to {_person(token.owner)}. " if token.owner is not None else ""
    links = [("Show", page)] + [("Rotate", f"{page}/rotate")] * bool(token.days)
    return _Item(
        f"{_person(token.label)} ({token.id})",
        f"{belongs}{_ends(token, now).capitalize()}: {exactly(token.ends_at)}. {_last_use(token)}",
        links,
    )


def _ends(token: EndingToken, now: int) -> str:
    """Such as "expires in 7 days"."""
    if not token.days:
        return "has expired"
    hours = round((token.ends_at - now) / _HOUR_MS)
    left = _counted(token.days, "day") if hours >= 24 else _counted(max(1, hours), "hour")
    return (
        f"expires in {left}" if token.because == "expiry" else f"ends in {left} unless it is used"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _last_use(token: EndingToken) -> str:
    if token.last_used_at is None:
        return "Never used."
    by = f", by {_counted(token.callers, 'caller')} within a day" if token.callers else ""
    return f"Last used {exactly(token.last_used_at)}{by}."


def exactly(at: int) -> str:
    """A time (Unix ms) in UTC, to the second."""
    instant = datetime.fromtimestamp(at // 1000, UTC)
    return f"{instant.day} {_MONTHS[instant.month - 1]} {instant:%Y, %H:%M:%S} UTC"


def mailbox(address: str) -> tuple[str, str]:
    """Local part and host of an address for mail servers: an international host by its A-labels."""
    local, _, host = address.rpartition("@")
    return local, mail_domain(host)


def mail_domain(host: str) -> str:
    """A host for mail and name servers: an international one by its A-labels."""
    try:
        return parse_domain(host)
    except InvalidDomain:
        return host


@dataclass(frozen=True, slots=True)
class _Item:
    """One of several records that a mail is about, with titles and addresses of its links."""

    title: str
    text: str
    links: Sequence[tuple[str, str]]


def _message(
    envelope: Envelope,
    *,
    subject: str,
    before: Sequence[str],
    items: Sequence[_Item] = (),
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
    text = _text(before, items, call, url, after)
    message.set_content(text, cte=_encoding(text))
    html = _html(before, items, call, url, after)
    message.add_alternative(html, subtype="html", cte=_encoding(html))
    return message


def _text(
    before: Sequence[str], items: Sequence[_Item], call: str, url: str, after: Sequence[str]
) -> str:
    # Links have a line of their own, because mail programs break links in running text.
    paragraphs = [_wrapped(one) for one in before]
    paragraphs += [
        "\n".join(
            [_wrapped(item.title), _wrapped(item.text)]
            + [f"{title}: {address}" for title, address in item.links]
        )
        for item in items
    ]
    paragraphs += [f"{call}:", url]
    return "\n\n".join(paragraphs + [_wrapped(one) for one in after]) + "\n"


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _html(
    before: Sequence[str], items: Sequence[_Item], call: str, url: str, after: Sequence[str]
) -> str:
    link = escape(url)
    lines = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"></head>',
        f'<body style="{_BODY}"><div style="{_CARD}">',
        *(f'<p style="margin:0 0 16px">{escape(one)}</p>' for one in before),
        *map(_html_item, items),
        f'<p style="margin:24px 0"><a style="{_BUTTON}" href="{link}">{escape(call)}</a></p>',
        f'<p style="{_SMALL}">Or open this address:<br>{link}</p>',
        *(f'<p style="{_SMALL}">{escape(one)}</p>' for one in after),
        "</div></body></html>\n",
    ]
    return "\n".join(lines)


def _html_item(item: _Item) -> str:
    links = " · ".join(
        f'<a href="{escape(address)}">{escape(title)}</a>' for title, address in item.links
    )
    text = f"<strong>{escape(item.title)}</strong><br>{escape(item.text)}<br>{links}"
    return f'<p style="margin:0 0 16px">{text}</p>'


def _encoding(text: str) -> str:
    """The most readable encoding that any server accepts: 7bit for ASCII with short lines."""
    bare = text.isascii() and all(len(line) <= 900 for line in text.splitlines())
    return "7bit" if bare else "quoted-printable"


def _person(name: str) -> str:
    """A person's or company's name, isolated so that it can't reorder the sentence around it."""
    return isolated(" ".join(_one_line(name).split()))


def _one_line(text: str) -> str:
    """*text* without characters that could end a header line or can't be encoded."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
