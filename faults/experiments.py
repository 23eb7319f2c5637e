"""The registry of experiments, what an experiment is handed, and what it finds."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.database.postgresql import Cluster


@dataclass(frozen=True)
class Finding:
    """One thing an experiment found.

    Attributes:
        what: one line for the table.
        measured: in words or a number with its unit.
        bar: what was promised; empty where a number is only reported.
        met: whether it is so; None where it is only reported.
        detail: how it came about, for the notes.
    """

    what: str
    measured: str
    bar: str = ""
    met: bool | None = None
    detail: str = ""


@dataclass(frozen=True)
class Skipped:
    """A part that can't run here, and why."""

    what: str
    why: str


Result = Finding | Skipped


@dataclass(frozen=True)
class Moment:
    """One answer of one verifier on the timeline of an outage.

    Attributes:
        lane: who was asked, and about what.
        at: seconds since the outage began.
        answer: ``allowed``, or the reason of the refusal.
    """

    lane: str
    at: float
    answer: str


@dataclass
class Lab:
    """One run: a directory that is removed afterwards, and what is kept for the drawing.

    Attributes:
        directory: for files of this experiment.
        short: smaller numbers, same code: what the test suite runs.
        say: tells whoever watches what goes on.
        shared: a PostgreSQL that experiments share, to save time; else each has its own.
        delays: per verifier, the seconds from a deactivation's answer to its first refusal.
        timeline: the answers around an outage.
        marks: what happened when on the timeline, in seconds since the outage began.
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
        """A PostgreSQL; whoever stops it starts it again."""
        if self.shared is not None:
            yield self.shared
        else:
            with Cluster() as cluster:
                yield cluster

    def number(self, full: int, short: int) -> int:
        """One of two numbers: of the full run, or of the short one."""
        return short if self.short else full


Run = Callable[[Lab], Iterator[Result]]


@dataclass(frozen=True)
class Experiment:
    """An experiment as it is listed."""

    place: int
    name: str
    title: str
    run: Run

    @property
    def text(self) -> str:
        """What it does, and when it passes: the paragraphs of its docstring."""
        paragraphs = (inspect.getdoc(self.run) or "").split("\n\n")
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


_registered: dict[str, Experiment] = {}


def experiments() -> dict[str, Experiment]:
    """All of them by name, in the order of the table."""
    return dict(sorted(_registered.items(), key=lambda item: item[1].place))


def experiment(place: int, name: str, title: str) -> Callable[[Run], Run]:
    """Register an experiment. Its docstring says what it does, and last when it passes.

    Args:
        place: where in the table it stands.
        name: what ``--only`` calls it.
    """

    def register(run: Run) -> Run:
        _registered[name] = Experiment(place, name, title, run)
        return run

    return register
