"""A watcher: a process that polls one verifier.

``python -m faults.watching`` reads JSON lines from standard input. The first names the verifier.
``{"watch": TEXT}`` adds a token that is about to be deactivated, ``{"lives": TEXT}`` one that stays
active. A watched token is polled until it is refused, and occasionally afterwards. At the end of
the input the process prints its report as JSON. Times are CLOCK_BOOTTIME in nanoseconds, one clock
for all processes of the machine.
"""

import contextlib
import json
import logging
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from faults.clients import NOTHING, DecisionClient

ALLOWED, REFUSED = "allowed", "token_deactivated"
#: Seconds between two polls, so that the verifier also has time for other requests.
_PAUSE = 0.01
_AT_ONCE = 64


@dataclass
class Seen:
    """A verifier's answers about one token.

    Attributes:
        allowed_asked: when the last request answered "allowed" was sent; 0 if none was.
        refused_asked, refused_replied: when the first refused request was sent and answered; 0
            before that.
        allowed_again: the number of answers "allowed" after a refusal.
    """

    id: str
    allowed_asked: int = 0
    refused_asked: int = 0
    refused_replied: int = 0
    allowed_again: int = 0


@dataclass
class Report:
    """A watcher's observations.

    Attributes:
        tokens: the watched tokens by id.
        answers: the number of answers, by token state and reason.
        wrong: answers that are wrong at any time, such as an active token refused.
    """

    tokens: dict[str, Seen] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


class Watcher:
    """A watcher process.

    Args:
        name: of the verifier.
        verifier: ``{"port": …, "key": …}`` for a node's port; ``{"url": …, "key": …, "directory":
            …}`` for an embedded verifier, which runs in the watcher's process.
        environ: more environment variables of the process.
    """

    def __init__(
        self, name: str, *, environ: Mapping[str, str] = MappingProxyType({}), **verifier: Any
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.watching"],
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lock = threading.Lock()
        self._say(verifier)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the watcher of {name} did not start")

    def watch(self, text: str) -> None:
        """Poll a token that is about to be deactivated."""
        self._say({"watch": text})

    def lives(self, text: str) -> None:
        """Poll a token that stays active."""
        self._say({"lives": text})

    def stop(self) -> Report:
        """Stop the process; its report."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        seen = json.loads(self._process.stdout.read())
        self._process.stdout.close()
        self._process.wait()
        return Report(
            {each["id"]: Seen(**each) for each in seen["tokens"]},
            Counter(seen["answers"]),
            Counter(seen["wrong"]),
        )

    def kill(self) -> None:
        """Kill the process."""
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

    def poll(self) -> None:
        """Poll each token that isn't refused yet, and one each of the refused and active ones."""
        for text, seen in list(self._pending.items())[:_AT_ONCE]:
            asked, reason, replied = self._ask("being deactivated", text)
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
            reason = self._ask("refused", text)[1]
            seen.allowed_again += reason == ALLOWED
            if reason not in (REFUSED, NOTHING):
                self.report.wrong[f"a token that was refused: {reason}"] += 1
        if self._living:
            reason = self._ask("active", self._random.choice(self._living))[1]
            if reason not in (ALLOWED, NOTHING):
                self.report.wrong[f"an active token: {reason}"] += 1

    def _ask(self, about: str, text: str) -> tuple[int, str, int]:
        asked = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        reason = self._reason(text)
        replied = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.report.answers[f"{about}: {reason}"] += 1
        return asked, reason, replied


def _reason_of(chosen: dict[str, Any]) -> Callable[[str], str]:
    if "port" in chosen:
        return DecisionClient(chosen["port"], chosen["key"]).reason
    from gatepass.core.errors import Unavailable
    from gatepass.verify.verifier import Verifier

    verifier = Verifier.follow(
        chosen["url"], key=chosen["key"], directory=Path(chosen["directory"])
    )

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
        watching.poll()
        time.sleep(_PAUSE)
    report = watching.report
    seen = {
        "tokens": [vars(seen) for seen in report.tokens.values()],
        "answers": report.answers,
        "wrong": report.wrong,
    }
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    _main()
