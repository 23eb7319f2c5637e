"""The registry of scenarios, and their environment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Result
from benchmarks.population import Population
from tests.support.named_runs import NamedRuns

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


#: Registers a scenario; a decorator.
scenario = NamedRuns[Callable[[Bench], Iterator[Result]]]()
