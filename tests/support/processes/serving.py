"""Any server as a process."""

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
    """Run *command* for the length of the block, which begins once the server answers.

    Args:
        ask: sends it a request with httpx.
        directory: for its log.
        cwd: its working directory, by default *directory*.
        environ: more environment variables.
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
        # uWSGI's master ignores the signal while it delays a respawn; without a master, workers
        # outlive the first of them.
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
