"""What a token can do, as one sentence a person can check before pressing a button.

The date at a sentence's end is left to the template, which shows it in the viewer's time zone.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from gatepass.core.permissions import EVERYTHING

_VERBS = {"get": "see", "modify": "change", "update": "change"}
_EVERYTHING = "do everything with"
_MOST_RESOURCES = 4


def may(permissions: Iterable[str]) -> str:
    """``create and see charges, and search customers``; empty for no permission at all; a role's
    ``*`` is ``do everything``."""
    names = sorted(set(permissions))
    if EVERYTHING in names:
        return "do everything"
    clauses = [
        _clause(resource, [name.partition(":")[2] for name in group])
        for resource, group in groupby(names, key=lambda name: name.partition(":")[0])
    ]
    if len(clauses) > _MOST_RESOURCES:
        left_over = len(clauses) - _MOST_RESOURCES + 1
        clauses = [*clauses[: _MOST_RESOURCES - 1], f"use {left_over} more resources"]
    if len(clauses) < 2:
        return "".join(clauses)
    return f"{', '.join(clauses[:-1])}, and {clauses[-1]}"


def where(networks: Sequence[str], domains: Sequence[str]) -> str:
    """``on shop.example.com, from 203.0.113.0/24``; ``from anywhere`` where nothing is limited."""
    parts = []
    if domains:
        parts.append(f"on {some(domains)}")
    if networks:
        parts.append(f"from {some(networks)}")
    return ", ".join(parts) or "from anywhere"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(number: int, word: str) -> str:
    """``1 token``, ``1,250 tokens``."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def duration(seconds: int) -> str:
    """``72 hours``, ``90 seconds``: in the largest unit, up to hours, that tells it exactly."""
    for length, word in ((3600, "hour"), (60, "minute")):
        if seconds % length == 0:
            return counted(seconds // length, word)
    return counted(seconds, "second")


def _clause(resource: str, actions: list[str]) -> str:
    things = resource.replace("-", " ")
    if "*" in actions:
        return f"{_EVERYTHING} {things}"
    verbs = [_VERBS.get(action, action.replace("-", " ")) for action in actions]
    return f"{listed(list(dict.fromkeys(verbs)))} {things}"


def some(entries: Sequence[str]) -> str:
    """``a, b and c``; of more than three the first two, and how many more there are."""
    if len(entries) <= 3:
        return listed(entries)
    return f"{', '.join(entries[:2])} and {len(entries) - 2:,} more"
