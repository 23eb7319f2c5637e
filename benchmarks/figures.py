"""Results of a scenario: ratios with bars, plain values, and parts that could not run."""

from dataclasses import dataclass
from math import log10
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One ratio or rate, measured several times within one run.

    Attributes:
        name: short name for the drawing.
        what: one line for the table.
        ratios: one per round.
        bar: the promised value.
        at_most: whether the bar is an upper bound, not a lower one.
        detail: the absolute numbers, and how they were measured.
        unit: of a rate; empty for a ratio.
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
        """Whether the median meets the bar."""
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
    """A number without a bar."""

    what: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Missing:
    """A part that could not run on this machine, and why."""

    what: str
    why: str


Result = Figure | Value | Missing


def number_text(number: float) -> str:
    """A number with a sensible number of digits."""
    if number >= 1_000:
        # A rate: three significant digits.
        return f"{round(number, 2 - int(log10(number))):,.0f}"
    return f"{number:.0f}" if number >= 20 else f"{number:.1f}" if number >= 4 else f"{number:.2f}"
