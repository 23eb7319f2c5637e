"""Strict parsing of single-line text, and case-insensitive comparison."""

import re
import unicodedata

from gatepass.core.display_text import has_bidi_control, has_visible
from gatepass.core.errors import InvalidInput

LONGEST_LABEL = 100

# C0 and C1 controls and DEL; the line and paragraph separators (Unicode Zl and Zp), at which many
# programs start a new line; lone surrogates, which no encoding can store.
_unfit = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search


class Problems:
    """All errors of an input, to report them together."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []
        self._reasons: set[str] = set()

    def add(self, field: str, message: str, reason: str = "invalid") -> None:
        """Add an error of *field*. *reason* becomes that of the input if all errors share it."""
        self.errors.append((field, message))
        self._reasons.add(reason)

    def settle(self) -> None:
        """Raise InvalidInput if there are errors."""
        if self.errors:
            (reason, *others) = self._reasons
            raise InvalidInput(self.errors, reason="invalid" if others else reason)


def label_problem(value: object, *, longest: int = LONGEST_LABEL) -> str | None:
    """The error of a label or name, as a sentence; None if it is valid."""
    if not isinstance(value, str):
        return "Must be text."
    if not 1 <= len(value) <= longest:
        return f"Must have 1 to {longest} characters."
    if not storable(value):
        return "Must not have control characters or line separators."
    if not has_visible(value):
        return "Must have a visible character."
    return bidi_problem(value)


def bidi_problem(value: str) -> str | None:
    """The error of a text that would reorder the text around it; None if it is valid."""
    if has_bidi_control(value):
        return "Must not have bidirectional control characters (U+202A–202E, U+2066–2069)."
    return None


def read_label(field: str, value: str) -> str:
    """Parse a label or name: 1–100 characters, at least one of them visible.

    Control characters, line separators and bidirectional controls are refused.

    Raises:
        InvalidInput: it isn't valid.
    """
    problem = label_problem(value)
    if problem is not None:
        raise InvalidInput([(field, problem)])
    return value


def read_items(field: str, value: object, most: int, problems: Problems) -> list[object]:
    """The items of a list of at most *most*; otherwise add an error and return no items."""
    if not isinstance(value, list | tuple):
        problems.add(field, "Must be a list.")
        return []
    if len(value) > most:
        problems.add(field, f"Must have at most {most} entries.")
        return []
    return list(value)


def storable(text: str) -> bool:
    """Whether *text* can be stored as one line.

    It must not have control characters (PostgreSQL can't store NUL), line separators or lone
    surrogates.
    """
    return _unfit(text) is None


def search_text(q: str | None) -> str:
    """The text to search for: *q* without surrounding space, which pasting adds."""
    return (q or "").strip()


def folded(text: str) -> str:
    """*text* for case-insensitive comparison, however its accents are encoded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
