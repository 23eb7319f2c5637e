"""CSV cells that are safe to open in a spreadsheet (CSV injection)."""

import unicodedata

from gatepass.core.display_text import bidi_controls, marked_text

# First characters of formulas, after normalization of full-width, small and superscript forms. The
# minus sign is no form of the hyphen, but some spreadsheets accept it as one.
_FORMULA = frozenset("=+-@\u2212")
# As first characters, some import dialogs let these start a new cell or a formula.
_BREAKS = ("\t", "\r", "\n")


def csv_cell(text: str) -> str:
    """*text* as a cell that is never a formula and can't reorder its line.

    A token named ``=HYPERLINK(…)`` must not run on the machine of the auditor who opens the file.
    So a formula gets an apostrophe in front. Invisible characters before it (spaces, a byte order
    mark, zero-width characters) are skipped, because spreadsheets drop them. Where the comma is the
    decimal sign, spreadsheets begin a cell at each semicolon, quoted or not.
    """
    # The isolates that we put around names are balanced; those in users' text may not be.
    return ";".join(map(_defused, _replaced(text).split(";")))


def _defused(text: str) -> str:
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
