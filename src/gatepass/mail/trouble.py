"""What went wrong between Gatepass and a mail server, as sentences.

They stand beside invitations and in the log. Of what a server says they hold its codes alone.
"""

import ssl

from gatepass.mail.conversation import Reply

NO_SERVER = "No mail server was set up to send it."
NOT_ENCRYPTED = "The mail server offers no encryption, and our password isn't sent without."
NO_SMTPUTF8 = (
    "The mail server takes no addresses with letters beyond ASCII before the @ (SMTPUTF8)."
)
TLS_FROM_THE_START = "Port 465 usually means TLS from the start: write smtps:// then."
UNKNOWN = "Nobody knows whether it has the mail."

#: OpenSSL's numbers of what is wrong with a certificate.
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
#: Without their first digit (RFC 3463 and its registry).
_ENHANCED = {
    "1.1": "there is no such mailbox",
    "1.2": "its domain takes no mail",
    "1.10": "its domain takes no mail",
    "2.1": "the mailbox is disabled",
    "2.2": "the mailbox is full",
    "3.4": "too large",
    "7.1": "not permitted",
    "7.9": "it wants an application password or another way to sign in",
}
_PLAIN = {
    421: "it closes the conversation",
    503: "a sign-in may be missing: see GATEPASS_SMTP_URL",
    530: "it wants encryption or a sign-in first: see GATEPASS_SMTP_URL",
    552: "too large, or the mailbox is full",
}


def of_refusal(reply: Reply, what: str) -> str:
    """*what* the server refused, for good or for now, and why if it said so."""
    if reply.code >= 500:
        return f"The mail server refuses {what} ({_why(reply)})."
    if reply.code >= 400:
        return f"The mail server doesn't take {what} for now ({_why(reply)})."
    return f"The mail server answers {what} with {reply.code}, which makes no sense there."


def of_sign_in(reply: Reply) -> str:
    """Why the server doesn't let us in."""
    if 400 <= reply.code < 500:
        return f"The mail server can't check our password for now ({_why(reply)})."
    return (
        "The mail server doesn't accept the user and password in GATEPASS_SMTP_URL "
        f"({_why(reply)})."
    )


def of_tls(error: ssl.SSLError) -> str:
    """Why there is no encrypted connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = _CERTIFICATE.get(error.verify_code, "isn't good")
        return f"The mail server's certificate can't be trusted: it {what}."
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return (
            "The mail server doesn't speak TLS on this port. Without TLS from the start, write "
            "smtp://."
        )
    return "The mail server and Gatepass didn't agree on an encryption (TLS 1.2 or later)."


def _why(reply: Reply) -> str:
    enhanced = reply.enhanced_code
    codes = f"{reply.code} {enhanced}".strip()
    said = _ENHANCED.get(enhanced.partition(".")[2]) or _PLAIN.get(reply.code)
    return f"{codes}: {said}" if said else codes
