"""Polls nodes about a few tokens, and records each answer with its time."""

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
        node: the node that answered.
        about: the token's name in this experiment.
        asked: before the request was sent; the decision isn't older.
        replied: after the answer arrived; the decision isn't newer.
        reason: ``allowed``, the reason of the refusal, or why there was no decision.
    """

    node: str
    about: str
    asked: int
    replied: int
    reason: str


class Watch:
    """A thread that polls one node about each of some tokens in turn.

    Args:
        node: the node.
        asked: token texts by their names; more may be added while it runs.
    """

    def __init__(self, node: Node, asked: dict[str, str]) -> None:
        self.node = node
        self.asked = dict(asked)
        self.answers: list[Answer] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> list[Answer]:
        """Stop polling; all answers."""
        self._stopped.set()
        self._thread.join()
        return self.answers

    def _run(self) -> None:
        client = self.node.decision_client()
        while not self._stopped.wait(_PAUSE):
            for about, text in list(self.asked.items()):
                asked = boot_ns()
                reason = client.reason(text)
                self.answers.append(Answer(self.node.name, about, asked, boot_ns(), reason))


def last_allowed(answers: Sequence[Answer], since: int) -> float:
    """Seconds from *since* until the last request answered "allowed" was sent; 0.0 if none was."""
    late = [each.asked - since for each in answers if each.reason == "allowed"]
    return max([0, *late]) / 1e9


def boot_ns() -> int:
    """CLOCK_BOOTTIME in nanoseconds: one clock for all processes of the machine."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
