"""What each kind of credential is, and what to do when one has leaked."""

import msgspec

from gatepass.core.credentials import (
    ACCESS_TOKEN,
    ADMIN_KEY,
    EMAIL_CHANGE,
    INVITATION,
    LOGIN_TOKEN,
    PASSWORD_RESET,
    PORTAL_CODE,
    PORTAL_SESSION,
    VERIFIER_KEY,
)


class Rule(msgspec.Struct, frozen=True):
    """The rule that finds one kind of credential.

    Attributes:
        id: its name in reports, the same in the rules for gitleaks.
        noun: the kind of credential.
        remedy: what to do, in Markdown of code spans alone.
    """

    id: str
    noun: str
    remedy: str

    @property
    def a_noun(self) -> str:
        """The noun with its article."""
        return f"{'an' if self.noun[0] in 'aei' else 'a'} {self.noun}"


_REVOKE = "send its text to `POST /v1/credentials/revoke`"

#: By prefix.
RULES = {
    ACCESS_TOKEN: Rule(
        "gatepass-access-token",
        "access token",
        f"Deactivate it on its page, by `gatepass token deactivate ID`, or {_REVOKE}. "
        "Then create another for what used it.",
    ),
    LOGIN_TOKEN: Rule(
        "gatepass-login-token",
        "login token",
        f"It is somebody's sign-in, for three hours: they sign out, or {_REVOKE}.",
    ),
    VERIFIER_KEY: Rule(
        "gatepass-verifier-key",
        "verifier key",
        "Create another for the gateway or service that uses it, then run "
        "`gatepass verifier deactivate ID`.",
    ),
    ADMIN_KEY: Rule(
        "gatepass-admin-key",
        "admin key",
        f"Deactivate it at once, by `gatepass admin-key deactivate ID`, or {_REVOKE}. "
        "Then create another, and read in the audit log what was done with this one.",
    ),
    PORTAL_SESSION: Rule(
        "gatepass-portal-session",
        "portal session",
        f"It lasts an hour at most: {_REVOKE}.",
    ),
    PORTAL_CODE: Rule(
        "gatepass-portal-code",
        "portal code",
        "It works once, for 60 seconds: it is of no use any more. Find out what wrote it down.",
    ),
    INVITATION: Rule(
        "gatepass-invitation",
        "invitation",
        "It works once, for 72 hours: deactivate the invitation on its page and send another.",
    ),
    PASSWORD_RESET: Rule(
        "gatepass-password-reset",
        "password reset link",
        "It works once, for an hour: its user requests another, which replaces it.",
    ),
    EMAIL_CHANGE: Rule(
        "gatepass-email-change",
        "e-mail change link",
        "It works once, for 24 hours: its user cancels the change, or requests it again.",
    ),
}
