"""Child processes of tests: real ones, that never outlive their test by long."""

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LONGEST_S = 60


def in_child(work: Callable[[], object]) -> int:
    """Run *work* in a child process; its id. It exits with 0 if nothing was raised."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        # Should the test die, nobody is left waiting for its child.
        signal.alarm(_LONGEST_S)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finished(child: int) -> bool:
    """Wait for a child; whether it succeeded."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextmanager
def killed_in_the_end(
    work: Callable[[], object], how: signal.Signals = signal.SIGKILL
) -> Iterator[int]:
    """A child that runs *work* until the block is left, and is killed then."""
    child = in_child(work)
    try:
        yield child
    finally:
        os.kill(child, how)
        os.waitpid(child, 0)
