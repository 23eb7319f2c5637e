"""The stages between a deactivation's request and its refusal by other verifiers.

Nothing in the product takes these times. A module that only the experiment's processes load
(``traced_followers``) records when each copy reaches a revision, and PostgreSQL when each revision
committed. Times are CLOCK_BOOTTIME in nanoseconds.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from faults.experiments import Finding
from faults.watching import Seen

_TRACING = Path(__file__).with_name("traced_followers")


class Copied(NamedTuple):
    """A follower took its copy to *revision*.

    Attributes:
        began: it started to ask for changes; an embedded verifier: the changes arrived.
        read: it had read them.
        written: its file had them.
    """

    revision: int
    began: int
    read: int
    written: int


class Trace:
    """The trace of one verifier's follower.

    Args:
        directory: for the traces of all its processes.

    Attributes:
        environ: makes processes that are started with it record.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        path = os.pathsep.join(filter(None, (str(_TRACING), os.environ.get("PYTHONPATH"))))
        self.environ = {"PYTHONPATH": path, "FAULTS_TRACE": str(directory)}

    def read(self) -> "Copies":
        """All that was recorded, of all processes."""
        lines = [line for each in self._directory.iterdir() for line in each.open()]
        return Copies(Copied(*map(int, line.split())) for line in lines)


class Copies:
    """The steps of one copy, by revision."""

    def __init__(self, steps: Iterable[Copied]) -> None:
        self._steps = sorted(steps)

    def first_with(self, revision: int) -> Copied | None:
        """The first step after which the copy had *revision*."""
        at = bisect_left(self._steps, (revision,))
        return self._steps[at] if at < len(self._steps) else None


@dataclass
class Stages:
    """The durations of each stage, in seconds, in the order of the stages."""

    _found: dict[str, list[float]] = field(default_factory=dict)

    def request(self, sent: int, committed: int, answered: int) -> None:
        """Add a deactivation at the node that answered it."""
        self._add("at the asked node: request until the commit", committed - sent)
        self._add("at the asked node: commit until the 200", answered - committed)

    def node(self, committed: int, copied: Copied, seen: Seen) -> None:
        """Add a deactivation as another node received it."""
        began = max(committed, copied.began)
        self._add("at another node: commit until its follower asks", began - committed)
        self._add("at another node: until it has read the change", copied.read - began)
        self._add("at another node: until its file has it", copied.written - copied.read)
        self._refused("at another node", copied, seen)

    def embedded(self, committed: int, served: Copied, copied: Copied, seen: Seen) -> None:
        """Add a deactivation as an embedded verifier received it from the node that serves it."""
        self._add("embedded: commit until its server's file has it", served.written - committed)
        self._add("embedded: until the change arrives", copied.began - served.written)
        self._add("embedded: until its file has it", copied.written - copied.began)
        self._refused("embedded", copied, seen)

    def findings(self) -> Iterator[Finding]:
        """A row for each stage."""
        for stage, seconds in self._found.items():
            yield Finding(f"{stage}: median, p99, maximum", in_ms(seconds))

    def _refused(self, where: str, copied: Copied, seen: Seen) -> None:
        asked = max(copied.written, seen.refused_asked)
        self._add(f"{where}: until the next question", asked - copied.written)
        self._add(f"{where}: until its answer", seen.refused_replied - asked)

    def _add(self, stage: str, ns: int) -> None:
        # A reader may see a commit before its writer has noted it.
        self._found.setdefault(stage, []).append(max(0, ns) / 1e9)


def in_ms(seconds: Sequence[float]) -> str:
    """Median, 99th percentile and maximum."""
    found = (median(seconds), percentile_99(seconds), max(seconds))
    return ", ".join(f"{each * 1000:.0f}" for each in found) + " ms"


def percentile_99(seconds: Sequence[float]) -> float:
    """The 99th percentile."""
    return quantiles(seconds, n=100, method="inclusive")[98]
