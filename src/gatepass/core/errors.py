"""The exceptions Gatepass raises: misuse and outage. A denial is a value, never one of these.

They know no HTTP; ``web.problems`` has the one table that gives each its status.
"""

from collections.abc import Sequence


class GatepassError(Exception):
    """The root of every exception that Gatepass raises on purpose.

    Attributes:
        reason: a stable machine-readable word.
        message: one sentence for a person; never contains a secret.
    """

    reason = "error"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


#: No answer lists more errors, or longer ones: it would be larger than what it answers.
MOST_ERRORS = 20
LONGEST_FIELD = 100
LONGEST_MESSAGE = 300


class InvalidInput(GatepassError):
    """Something a person or program sent can't be accepted as it stands.

    Attributes:
        errors: (field, message) pairs; ``field`` is a path such as ``networks.2``. Both may repeat
            what was sent, so they are cut; of many errors the first ``MOST_ERRORS`` are kept.
        left_out: how many more there were, as far as anyone looked.
    """

    reason = "invalid"

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        self.errors = [
            (field[:LONGEST_FIELD], message[:LONGEST_MESSAGE])
            for field, message in errors[:MOST_ERRORS]
        ]
        self.left_out = len(errors) - len(self.errors)
        super().__init__("; ".join(f"{field}: {message}" for field, message in self.errors))


class Forbidden(GatepassError):
    """The actor may not do this. ``permission`` names what would be needed, where one would."""

    reason = "permission_missing"

    def __init__(
        self, message: str, *, reason: str | None = None, permission: str | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.permission = permission


class OperatorEmailForbidden(Forbidden):
    """An operator's e-mail address is theirs to change; not another operator's."""

    reason = "operator_required"


class NotFound(GatepassError):
    """It doesn't exist, or belongs to another company: the two look the same from outside."""

    reason = "not_found"


class Conflict(GatepassError):
    """The record's state doesn't allow it (ended, changed meanwhile, taken)."""

    reason = "conflict"

    def __init__(self, message: str, *, reason: str, current: object | None = None) -> None:
        super().__init__(message, reason=reason)
        self.current = current


class BrokenLink(GatepassError):
    """A link from a mail that no longer works: used, replaced, expired, tampered with, or no longer
    valid because the inviter lost the right to grant it.

    Attributes:
        whom: who can help, by name; None unless the link's secret was right: names are nothing for
            someone who guesses.
        company: the name of the company it led to; None likewise.
        address_taken: it would be good, but another company's user has the e-mail address; False
            likewise.
    """

    reason = "link_broken"

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        whom: str | None = None,
        company: str | None = None,
        address_taken: bool = False,
    ) -> None:
        super().__init__(message, reason=reason)
        self.whom = whom
        self.company = company
        self.address_taken = address_taken


class SignInFailed(GatepassError):
    """E-mail, password, code or address was wrong; it is never said which."""

    reason = "sign_in_failed"

    def __init__(self) -> None:
        super().__init__("That e-mail address and password don't open this account.")


class TooManyAttempts(GatepassError):
    """Throttled.

    Attributes:
        retry_after: in whole seconds, rounded up.
        what: what there were too many of, in a sentence.
    """

    reason = "too_many_attempts"

    def __init__(self, retry_after: int, what: str = "Too many failed attempts.") -> None:
        super().__init__(f"{what} Try again in {retry_after} seconds.")
        self.retry_after = retry_after
        self.what = what


class Unavailable(GatepassError):
    """It can't be decided or done right now: ``stale`` or ``unavailable``; or it isn't known
    whether it was done: ``outcome_unknown``."""

    reason = "unavailable"


class NotConfirmed(GatepassError):
    """The change was made and stands, but this node doesn't decide by it yet.

    Attributes:
        current: the record as the change left it, as it is sent; None where there is none.
    """

    reason = "not_confirmed"

    def __init__(self, current: object | None = None) -> None:
        super().__init__(
            "The change was made and stands. This node has not caught up with it yet, and will "
            "decide by it within seconds. Don't repeat it."
        )
        self.current = current


class Misconfigured(GatepassError):
    """A setting, file or schema doesn't allow a start; the message names it in one line."""

    reason = "misconfigured"
