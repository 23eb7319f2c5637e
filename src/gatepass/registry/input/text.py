"""What people type, read strictly: one line of text, and how texts compare without case."""

import re
import unicodedata

from gatepass.core.display_text import has_bidi_control, has_visible
from gatepass.core.errors import InvalidInput

LONGEST_LABEL = 100

# The C0 and C1 controls and DEL; the line and the paragraph separator (Unicode's Zl and Zp), at
# which many readers begin a new line; halves of surrogate pairs, which no encoding can store.
_unfit = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search


class Problems:
    """Everything that is wrong with what was sent, told at once."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []

    def add(self, field: str, message: str) -> None:
        """Note what is wrong with *field*."""
        self.errors.append((field, message))

    def settle(self) -> None:
        """Raise InvalidInput if anything was."""
        if self.errors:
            raise InvalidInput(self.errors)


def label_problem(value: object, *, longest: int = LONGEST_LABEL) -> str | None:
    """What is wrong with a label or name, in a sentence; None if it is good."""
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
    """What is wrong with a text that would reorder what stands around it; None if it is good."""
    if has_bidi_control(value):
        return "Must not have bidirectional control characters (U+202A–202E, U+2066–2069)."
    return None


def read_label(field: str, value: str) -> str:
    """A label or name: 1–100 characters, one of them visible, without control characters,
    line separators and bidirectional controls.

    Raises:
        InvalidInput: it isn't.
    """
    problem = label_problem(value)
    if problem is not None:
        raise InvalidInput([(field, problem)])
    return value


def read_items(field: str, value: object, most: int, problems: Problems) -> list[object]:
    """The items of a list of at most *most*; none, and a problem noted, if it isn't one."""
    if not isinstance(value, list | tuple):
        problems.add(field, "Must be a list.")
        return []
    if len(value) > most:
        problems.add(field, f"Must have at most {most} entries.")
        return []
    return list(value)


def storable(text: str) -> bool:
    """Whether *text* has none of the characters that a line of text has no use for: control
    characters, NUL (which PostgreSQL can't hold) among them, line separators, and halves of
    surrogate pairs."""
    return _unfit(text) is None


def search_text(q: str | None) -> str:
    """The text to search for: *q* without the spaces around it, which pasting brings along."""
    return (q or "").strip()


def folded(text: str) -> str:
    """*text* for comparing without case, whichever way accents were typed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
