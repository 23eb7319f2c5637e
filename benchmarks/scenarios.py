"""The registry of scenarios, and their environment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Result
from benchmarks.population import Population

SMALL, LARGE, VERY_LARGE = 1_000, 1_000_000, 10_000_000


@dataclass
class Bench:
    """The environment of a run.

    Attributes:
        directory: for files of this run; removed afterwards.
        quick: fewer and shorter rounds, to check that everything works.
        say: prints progress.
    """

    directory: Path
    quick: bool
    say: Callable[[str], None]
    _populations: dict[int, Population] = field(default_factory=dict)

    def population(self, size: int) -> Population:
        """The grant file of *size* grants, built at its first use and shared by all scenarios."""
        if size not in self._populations:
            self.say(f"building a grant file of {size:,} grants")
            path = self.directory / f"{size}.db"
            self._populations[size] = Population.build(path, size)
        return self._populations[size]

    def rounds(self, full: int) -> int:
        """The number of rounds to measure: *full* in a full run."""
        return 3 if self.quick else full


Scenario = Callable[[Bench], Iterator[Result]]


@dataclass(frozen=True)
class Registered:
    """A registered scenario."""

    place: int
    name: str
    title: str
    run: Scenario


_registered: dict[str, Registered] = {}


def scenarios() -> dict[str, Registered]:
    """All registered scenarios by name, in the order of the table."""
    return dict(sorted(_registered.items(), key=lambda item: item[1].place))


def scenario(place: int, name: str, title: str) -> Callable[[Scenario], Scenario]:
    """Register a scenario.

    Args:
        place: its position in the table.
        name: its name for ``--only``.
        title: its description in one line.
    """

    def register(run: Scenario) -> Scenario:
        _registered[name] = Registered(place, name, title, run)
        return run

    return register
