import re
from dataclasses import replace
from email import message_from_bytes, message_from_string, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.errors import InvalidInput
from gatepass.core.token_warnings import EndingToken
from gatepass.mail import messages
from gatepass.mail.messages import Envelope, exactly, invitation, mailbox, password_reset
from gatepass.registry.input.emails import read_email
from tests.support.mail.mailbox import link_in

URL = "https://tokens.example.com/invitations/gpiv_" + "a" * 54
ENVELOPE = Envelope(
    "mail_1", "tokens.example.com", ("Gatepass", "gatepass@example.com"), "new@example.com", 0
)


def arrived(message: EmailMessage) -> EmailMessage:
    """The message as its recipient reads it."""
    read = message_from_bytes(message.as_bytes(policy=policy.SMTP), policy=policy.default)
    assert isinstance(read, EmailMessage)
    assert read.defects == []
    return read


def made(company: str = "Northwind", inviter: str = "Ada Lovelace") -> EmailMessage:
    return arrived(
        invitation(
            ENVELOPE, company=company, inviter=inviter, url=URL, expires_at=1_800_000_000_999
        )
    )


def parts(message: EmailMessage) -> tuple[str, str]:
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


def test_an_invitation_says_who_invites_whom_to_what_and_until_when() -> None:
    message = made()
    text, html = parts(message)
    assert message["Subject"] == "Ada Lovelace invited you to Northwind"
    assert message["From"] == "Gatepass <gatepass@example.com>"
    assert message["To"] == "new@example.com"
    assert message["Message-ID"] == "<mail_1@tokens.example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    for part in (text, html):
        read = " ".join(part.split())
        assert "Ada Lovelace invited you, new@example.com, to Northwind." in read
        assert "15 January 2027, 08:00:00 UTC" in read
        assert URL in read
    assert link_in(message) == URL
    # Whole on the wire too: ASCII isn't encoded.
    assert URL.encode() in message.as_bytes()


def test_a_password_reset_says_whose_and_until_when() -> None:
    message = arrived(
        password_reset(ENVELOPE, company="Northwind", name="Ada", url=URL, expires_at=0)
    )
    text, html = parts(message)
    assert message["Subject"] == "Set a new password for Northwind"
    for part in (text, html):
        assert "1 January 1970, 00:00:00 UTC" in " ".join(part.split())
        assert URL in part


@pytest.mark.parametrize(
    "name",
    [
        "Eve\r\nBcc: everybody@example.com",
        "Eve\nBcc: everybody@example.com\n\nHello",
        "Eve\x0bBcc: x\x85Bcc: y\u2028Bcc: z",
        "\ud800",
        "=?utf-8?q?Bcc=3A_x?=",
        "Grüße 🎟 " * 12,
        "<b>bold</b>&amp;\"'",
        "\x00",
        "",
    ],
)
def test_no_name_adds_a_header_or_a_tag(name: str) -> None:
    message = made(name, name)
    headers = {key.lower() for key in message}
    assert headers == {
        "from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version",
        "content-type",
    }  # fmt: skip
    assert "<b>" not in parts(message)[1]
    assert link_in(message) == URL
    assert all(len(line) < 998 for line in message.as_bytes().splitlines())


def test_what_is_not_ascii_arrives_as_it_was() -> None:
    message = made("Müller & Söhne 株式会社", "Ünal")
    assert message["Subject"] == "Ünal invited you to Müller & Söhne 株式会社"
    assert "Müller & Söhne 株式会社" in " ".join(parts(message)[0].split())
    assert message.as_bytes(policy=policy.SMTP).isascii()
    assert link_in(message) == URL


def every_mail(name: str) -> list[EmailMessage]:
    """Each kind of mail, with *name* as every name in it."""
    whose = {"company": name, "name": name, "url": URL}
    until = {"expires_at": 1_800_000_000_999}
    new = {"new": "new@example.com"}
    invites = {"company": name, "inviter": name, "url": URL} | until
    written = [
        messages.invitation(ENVELOPE, **invites),
        messages.invitation_to_taken_address(ENVELOPE, **invites),
        messages.email_change(ENVELOPE, requester=name, **whose, **until),
        messages.email_change(ENVELOPE, requester=None, **whose, **until),
        messages.email_change_to_taken_address(ENVELOPE, **whose, **until),
        messages.email_change_requested(ENVELOPE, requester=name, **whose, **new),
        messages.email_change_requested(ENVELOPE, requester=None, **whose, **new),
        messages.email_changed(ENVELOPE, by_command_line=False, **whose, **new),
        messages.password_reset(ENVELOPE, **whose, **until),
        messages.credential_reported(
            ENVELOPE,
            what="access token gpat_0000000000000000",
            label=name,
            ended=True,
            others=2,
            **whose,
        ),
        messages.credential_reported(
            ENVELOPE, what="sign-in gplt_0000000000000000", label="", ended=False, **whose
        ),
        messages.token_reuse(ENVELOPE, label=name, **whose),
        messages.token_used_late(ENVELOPE, label=name, **whose),
    ]
    return [arrived(one) for one in written]


@pytest.mark.parametrize("name", ["\u202eliame", "\u2066Eve\u2069\u2069", "לילה\u202e", "\u3164"])
def test_no_name_turns_a_sentence_round(name: str) -> None:
    """In plain text a name that could is isolated by U+2068 and U+2069, which nothing in it closes;
    in HTML these do the same."""
    for message in every_mail(name):
        for said in (str(message["Subject"]), *parts(message)):
            rest = re.sub("\u2068[^\u2066-\u2069\u202a-\u202e]*\u2069", "", said)
            assert not re.search("[\u202a-\u202e\u2066-\u2069\u3164א-ת]", rest), said
    if name == "\u3164":
        assert made(name, name)["Subject"] == "(no name) invited you to (no name)"


@pytest.mark.parametrize("requester", ["Ada", None])
def test_what_to_do_about_a_change_of_address(requester: str | None) -> None:
    made = messages.email_change_requested(
        ENVELOPE, company="Northwind", name="Bob", requester=requester, new="x@y.example", url=URL
    )
    text = " ".join(parts(arrived(made))[0].split())
    assert f"{'Ada' if requester else 'Someone who is signed in as you'}" in text
    assert "If you expected this, you don't need to do anything. Otherwise, " in text
    assert "cancels the change and ends every sign-in." in text
    # Where somebody else knows the password, to cancel the change is not enough.
    assert ("cancel the change in My account > Profile, or" in text) == (requester is not None)
    assert "After the change, password resets are no longer sent to this address." in text


NIGHTLY = EndingToken(
    id="gpat_4fT0aB3cD5eF7gH9",
    label="Nightly settlement",
    owner=None,
    ends_at=1_800_000_000_000,
    because="expiry",
    days=7,
    last_used_at=1_799_395_000_000,
    callers=3,
)
EXPIRED = replace(NIGHTLY, owner="Deploys", days=0, last_used_at=None, callers=0)
UNUSED = replace(NIGHTLY, because="unused", days=1, callers=1)
TODAY = replace(NIGHTLY, ends_at=1_799_395_200_000 + 3 * 3_600_000, days=1)


def ending(*tokens: EndingToken, others: int = 0, now: int = 1_799_395_200_000) -> EmailMessage:
    return arrived(
        messages.access_tokens_ending(
            replace(ENVELOPE, now=now),
            company="Northwind",
            name="Ada",
            tokens=tokens,
            others=others,
            pages="https://tokens.example.com/access-tokens",
            list_url="https://tokens.example.com/access-tokens?sort=expires",
        )
    )


@pytest.mark.parametrize(
    ("token", "subject", "said", "rotates", "why"),
    [
        (
            NIGHTLY,
            "expires in 7 days",
            "Expires in 7 days: 15 January 2027, 08:00:00 UTC. Last used 8 January 2027, "
            "07:56:40 UTC, by 3 callers within a day.",
            True,
            "because the token is yours",
        ),
        (
            EXPIRED,
            "has expired",
            "Belongs to Deploys. Has expired: 15 January 2027, 08:00:00 UTC. Never used.",
            False,
            "because you are an administrator of Northwind, and the token belongs to no user",
        ),
        (
            UNUSED,
            "ends in 1 day unless it is used",
            "Ends in 1 day unless it is used: 15 January 2027, 08:00:00 UTC. Last used "
            "8 January 2027, 07:56:40 UTC, by 1 caller within a day.",
            True,
            "because the token is yours",
        ),
        (
            TODAY,
            "expires in 3 hours",
            "Expires in 3 hours: 8 January 2027, 11:00:00 UTC.",
            True,
            "because the token is yours",
        ),
    ],
)
def test_a_token_that_ends(
    token: EndingToken, subject: str, said: str, rotates: bool, why: str
) -> None:
    now = token.ends_at - 86_400_000 if token is UNUSED else 1_799_395_200_000
    message = ending(token, now=now)
    assert message["Subject"] == f"The access token “Nightly settlement” at Northwind {subject}"
    page = f"https://tokens.example.com/access-tokens/{token.id}"
    for part in parts(message):
        read = " ".join(part.split())
        assert all(each in read for each in (f"Nightly settlement ({token.id})", said, page, why))
        assert (f"{page}/rotate" in read) == rotates


def test_many_tokens_that_end_are_one_mail() -> None:
    message = ending(EXPIRED, NIGHTLY, others=412)
    assert message["Subject"] == "414 access tokens at Northwind end soon or have ended"
    text, html = parts(message)
    for part in (text, html):
        read = " ".join(part.split())
        assert "https://tokens.example.com/access-tokens?sort=expires" in read
        assert "some of the tokens belong to no user" in read
        assert "These are the first 2:" in read
    assert text.count("(gpat_") == html.count("(gpat_") == 2
    assert ending(EXPIRED, EXPIRED)["Subject"] == "2 access tokens at Northwind have ended"


def test_sentences_begin_with_a_capital() -> None:
    for message in every_mail("Ada"):
        for paragraph in parts(message)[0].split("\n\n"):
            assert paragraph == URL or paragraph[0].isupper(), paragraph


def test_times_are_never_rounded_up() -> None:
    assert exactly(59_999) == "1 January 1970, 00:00:59 UTC"


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("ada@Example.com", ("ada", "example.com")),
        ("ada@bücher.example", ("ada", "xn--bcher-kva.example")),
        ("gatepass@[127.0.0.1]", ("gatepass", "[127.0.0.1]")),
    ],
)
def test_mail_servers_are_told_hosts_they_know(address: str, parts: tuple[str, str]) -> None:
    assert mailbox(address) == parts


_LOCAL = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("C", "Z"), exclude_characters=' .@"(),:;<>[]\\'
    ),
    min_size=1,
    max_size=64,
)
_HOST = st.lists(st.sampled_from(["a" * 63, "b" * 40, "xn--bcher-kva", "bücher", "x"]), max_size=6)


@given(name=st.text(max_size=300), local=_LOCAL, host=_HOST.map(".".join))
def test_whatever_people_are_called_there_is_a_mail_with_its_link(
    name: str, local: str, host: str
) -> None:
    """As it goes over the wire, to servers of both kinds."""
    try:
        recipient = read_email("email", f"{local}@{host}.example".replace("@.", "@"))
    except InvalidInput:
        recipient = "new@example.com"
    envelope = replace(ENVELOPE, recipient=recipient)
    made = invitation(envelope, company=name, inviter=name, url=URL, expires_at=0)
    international = not mailbox(recipient)[0].isascii()
    wire = made.as_bytes(policy=policy.SMTPUTF8 if international else policy.SMTP)
    assert international or wire.isascii()
    assert all(len(line) <= 998 for line in wire.split(b"\r\n"))
    assert b"\n" not in wire.replace(b"\r\n", b"")
    read = message_from_string(wire.decode(), policy=policy.default)
    assert isinstance(read, EmailMessage)
    assert link_in(read) == URL
    assert [key.lower() for key in read] == [
        "from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version",
        "content-type",
    ]  # fmt: skip
    (address,) = read["To"].addresses
    assert (address.username, address.domain) == mailbox(recipient)
