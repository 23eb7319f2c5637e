"""The exceptions of Gatepass: misuse and outage. A denial is a value, never an exception.

They are independent of HTTP; ``web.problems`` maps each to its status.
"""

from collections.abc import Sequence


class GatepassError(Exception):
    """Base class of the exceptions that Gatepass raises.

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


#: Bounds of an answer's list of errors, so that it isn't larger than the request.
MOST_ERRORS = 20
LONGEST_FIELD = 100
LONGEST_MESSAGE = 300


def _bounded(errors: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (field[:LONGEST_FIELD], message[:LONGEST_MESSAGE])
        for field, message in errors[:MOST_ERRORS]
    ]


class InvalidInput(GatepassError):
    """Input with invalid fields.

    Attributes:
        errors: (field, message) pairs; ``field`` is a path such as ``networks.2``. Both may quote
            the input, so they are truncated; only the first ``MOST_ERRORS`` are kept.
        left_out: number of further errors.
        reason: ``invalid``, or the one reason that all errors share.
    """

    reason = "invalid"

    def __init__(self, errors: Sequence[tuple[str, str]], *, reason: str = "invalid") -> None:
        self.reason = reason
        self.errors = _bounded(errors)
        self.left_out = len(errors) - len(self.errors)
        super().__init__("; ".join(f"{field}: {message}" for field, message in self.errors))


class Forbidden(GatepassError):
    """The actor may not do this. ``permission`` is the missing permission, if any."""

    reason = "permission_missing"

    def __init__(
        self, message: str, *, reason: str | None = None, permission: str | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.permission = permission


class OperatorEmailForbidden(Forbidden):
    """Only operators themselves may change their e-mail address; not another operator."""

    reason = "operator_required"


class NotFound(GatepassError):
    """The record doesn't exist, or belongs to another company; callers can't distinguish them."""

    reason = "not_found"


class Conflict(GatepassError):
    """The record's state doesn't allow the change (deactivated, changed meanwhile, taken).

    Attributes:
        current: the record as it is, if that helps.
        errors: (field, message) pairs, as for ``InvalidInput``, if some fields alone are at fault.
    """

    reason = "conflict"

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        current: object | None = None,
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, reason=reason)
        self.current = current
        self.errors = _bounded(errors)


class BrokenLink(GatepassError):
    """A link from a mail that no longer works: used, replaced, expired, tampered with, or no longer
    valid because the inviter lost the right to grant it.

    Attributes:
        contact: the name of a person who can help. None unless the link's secret was right, so that
            guessers learn no names.
        company: the name of the link's company; None likewise.
        address_taken: the link is valid, but a user of another company has the e-mail address;
            False likewise.
    """

    reason = "link_broken"

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        contact: str | None = None,
        company: str | None = None,
        address_taken: bool = False,
    ) -> None:
        super().__init__(message, reason=reason)
        self.contact = contact
        self.company = company
        self.address_taken = address_taken


class SignInFailed(GatepassError):
    """E-mail, password, code or address was wrong. The message never reveals which."""

    reason = "sign_in_failed"

    def __init__(self) -> None:
        super().__init__("Incorrect e-mail address, password or two-factor code.")


class TooManyAttempts(GatepassError):
    """Throttled.

    Attributes:
        retry_after: in whole seconds, rounded up.
        what: the sentence that names the excess, such as "Too many failed attempts."
    """

    reason = "too_many_attempts"

    def __init__(self, retry_after: int, what: str = "Too many failed attempts.") -> None:
        super().__init__(f"{what} Try again in {retry_after} seconds.")
        self.retry_after = retry_after
        self.what = what


class Unavailable(GatepassError):
    """The operation isn't possible now, or its outcome isn't known.

    ``reason`` is ``stale`` or ``unavailable``, or ``outcome_unknown``.
    """

    reason = "unavailable"


class Busy(Unavailable):
    """Too many passwords wait to be hashed.

    Attributes:
        retry_after: in whole seconds.
    """

    retry_after = 5

    def __init__(self) -> None:
        super().__init__("Many people are signing in right now. Try again in a few seconds.")


class NotConfirmed(GatepassError):
    """The change is committed, but this node's copy doesn't include it yet.

    Attributes:
        current: the changed record as the API returns it; None where there is none.
    """

    reason = "not_confirmed"

    def __init__(self, current: object | None = None) -> None:
        super().__init__(
            "The change was made and stands. This node has not caught up with it yet, and will "
            "decide by it within seconds. Don't repeat it."
        )
        self.current = current


class Misconfigured(GatepassError):
    """A setting, file or schema prevents the start; the message is one line that names it."""

    reason = "misconfigured"
