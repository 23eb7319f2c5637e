"""Shifts a process's wall clock, as setting the machine's clock would.

Python imports this module at its start if this directory is on PYTHONPATH. The file that
FAULTS_CLOCK names holds the seconds to shift by, and may change at any time. Other clocks stay.
"""

import os
import time
from pathlib import Path

_LOOK_SECONDS = 0.02

_file = Path(os.environ["FAULTS_CLOCK"])
_true_ns = time.time_ns
_shift_ns, _look_again = 0, 0.0


def _time_ns() -> int:
    global _shift_ns, _look_again
    if time.monotonic() >= _look_again:
        _look_again = time.monotonic() + _LOOK_SECONDS
        _shift_ns = int(_file.read_text()) * 10**9
    return _true_ns() + _shift_ns


def _time() -> float:
    return _time_ns() / 1e9


time.time_ns = _time_ns
time.time = _time
