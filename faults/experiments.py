"""The registry of experiments, their environment, and their findings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.database.postgresql import Cluster
from tests.support.named_runs import NamedRuns


@dataclass(frozen=True)
class Finding:
    """One result of an experiment.

    Attributes:
        what: one line for the table.
        measured: words, or a number with its unit.
        bar: the promised value; empty if the number is only reported.
        met: whether the promise was met; None if the number is only reported.
        detail: more about it, for the notes.
        only_slow: everything came as promised, if perhaps later: what a machine that is busy with
            other things may do, so that the test suite doesn't count it.
    """

    what: str
    measured: str
    bar: str = ""
    met: bool | None = None
    detail: str = ""
    only_slow: bool = False


@dataclass(frozen=True)
class Skipped:
    """A part that can't run on this machine, and why."""

    what: str
    why: str


Result = Finding | Skipped


@dataclass(frozen=True)
class Moment:
    """One answer of one verifier on the timeline of an outage.

    Attributes:
        lane: the node, and the token.
        at: seconds since the outage began.
        answer: ``allowed``, or the reason of the refusal.
    """

    lane: str
    at: float
    answer: str


@dataclass
class Lab:
    """The environment of a run, and what it records for the drawing.

    Attributes:
        directory: for files of this experiment; removed afterwards.
        short: smaller numbers, same code, as in the test suite.
        say: prints progress.
        shared: a PostgreSQL that experiments share, to save time; by default each has its own.
        delays: per verifier, the seconds from a deactivation's answer to its first refusal.
        timeline: the answers around an outage.
        marks: events on the timeline, in seconds since the outage began.
    """

    directory: Path
    short: bool
    say: Callable[[str], None]
    shared: Cluster | None = None
    delays: dict[str, list[float]] = field(default_factory=dict)
    timeline: list[Moment] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """A PostgreSQL. An experiment that stops it must restart it."""
        if self.shared is not None:
            yield self.shared
        else:
            with Cluster() as cluster:
                yield cluster

    def number(self, full: int, short: int) -> int:
        """*full* in a full run, *short* in a short one."""
        return short if self.short else full


#: Registers an experiment; a decorator. The function's docstring ends with the pass criteria.
experiment = NamedRuns[Callable[[Lab], Iterator[Result]]]()
