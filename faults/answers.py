"""Nodes asked again and again about a few tokens, and what they said when."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from faults.installation import Node

_PAUSE = 0.02


@dataclass(frozen=True)
class Answer:
    """One answer. Times are CLOCK_BOOTTIME in nanoseconds.

    Attributes:
        node: who was asked.
        about: what the token is called here.
        asked: before the question was sent; so nothing was decided earlier.
        replied: after the answer had come; so nothing was decided later.
        reason: ``allowed``, why not, or why nothing was decided.
    """

    node: str
    about: str
    asked: int
    replied: int
    reason: str


class Watch:
    """Asks one node about each of some tokens in turn, on a thread of its own.

    Args:
        node: whom.
        asked: token texts by what they are called here; more may be added while it runs.
    """

    def __init__(self, node: Node, asked: dict[str, str]) -> None:
        self.node = node
        self.asked = dict(asked)
        self.answers: list[Answer] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> list[Answer]:
        """End it; all answers."""
        self._stopped.set()
        self._thread.join()
        return self.answers

    def _run(self) -> None:
        asking = self.node.asking()
        while not self._stopped.wait(_PAUSE):
            for about, text in list(self.asked.items()):
                asked = boot_ns()
                reason = asking.reason(text)
                self.answers.append(Answer(self.node.name, about, asked, boot_ns(), reason))


def last_allowed(answers: Sequence[Answer], since: int) -> float:
    """How many seconds after *since* the last question was sent that was answered "allowed"; 0.0 if
    there was none."""
    late = [each.asked - since for each in answers if each.reason == "allowed"]
    return max([0, *late]) / 1e9


def boot_ns() -> int:
    """CLOCK_BOOTTIME: one clock for all processes of the machine."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
