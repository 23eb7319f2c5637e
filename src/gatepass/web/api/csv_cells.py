"""Cells of CSV files that people open in spreadsheets."""

import unicodedata

from gatepass.core.display_text import bidi_controls, marked_text

# How a formula begins, once full-width, small and superscript forms are plain ones. The minus sign
# is no form of the hyphen, but some spreadsheets read it as one.
_FORMULA = frozenset("=+-@\u2212")
# What starts a cell of its own, or a formula in some import dialogues, wherever it stands first.
_BREAKS = ("\t", "\r", "\n")


def csv_cell(text: str) -> str:
    """*text* as a cell that no spreadsheet takes for a formula, and that can't reorder its line.

    Whoever names a token ``=HYPERLINK(…)`` must not reach into the machine of the auditor who opens
    the file. Such a cell begins with an apostrophe. What leaves no ink before the formula (spaces,
    a byte order mark, zero-width characters) hides nothing: spreadsheets drop it.
    """
    # The isolates that we put around names are balanced; those that people typed may not be.
    text = _replaced(text)
    first = next((sign for sign in text if unicodedata.category(sign)[0] not in "ZC"), "")
    starts = unicodedata.normalize("NFKC", first)[:1] in _FORMULA
    return f"'{text}" if starts or text.startswith(_BREAKS) else text


def _replaced(text: str) -> str:
    """*text* with U+FFFD for each bidirectional control that isn't one of ours around a name."""
    parts = marked_text.split(text)
    return "".join(
        f"\u2068{part}\u2069" if at % 2 else bidi_controls.sub("\ufffd", part)
        for at, part in enumerate(parts)
    )
