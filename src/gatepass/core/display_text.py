"""Makes user-supplied labels and names safe to display.

By Unicode's bidirectional algorithm a name can reorder the text around it: a label with U+202E
reverses the rest of an audit sentence. So bidirectional controls in names are replaced, and a name
that isn't plainly left-to-right is isolated from its sentence (UAX #9). A name without a visible
character would be a link that nobody can click; it is shown as ``(no name)``.
"""

import re
import unicodedata

#: Open and close a run of text that can't reorder the text around it.
ISOLATE, END_ISOLATE = "\u2068", "\u2069"
#: Matches the result of ``marked``, with the name as its only group.
marked_text = re.compile("\u2068([^\u202a-\u202e\u2066-\u2069]*)\u2069")

_REPLACEMENT = "\ufffd"
#: One bidirectional embedding, override or isolate.
bidi_controls = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Letters and symbols by category that are blank on the screen: the Hangul fillers, the empty
# braille pattern, the object replacement character, a musical null note head, and the Egyptian full
# and half blanks.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffc\U0001d159\U00013441\U00013442")
_VISIBLE_CATEGORIES = frozenset("LNPS")
# Unassigned code points that Unicode reserves for invisible characters, and noncharacters.
_reserved_blank = re.compile("[\u2065\ufdd0-\ufdef\ufff0-\uffff\U000e0000-\U000e0fff]").match
_REORDERING = frozenset(("R", "AL", "AN"))


def has_visible(text: str) -> bool:
    """Whether *text* has a visible letter, digit, punctuation mark or symbol.

    Spaces, controls, format characters (zero width, tags), variation selectors, combining marks on
    their own and private-use code points don't count. Characters that this Python's Unicode doesn't
    know yet, such as next year's emoji, do: at worst they are drawn as a box.
    """
    return any(map(_is_visible, text))


def has_bidi_control(text: str) -> bool:
    """Whether *text* has a bidirectional embedding, override or isolate."""
    return bidi_controls.search(text) is not None


def without_bidi_controls(text: str) -> str:
    """*text* with U+FFFD in place of each bidirectional embedding, override and isolate."""
    return bidi_controls.sub(_REPLACEMENT, text)


def readable(text: str, otherwise: str = "(no name)") -> str:
    """*text* for a page element of its own; *otherwise* if it has no visible character."""
    return without_bidi_controls(text if has_visible(text) else otherwise)


def printable(text: str) -> str:
    """*text* with U+FFFD for characters that could control a terminal or reorder its text."""
    return "".join(one if one.isprintable() else _REPLACEMENT for one in text)


def marked(text: str, otherwise: str = "(no name)") -> str:
    """``readable`` between U+2068 and U+2069, for a sentence to pass to ``relaxed``."""
    return f"{ISOLATE}{readable(text, otherwise)}{END_ISOLATE}"


def relaxed(sentence: str) -> str:
    """*sentence* without the marks around names that can't reorder text, which are most."""
    return marked_text.sub(_relaxed, sentence)


def isolated(text: str, otherwise: str = "(no name)") -> str:
    """*text* within a sentence of plain text: isolated where needed."""
    return relaxed(marked(text, otherwise))


def _relaxed(found: re.Match[str]) -> str:
    text = found[1]
    plain = text.isascii() or _REORDERING.isdisjoint(map(unicodedata.bidirectional, text))
    return text if plain else found[0]


def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cn":
        return _reserved_blank(character) is None and ord(character) & 0xFFFE != 0xFFFE
    return category[0] in _VISIBLE_CATEGORIES and character not in _BLANK
