"""Sentences for delivery failures, shown beside invitations and in the log.

They contain the mail server's reply codes, never its text, which may quote the mail.
"""

import ssl

from gatepass.mail.conversation import Reply

NO_SERVER = "No mail server was set up to send it."
NOT_ENCRYPTED = "The mail server offers no encryption, and our password isn't sent without it."
NO_SMTPUTF8 = (
    "The mail server doesn't support addresses with letters outside ASCII before the @ (SMTPUTF8)."
)
TLS_FROM_THE_START = "Port 465 usually means TLS from the start: use smtps:// for it."
UNKNOWN = "It is unknown whether the server accepted the mail."

#: OpenSSL's error codes for certificates.
_CERTIFICATE = {
    9: "isn't valid yet",
    10: "has expired",
    18: "is self-signed",
    19: "is signed by an authority that isn't trusted here",
    20: "is signed by an authority that isn't trusted here",
    21: "is signed by an authority that isn't trusted here",
    62: "is for another host name than the one in GATEPASS_SMTP_URL",
    64: "is for another address than the one in GATEPASS_SMTP_URL",
}
#: Enhanced codes without their first digit (RFC 3463 and its registry).
_ENHANCED = {
    "1.1": "there is no such mailbox",
    "1.2": "its domain takes no mail",
    "1.10": "its domain takes no mail",
    "2.1": "the mailbox is disabled",
    "2.2": "the mailbox is full",
    "3.4": "too large",
    "7.1": "not permitted",
    "7.9": "it requires an application password or another way to sign in",
}
_PLAIN = {
    421: "it is closing the connection",
    503: "a sign-in may be missing: see GATEPASS_SMTP_URL",
    530: "it requires encryption or a sign-in: see GATEPASS_SMTP_URL",
    552: "too large, or the mailbox is full",
}


def of_refusal(reply: Reply, what: str) -> str:
    """The sentence for a refusal of *what*, permanent or temporary, with the server's reason."""
    if reply.code >= 500:
        return f"The mail server refuses {what} ({_why(reply)})."
    if reply.code >= 400:
        return f"The mail server doesn't accept {what} for now ({_why(reply)})."
    return f"The mail server answers {what} with {reply.code}, which isn't a valid reply there."


def of_sign_in(reply: Reply) -> str:
    """The sentence for a failed sign-in."""
    if 400 <= reply.code < 500:
        return f"The mail server can't check our password for now ({_why(reply)})."
    return (
        "The mail server doesn't accept the user and password in GATEPASS_SMTP_URL "
        f"({_why(reply)})."
    )


def of_tls(error: ssl.SSLError) -> str:
    """The sentence for a failed TLS handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = _CERTIFICATE.get(error.verify_code, "isn't valid")
        return f"The mail server's certificate can't be trusted: it {what}."
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return (
            "The mail server doesn't speak TLS on this port. If it uses STARTTLS, use smtp:// "
            "instead."
        )
    return "The mail server and Gatepass have no encryption in common (TLS 1.2 or later)."


def _why(reply: Reply) -> str:
    enhanced = reply.enhanced_code
    codes = f"{reply.code} {enhanced}".strip()
    said = _ENHANCED.get(enhanced.partition(".")[2]) or _PLAIN.get(reply.code)
    return f"{codes}: {said}" if said else codes
