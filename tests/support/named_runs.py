"""Functions that a command line lists and runs by name, and its progress lines."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Run = TypeVar("Run", bound=Callable[..., object])


@dataclass(frozen=True)
class NamedRun(Generic[Run]):
    """A registered function."""

    place: int
    name: str
    title: str
    run: Run


class NamedRuns(Generic[Run]):
    """A registry of functions; calling it makes a decorator that registers one."""

    def __init__(self) -> None:
        self._registered: list[NamedRun[Run]] = []

    def __call__(self, place: int, name: str, title: str) -> Callable[[Run], Run]:
        """Register a function.

        Args:
            place: its position in the list.
            name: its name for ``--only``.
            title: its description in one line.
        """

        def register(run: Run) -> Run:
            self._registered.append(NamedRun(place, name, title, run))
            return run

        return register

    def by_name(self) -> dict[str, NamedRun[Run]]:
        """All registered functions, in the order of their places."""
        return {each.name: each for each in sorted(self._registered, key=lambda one: one.place)}


def progress() -> Callable[[str], None]:
    """A function that prints a line with the seconds since now to standard error."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:4.0f} s] {text}", file=sys.stderr, flush=True)

    return say
