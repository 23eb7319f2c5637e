"""Alternating rounds: subjects are measured one right after the other, never at the same time.

The speed of a shared machine varies from second to second. Two subjects measured in succession see
the same machine, so the ratio within a round is meaningful where the absolute numbers aren't.
Every other round is reversed, so that no subject is always the first.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def alternate(rounds: int, subjects: Mapping[str, Callable[[], T]]) -> list[dict[str, T]]:
    """Measure every subject once a round.

    Args:
        rounds: their number.
        subjects: name: the function that measures it.

    Returns:
        One mapping from name to measurement per round.
    """
    measured: list[dict[str, T]] = []
    for number in range(rounds):
        names = list(subjects)[:: 1 if number % 2 == 0 else -1]
        measured.append({name: subjects[name]() for name in names})
    return measured
