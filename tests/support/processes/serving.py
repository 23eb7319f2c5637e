"""A server, of whatever make, as a process of its own."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.support.needs import require
from tests.support.waiting import until


@contextmanager
def serving(
    command: Sequence[str],
    ask: Callable[[], object],
    directory: Path,
    *,
    cwd: Path | None = None,
    **environ: str,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run *command* until the block is left, which begins once the server answers.

    Args:
        ask: sends it a request with httpx.
        directory: for its log.
        cwd: where it runs; in *directory* by default.
        environ: variables besides this process's own.
    """
    require("processes")
    output = directory / "log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd or directory,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answers() -> bool:
        assert process.poll() is None, output.read_text()
        with suppress(httpx.TransportError):
            ask()
            return True
        return False

    try:
        until(answers, output.read_text)
        yield process
    finally:
        process.terminate()
        # uWSGI's master goes on after the signal while it holds back a respawn; and without a
        # master, workers outlive the first of them.
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
