"""Alternating rounds: what is compared is measured side by side, never one load beside another.

A shared machine is fast in one second and slow in the next. Two subjects measured right after one
another see the same machine, so the ratio within a round holds where the absolute numbers don't;
every other round goes backwards, so that neither is always the first.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def alternate(rounds: int, subjects: Mapping[str, Callable[[], T]]) -> list[dict[str, T]]:
    """Measure every subject once a round.

    Args:
        rounds: how many.
        subjects: by name, what measures one of them.

    Returns:
        One mapping from name to measurement per round.
    """
    measured: list[dict[str, T]] = []
    for number in range(rounds):
        names = list(subjects)[:: 1 if number % 2 == 0 else -1]
        measured.append({name: subjects[name]() for name in names})
    return measured
