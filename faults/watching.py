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
from collections.abc import Callable, Mapping, Set
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
    def __init__(self, reasons: Callable[[list[str]], list[str]]) -> None:
        self._reasons = reasons
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
        """Poll each token that isn't refused yet, and one each of the refused and active ones.

        All at once: one after the other, each would wait for the others' answers, and this
        process's own pace would be measured.
        """
        pending = list(self._pending.items())[:_AT_ONCE]
        refused = [self._random.choice(self._refused)] if self._refused else []
        living = [self._random.choice(self._living)] if self._living else []
        texts = [text for text, _ in pending + refused] + living
        asked = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        answers = iter(self._reasons(texts) if texts else [])
        replied = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for (text, seen), reason in zip(pending, answers, strict=False):
            self._count("being deactivated", reason, {ALLOWED, REFUSED})
            if reason == ALLOWED:
                seen.allowed_asked = asked
            elif reason == REFUSED:
                seen.refused_asked, seen.refused_replied = asked, replied
                del self._pending[text]
                self._refused.append((text, seen))
        for (_, seen), reason in zip(refused, answers, strict=False):
            self._count("refused", reason, {REFUSED})
            seen.allowed_again += reason == ALLOWED
        for reason in answers:
            self._count("active", reason, {ALLOWED})

    def _count(self, about: str, reason: str, right: Set[str]) -> None:
        self.report.answers[f"{about}: {reason}"] += 1
        if reason not in {*right, NOTHING}:
            self.report.wrong[f"a token that is {about}: {reason}"] += 1


def _reasons_of(chosen: dict[str, Any]) -> Callable[[list[str]], list[str]]:
    if "port" in chosen:
        return DecisionClient(chosen["port"], chosen["key"]).reasons
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

    return lambda texts: [reason(text) for text in texts]


def _main() -> None:
    logging.basicConfig(level=logging.ERROR)
    said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    watching = _Watching(_reasons_of(json.loads(sys.stdin.readline())))
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
