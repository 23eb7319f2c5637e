"""What the processes of a node count for ``/metrics``, in memory that they share.

Counting costs tens of nanoseconds and no I/O. The names, types and labels that a scraper sees are
in ``web.metrics``.
"""

import os
import resource
import time
from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, Generic, TypeVar

from gatepass.core.reason import Reason
from gatepass.shared_words import Area, SharedWords

_NS: Final = 1_000_000_000
#: Why a sign-in failed, in no more detail than the visitor is told: a scraper must not be able to
#: tell a wrong password from a wrong code, or an account from none.
SIGN_IN_FAILURES: Final = ("credentials", "throttled", "busy", "provider")

Label = TypeVar("Label", bound=Hashable)


class Counter(Generic[Label]):
    """A counter for each of some labels.

    Args:
        area: where it counts; may be larger.
        labels: the same for all processes, in the same order.
    """

    def __init__(self, area: Area, labels: Sequence[Label]) -> None:
        self._area = area
        self._at = {label: at for at, label in enumerate(labels)}
        if len(self._at) > len(area.own):
            raise ValueError("there are more labels than room")
        self._lock = Lock()

    def add(self, label: Label, number: int = 1) -> None:
        """Count *number* more."""
        at = self._at[label]
        # A thread that was interrupted between reading and writing would undo others' counts.
        with self._lock:
            self._area.own[at] += number

    def totals(self) -> Iterator[tuple[Label, int]]:
        """What all processes counted."""
        return zip(self._at, self._area.sums(len(self._at)), strict=True)


@dataclass(frozen=True, slots=True)
class Durations:
    """What a histogram counted.

    Attributes:
        buckets: how many took at most each of the bounds; the last is how many there are.
        sum_s: all of them together, in seconds.
    """

    buckets: tuple[int, ...]
    sum_s: float


class Histogram(Generic[Label]):
    """A histogram of durations for each of some labels. For one thread of each process.

    Args:
        area: where it counts; may be larger.
        bounds: the buckets' upper bounds, in nanoseconds.
        labels: the same for all processes, in the same order.
    """

    def __init__(self, area: Area, bounds: Sequence[int], labels: Sequence[Label]) -> None:
        self._area = area
        self.bounds_s = tuple(bound / _NS for bound in bounds)
        self._bounds = bounds
        # A word for each bucket, one for what is longer, one for the sum.
        self._width = len(bounds) + 2
        self._at = {label: at * self._width for at, label in enumerate(labels)}
        if len(self._at) * self._width > len(area.own):
            raise ValueError("there are more labels than room")

    def observe(self, label: Label, duration_ns: int) -> None:
        """Count one duration."""
        start, own = self._at[label], self._area.own
        own[start + bisect_left(self._bounds, duration_ns)] += 1
        own[start + self._width - 1] += duration_ns

    def durations(self) -> Iterator[tuple[Label, Durations]]:
        """What all processes counted, of the labels that occurred."""
        sums = self._area.sums(len(self._at) * self._width)
        for label, start in self._at.items():
            *counts, sum_ns = sums[start : start + self._width]
            if any(counts):
                buckets = [sum(counts[: at + 1]) for at in range(len(counts))]
                yield label, Durations(tuple(buckets), sum_ns / _NS)


class Workers:
    """Facts about the worker processes themselves."""

    _STARTED, _CPU_NS, _RESIDENT, _FOLLOWERS = range(4)

    def __init__(self, area: Area) -> None:
        self._area = area
        self._lock = Lock()
        own = area.own
        # The process that had this shard before is dead, and what it was has gone with it.
        own[self._RESIDENT] = own[self._FOLLOWERS] = 0
        self._cpu_before_ns = own[self._CPU_NS]

    def record(self) -> None:
        """Record this process's use of CPU and memory."""
        own = self._area.own
        with self._lock:
            used = resource.getrusage(resource.RUSAGE_SELF)
            own[self._STARTED] = own[self._STARTED] or int(time.time())
            own[self._RESIDENT] = _resident_bytes()
            own[self._CPU_NS] = self._cpu_before_ns + int(_NS * (used.ru_utime + used.ru_stime))

    def following(self, change: int) -> None:
        """Count a follower that comes (1) or goes (-1). For one thread of each process."""
        self._area.own[self._FOLLOWERS] += change

    @property
    def started(self) -> int:
        """When the first of them started, in Unix seconds."""
        return min((at for at in self._area.values(self._STARTED) if at), default=0)

    @property
    def cpu_s(self) -> float:
        """The CPU time that they and their predecessors used."""
        return sum(self._area.values(self._CPU_NS)) / _NS

    @property
    def resident_bytes(self) -> int:
        """The memory that they use; what they share counts for each."""
        return sum(self._area.values(self._RESIDENT))

    @property
    def followers(self) -> int:
        """The embedded verifiers that they serve."""
        return sum(self._area.values(self._FOLLOWERS))


class NodeCounters:
    """All that a node counts.

    Attributes:
        decisions: by reason.
        sign_in_failures: by kind.
        exits: worker processes that ended by themselves, by role; the supervisor counts them.
        workers: facts about the worker processes.
        misconfigurations, decision_durations, http_durations: areas for counters and histograms
            whose labels ``web`` defines.
    """

    def __init__(self, words: SharedWords | None = None) -> None:
        words = words or SharedWords()
        self.decisions = Counter(words.take(len(Reason)), tuple(reason.value for reason in Reason))
        self.sign_in_failures = Counter(words.take(len(SIGN_IN_FAILURES)), SIGN_IN_FAILURES)
        self.exits = Counter(words.take(2), ("main", "verify"))
        self.workers = Workers(words.take(4))
        self.misconfigurations = words.take(32)
        self.decision_durations = words.take(256)
        self.http_durations = words.take(30_000)


def _resident_bytes() -> int:
    """The memory that this process uses; 0 where the system doesn't say."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
