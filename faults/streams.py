"""Deactivates tokens whose streaming answers are open, and takes the registry away."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from faults.answers import boot_ns
from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import Installation, Node
from faults.stages import in_ms
from tests.support.processes.ports import free_port
from tests.support.processes.serving import serving

PROMISED_SECONDS = 1.0
_STALENESS = 4
_LONGEST_SECONDS = 60.0
_ROOT = Path(__file__).parent.parent


class _Stream:
    """An open answer; a thread reads it to its end.

    Attributes:
        ended: when it ended (CLOCK_BOOTTIME, in nanoseconds); 0 before.
        incomplete: whether the client could tell that it wasn't complete.
    """

    def __init__(self, url: str, text: str) -> None:
        self.id = text[:21]
        self.ended = 0
        self.incomplete = False
        self.begun = threading.Event()
        self.thread = threading.Thread(target=self._read, args=(url, text), daemon=True)
        self.thread.start()

    def _read(self, url: str, text: str) -> None:
        headers = {"authorization": f"Bearer {text}"}
        try:
            with httpx.stream("GET", url, headers=headers, timeout=_LONGEST_SECONDS) as answer:
                answer.raise_for_status()
                for _ in answer.iter_raw():
                    self.begun.set()
        except httpx.RemoteProtocolError:
            self.incomplete = True
            self.ended = boot_ns()


@experiment(13, "streams", "Streaming answers whose token ends")
def streams(lab: Lab) -> Iterator[Result]:
    """A node on SQLite, and a service with an embedded verifier that serves streaming answers, one
    for each token. Tokens are deactivated over the API, one after the other. Then the node is
    stopped, and the service's copy goes stale.

    Passes when every answer breaks off within a second of its token's deactivation, or of the end
    of the copy's lease, and none before; and when each client can tell that its answer is
    incomplete.
    """
    count = lab.number(200, 10)
    installation = Installation(lab.directory / "streams")
    texts = installation.tokens(2 * count)
    with (
        installation.nodes(1, GATEPASS_MAX_STALENESS=str(_STALENESS)) as (node,),
        _service(lab, installation, node) as url,
    ):
        opened = [_Stream(url, text) for text in texts]
        begun = sum(stream.begun.wait(_LONGEST_SECONDS) for stream in opened)
        yield Finding("answers begun", f"{begun} of {len(texts)}", "all", begun == len(texts))
        deactivated, kept = opened[:count], opened[count:]
        delays = _deactivate(node, deactivated)
        yield Finding(
            "delay from the deactivation's 200 to the end of the answer: median, p99, maximum",
            in_ms(delays),
            f"≤ {PROMISED_SECONDS:.0f} s",
            len(delays) == count and max(delays) <= PROMISED_SECONDS,
            f"{len(delays)} of {count} answers ended",
        )
        early = sum(1 for stream in kept if stream.ended)
        yield Finding("answers of active tokens that ended", str(early), "0", not early)
        stopped = boot_ns()
        node.stop()
        for stream in kept:
            stream.thread.join(_LONGEST_SECONDS)
        after = [(stream.ended - stopped) / 1e9 for stream in kept if stream.ended]
        yield Finding(
            "from the registry's stop to the end of every other answer",
            f"{max(after, default=0):.1f} s",
            f"≤ {_STALENESS + PROMISED_SECONDS:.0f} s",
            len(after) == count and max(after) <= _STALENESS + PROMISED_SECONDS,
        )
        complete = sum(1 for stream in opened if not stream.incomplete)
        yield Finding("answers that looked complete", str(complete), "0", not complete)


@contextmanager
def _service(lab: Lab, installation: Installation, node: Node) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "faults.streaming_app:app", "--port", str(port)]
    url = f"http://127.0.0.1:{port}/stream"
    environ = {
        "STREAMS_URL": f"http://127.0.0.1:{node.port}",
        "STREAMS_KEY": installation.key,
        "STREAMS_DIRECTORY": str(lab.directory / "copy"),
    }
    with serving(command, lambda: httpx.get(url), lab.directory, cwd=_ROOT, **environ):
        yield url


def _deactivate(node: Node, streams: list[_Stream]) -> list[float]:
    """Deactivate the tokens; the seconds from each answer to the end of the stream."""
    rest, answered = node.rest_client(), {}
    for stream in streams:
        if rest.deactivate(stream.id) == 200:
            answered[stream.id] = boot_ns()
    deadline = time.monotonic() + _LONGEST_SECONDS
    for stream in streams:
        stream.thread.join(max(0.0, deadline - time.monotonic()))
    return [
        max(0, stream.ended - answered[stream.id]) / 1e9
        for stream in streams
        if stream.ended and stream.id in answered
    ]
