"""What a scenario reports: ratios with bars, plain values, and what could not run."""

from dataclasses import dataclass
from math import log10
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One ratio or rate, measured several times within one run.

    Attributes:
        name: short, for the drawing.
        what: one line for the table.
        ratios: one per round.
        bar: what was promised.
        at_most: whether the bar is an upper bound ("no more than"), not a lower one.
        detail: the absolute numbers behind it, and how they came about.
        unit: of a rate; a ratio has none.
    """

    name: str
    what: str
    ratios: tuple[float, ...]
    bar: float
    at_most: bool = False
    detail: str = ""
    unit: str = ""

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the median keeps the promise."""
        return self.ratio <= self.bar if self.at_most else self.ratio >= self.bar

    @property
    def ratio_text(self) -> str:
        """The median as written in tables."""
        return number_text(self.ratio) + self.unit

    @property
    def spread_text(self) -> str:
        """The smallest and the largest round."""
        return f"{number_text(min(self.ratios))}–{number_text(max(self.ratios))}"

    @property
    def bar_text(self) -> str:
        """The bar as written in tables."""
        return f"{'≤' if self.at_most else '≥'} {self.bar:,g}{self.unit}"


@dataclass(frozen=True)
class Value:
    """Something reported without a bar."""

    what: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Missing:
    """A part that could not run here, and why."""

    what: str
    why: str


Result = Figure | Value | Missing


def number_text(number: float) -> str:
    """A ratio with as many digits as it deserves."""
    if number >= 1_000:
        # A rate: three digits are told.
        return f"{round(number, 2 - int(log10(number))):,.0f}"
    return f"{number:.0f}" if number >= 20 else f"{number:.1f}" if number >= 4 else f"{number:.2f}"
