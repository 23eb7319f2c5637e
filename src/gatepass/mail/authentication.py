"""Signing in to a mail server (SMTP AUTH, RFC 4954)."""

import binascii
import hmac
import re
import unicodedata
from base64 import b64decode, b64encode
from urllib.parse import unquote

from gatepass.mail.conversation import Conversation, ConversationFailed, Reply

#: Mechanisms of Gatepass, in the order of preference.
_MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")
_MOST_NAMED = 5
# Replies of a server that offers a mechanism and then refuses it (RFC 4954, 4 and 6).
_MECHANISM_REFUSED = (504, 534)
_mechanism = re.compile(r"[A-Z0-9_-]{1,20}").fullmatch


def credential(escaped: str) -> bytes:
    """The bytes to send for a percent-encoded user or password of a URL.

    ASCII stays as it is. Other text is normalized to NFC, which keyboards produce and servers
    store, with plain spaces for all others (RFC 8265, 4.2). Bytes that aren't UTF-8 stay as they
    are.
    """
    text = unquote(escaped, errors="surrogateescape")
    spaced = "".join(" " if unicodedata.category(sign) == "Zs" else sign for sign in text)
    return unicodedata.normalize("NFC", spaced).encode("utf-8", "surrogateescape")


def authenticate(conversation: Conversation, user: bytes, password: bytes) -> Reply:
    """Sign in by the first of our mechanisms that the server offers and accepts.

    Returns:
        The server's reply: 235 on success.

    Raises:
        ConversationFailed: the server offers no mechanism that Gatepass supports.
    """
    offered = conversation.extensions.get("AUTH", "").upper().split()
    common = [name for name in _MECHANISMS if name in offered]
    if not common:
        raise ConversationFailed(_nothing_in_common(offered, conversation.encrypted))
    for name in common:
        reply = _BY_NAME[name](conversation, user, password)
        if reply.code not in _MECHANISM_REFUSED:
            break
    return reply


def _nothing_in_common(offered: list[str], encrypted: bool) -> str:
    named = [name for name in offered if _mechanism(name)][:_MOST_NAMED]
    if named:
        return (
            f"The mail server offers only {', '.join(named)} to sign in; Gatepass supports PLAIN, "
            "LOGIN and CRAM-MD5."
        )
    hint = "" if encrypted else ". Most servers offer it only after STARTTLS, which is missing too"
    return f"GATEPASS_SMTP_URL has a user, but the mail server doesn't offer AUTH{hint}."


def _plain(conversation: Conversation, user: bytes, password: bytes) -> Reply:
    response = b64encode(b"\0" + user + b"\0" + password)
    return conversation.command(b"AUTH PLAIN " + response, "AUTH PLAIN")


def _login(conversation: Conversation, user: bytes, password: bytes) -> Reply:
    reply = conversation.command(b"AUTH LOGIN", "AUTH LOGIN")
    for part in (user, password):
        if reply.code != 334:
            break
        reply = conversation.command(b64encode(part), "AUTH LOGIN")
    return reply


def _cram_md5(conversation: Conversation, user: bytes, password: bytes) -> Reply:
    reply = conversation.command(b"AUTH CRAM-MD5", "AUTH CRAM-MD5")
    if reply.code != 334:
        return reply
    try:
        challenge = b64decode(reply.lines[0])
    except (binascii.Error, ValueError):
        raise ConversationFailed("The mail server's CRAM-MD5 challenge can't be read.") from None
    answer = hmac.new(password, challenge, "md5").hexdigest().encode()
    return conversation.command(b64encode(user + b" " + answer), "AUTH CRAM-MD5")


_BY_NAME = {"PLAIN": _plain, "LOGIN": _login, "CRAM-MD5": _cram_md5}
