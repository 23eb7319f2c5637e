"""Confirming a deactivation by typing a record's name."""

import unicodedata

from gatepass.core.display_text import has_bidi_control, has_visible


def confirmation_text(text: str, id: str) -> str:
    """The text to type: the record's name, or its id if the name can't be typed as shown."""
    return text.strip() if has_visible(text) and not has_bidi_control(text) else id


def is_confirmed(typed: str, text: str, id: str) -> bool:
    """Whether *typed* is the confirmation text, ignoring spaces and invisible characters."""
    return _plain(typed) == _plain(confirmation_text(text, id))


def confirmation_problem(what: str, text: str, id: str, typed: str) -> str:
    """The message for a wrong confirmation, or "".

    Args:
        what: the name of the field *text* ("label", "name").
    """
    if is_confirmed(typed, text, id):
        return ""
    what = "id" if confirmation_text(text, id) == id else what
    return f"Must be the {what} shown above." if typed.strip() else f"Type the {what} to confirm."


def _plain(text: str) -> str:
    inked = (sign for sign in text if unicodedata.category(sign) != "Cf")
    return unicodedata.normalize("NFC", " ".join("".join(inked).split()))
