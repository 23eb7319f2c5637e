"""Child processes: forked by a test for at most a minute, or listed by their parent's id."""

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_S = 60


def in_child(work: Callable[[], object]) -> int:
    """Run *work* in a child process; its id. It exits with 0 if nothing was raised."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        # Ends the child should the test die and never wait for it.
        signal.alarm(_LONGEST_S)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finished(child: int) -> bool:
    """Wait for a child to exit; whether it exited with 0."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextmanager
def killed_in_the_end(
    work: Callable[[], object], how: signal.Signals = signal.SIGKILL
) -> Iterator[int]:
    """A child that runs *work*, and is killed when the block ends."""
    child = in_child(work)
    try:
        yield child
    finally:
        os.kill(child, how)
        os.waitpid(child, 0)


def child_ids(process: int) -> list[int]:
    """The process ids of a process's children; empty if the process is gone."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]
