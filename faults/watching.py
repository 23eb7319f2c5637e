"""A watcher: one verifier asked again and again, from a process of its own.

``python -m faults.watching`` reads JSON lines on standard input and writes some on standard output.
First comes whom to ask; then ``{"watch": TEXT}`` for a token that is about to be deactivated, or
``{"lives": TEXT}`` for one that stays; the end of the input ends it. A token that is watched is
asked about until it is refused, and now and then afterwards, for good. Times are CLOCK_BOOTTIME in
nanoseconds, which is one clock for all processes of the machine.
"""

import contextlib
import json
import logging
import queue
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.asking import NOTHING, Asking

ALLOWED, REFUSED = "allowed", "token_deactivated"
#: Between two rounds of questions, so that whoever is asked has time for others, too.
_PAUSE = 0.01
_AT_ONCE = 64


@dataclass
class Seen:
    """What a verifier said of one token.

    Attributes:
        allowed_asked: when it was last asked with the answer "allowed"; 0 if never.
        refused_asked, refused_replied: the first question that was refused, and its answer; 0
            while it isn't.
        allowed_again: "allowed" to a question asked after a refusal had come.
    """

    id: str
    allowed_asked: int = 0
    refused_asked: int = 0
    refused_replied: int = 0
    allowed_again: int = 0


@dataclass
class Report:
    """All that a watcher saw.

    Attributes:
        tokens: of those watched.
        answers: how many answers there were, by what they were about and the reason.
        wrong: answers that are wrong whatever the moment, such as a living token refused.
    """

    tokens: dict[str, Seen] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


class Watcher:
    """A watcher process, from outside.

    Args:
        name: of the verifier.
        whom: ``{"port": …, "key": …}`` for a node's port; ``{"url": …, "key": …, "directory": …}``
            for an embedded verifier, which then lives in that process.
    """

    def __init__(self, name: str, **whom: Any) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.watching"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = threading.Lock()
        self._say(whom)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{name} can't be watched")

    def watch(self, text: str) -> None:
        """Ask about a token that is about to be deactivated."""
        self._say({"watch": text})

    def lives(self, text: str) -> None:
        """Ask about a token that stays."""
        self._say({"lives": text})

    def stop(self) -> Report:
        """End it; what it saw."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        told = json.loads(self._process.stdout.read())
        self._process.stdout.close()
        self._process.wait()
        return Report(
            {each["id"]: Seen(**each) for each in told["tokens"]},
            Counter(told["answers"]),
            Counter(told["wrong"]),
        )

    def kill(self) -> None:
        """End it at once, whatever it is about."""
        self._process.kill()
        self._process.wait()

    def _say(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()


class _Watching:
    def __init__(self, reason: Callable[[str], str]) -> None:
        self._reason = reason
        self.report = Report()
        self._pending: dict[str, Seen] = {}
        self._refused: list[tuple[str, Seen]] = []
        self._living: list[str] = []
        self._random = random.Random(1)

    def take(self, what: dict[str, str]) -> None:
        if "lives" in what:
            self._living.append(what["lives"])
        else:
            text = what["watch"]
            self._pending[text] = self.report.tokens[text[:21]] = Seen(text[:21])

    def round(self) -> None:
        """One question about each token that isn't refused yet, and one about some others."""
        for text, seen in list(self._pending.items())[:_AT_ONCE]:
            asked, reason, replied = self._ask("ending", text)
            if reason == ALLOWED:
                seen.allowed_asked = asked
            elif reason == REFUSED:
                seen.refused_asked, seen.refused_replied = asked, replied
                del self._pending[text]
                self._refused.append((text, seen))
            elif reason != NOTHING:
                self.report.wrong[f"a token that is being deactivated: {reason}"] += 1
        if self._refused:
            text, seen = self._random.choice(self._refused)
            reason = self._ask("ended", text)[1]
            seen.allowed_again += reason == ALLOWED
            if reason not in (REFUSED, NOTHING):
                self.report.wrong[f"a token that was refused: {reason}"] += 1
        if self._living:
            reason = self._ask("living", self._random.choice(self._living))[1]
            if reason not in (ALLOWED, NOTHING):
                self.report.wrong[f"a token that lives: {reason}"] += 1

    def _ask(self, about: str, text: str) -> tuple[int, str, int]:
        asked = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        reason = self._reason(text)
        replied = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.report.answers[f"{about}: {reason}"] += 1
        return asked, reason, replied


def _reason_of(whom: dict[str, Any]) -> Callable[[str], str]:
    if "port" in whom:
        return Asking(whom["port"], whom["key"]).reason
    from gatepass.core.errors import Unavailable
    from gatepass.verify.verifier import Verifier

    verifier = Verifier.follow(whom["url"], key=whom["key"], directory=Path(whom["directory"]))

    def reason(text: str) -> str:
        try:
            return str(verifier.check(text, permission="charges:get").reason.value)
        except Unavailable as error:
            return error.reason

    return reason


def _main() -> None:
    logging.basicConfig(level=logging.ERROR)
    said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    watching = _Watching(_reason_of(json.loads(sys.stdin.readline())))
    print("ready", flush=True)

    def listen() -> None:
        for line in sys.stdin:
            said.put(json.loads(line))
        said.put(None)

    threading.Thread(target=listen, daemon=True).start()
    running = True
    while running:
        with contextlib.suppress(queue.Empty):
            while running:
                what = said.get_nowait()
                if what is None:
                    running = False
                else:
                    watching.take(what)
        watching.round()
        time.sleep(_PAUSE)
    report = watching.report
    told = {
        "tokens": [vars(seen) for seen in report.tokens.values()],
        "answers": report.answers,
        "wrong": report.wrong,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    _main()
