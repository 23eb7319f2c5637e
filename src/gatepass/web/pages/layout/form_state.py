"""How a form is shown: as opened, or again with the reason why nothing was saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from gatepass.core.errors import Busy, Conflict, InvalidInput, TooManyAttempts, Unavailable
from gatepass.web.pages.text.wording import counted


@dataclass(frozen=True)
class Difference:
    """One setting of the saved version, beside the value in the form. Times are Unix ms."""

    name: str
    saved: str | int | None
    typed: str | int | None
    is_time: bool = False


@dataclass(frozen=True)
class Meanwhile:
    """An edit conflict: the record was saved while the form was open.

    Attributes:
        by, at: who changed it last and when (Unix ms); None if the log doesn't say.
        own: that was the visitor, in another tab or by a program.
    """

    by: str | None
    at: int | None
    differences: Sequence[Difference]
    own: bool = False


@dataclass(frozen=True)
class FormState:
    """The state of a form.

    Attributes:
        status: of the answer.
        problems: a message by field; "" for the form as a whole.
        flash: the confirmation of the previous action, or "".
        retry_after: when to submit again, in seconds; 0 for any time.
    """

    status: int = 200
    problems: Mapping[str, str] = field(default_factory=dict)
    meanwhile: Meanwhile | None = None
    flash: str = ""
    retry_after: int = 0


OPENED = FormState()


class NotSaved(str):
    """A form's message that nothing was saved, and that it can be sent again as it is."""


def refused(
    error: InvalidInput | TooManyAttempts | Conflict | Unavailable,
    *,
    button: str = "Save",
    conflict_at: str = "",
) -> FormState:
    """The state of a form whose change was refused.

    Args:
        button: the label of the button to press again.
        conflict_at: the field that a conflict is about.
    """
    if isinstance(error, InvalidInput):
        return FormState(422, dict(error.errors))
    if isinstance(error, TooManyAttempts):
        wait = counted(ceil(error.retry_after / 60), "minute")
        message = f"{error.what} Nothing was changed. Try again in {wait}."
        return FormState(429, {"": message}, retry_after=error.retry_after)
    if isinstance(error, Busy):
        return FormState(503, {"": NotSaved(error.message)}, retry_after=error.retry_after)
    if isinstance(error, Conflict):
        return FormState(409, {conflict_at: error.message})
    return FormState(503, {"": not_saved(error, button=button)})


def not_saved(error: Unavailable, *, button: str = "Save") -> str:
    """Why a form was not saved (``NotSaved``), or that the outcome is unknown, in a sentence."""
    if error.reason == "outcome_unknown":
        return error.message
    return NotSaved(f"The server can't save changes right now. Press {button} again.")
