"""Errors of sending mail, as sentences for the list of invitations and the log.

Of a server's reply they contain only the codes.
"""

import ssl

from gatepass.mail.conversation import Reply

NO_SERVER = "No mail server was configured to send it."
NOT_ENCRYPTED = "The mail server doesn't support encryption, so the password can't be sent to it."
NO_SMTPUTF8 = "The mail server doesn't support non-ASCII characters before the @ (SMTPUTF8)."
TLS_FROM_THE_START = "Port 465 usually expects TLS from the start: use smtps://."
UNKNOWN = "It may or may not have accepted the mail."

#: OpenSSL's certificate verification errors.
_CERTIFICATE = {
    9: "isn't valid yet",
    10: "has expired",
    18: "is self-signed",
    19: "is signed by an authority that this server doesn't trust",
    20: "is signed by an authority that this server doesn't trust",
    21: "is signed by an authority that this server doesn't trust",
    62: "is for a different host name than the one in GATEPASS_SMTP_URL",
    64: "is for a different address than the one in GATEPASS_SMTP_URL",
}
#: Enhanced codes without their first digit (RFC 3463 and its registry).
_ENHANCED = {
    "1.1": "there is no such mailbox",
    "1.2": "its domain accepts no mail",
    "1.10": "its domain accepts no mail",
    "2.1": "the mailbox is disabled",
    "2.2": "the mailbox is full",
    "3.4": "too large",
    "7.1": "not permitted",
    "7.9": "it requires an application password or another way to sign in",
}
_PLAIN = {
    421: "it closed the connection",
    503: "a sign-in may be missing: see GATEPASS_SMTP_URL",
    530: "it requires encryption or a sign-in first: see GATEPASS_SMTP_URL",
    552: "too large, or the mailbox is full",
}


def of_refusal(reply: Reply, what: str) -> str:
    """Why the server refused *what*, permanently or temporarily."""
    if reply.code >= 500:
        return f"The mail server rejected {what} ({_why(reply)})."
    if reply.code >= 400:
        return f"The mail server temporarily rejected {what} ({_why(reply)})."
    return f"The mail server sent an unexpected reply to {what} ({reply.code})."


def of_sign_in(reply: Reply) -> str:
    """Why the server rejected the sign-in."""
    if 400 <= reply.code < 500:
        return f"The mail server temporarily can't check the password ({_why(reply)})."
    return f"The mail server rejected the user and password in GATEPASS_SMTP_URL ({_why(reply)})."


def of_tls(error: ssl.SSLError) -> str:
    """The sentence for a failed TLS handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = _CERTIFICATE.get(error.verify_code, "isn't valid")
        return f"The mail server's certificate can't be trusted: it {what}."
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return (
            "The mail server doesn't support TLS on this port. Use smtp:// for a port without TLS "
            "from the start."
        )
    return "The mail server and Gatepass couldn't agree on an encryption (TLS 1.2 or later)."


def _why(reply: Reply) -> str:
    enhanced = reply.enhanced_code
    codes = f"{reply.code} {enhanced}".strip()
    said = _ENHANCED.get(enhanced.partition(".")[2]) or _PLAIN.get(reply.code)
    return f"{codes}: {said}" if said else codes
