"""Shifts a process's wall clock, as someone who sets the machine's clock would.

Python imports this at its start where this directory is on PYTHONPATH. The seconds to shift by
stand in the file that FAULTS_CLOCK names, and may change at any time. No other clock is touched.
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
