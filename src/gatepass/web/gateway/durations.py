"""How long decisions for gateways and services take, of one in 64."""

from time import perf_counter_ns
from typing import Final

from gatepass.node_counters import Histogram
from gatepass.shared_words import Area
from gatepass.web.gateway.services import PATHS

#: A fraction of the calls: reading the time twice and counting costs a tenth of a decision.
EVERY: Final = 64
AUTHZ: Final = "/authz"

_BOUNDS_NS: Final = tuple(
    1_000 * us
    for us in (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000)
)


class DecisionDurations:
    """Times one decision in ``EVERY``, from the parsed request to the reply.

    Args:
        area: where the node counts them (``NodeCounters.decision_durations``).

    Attributes:
        histogram: of the node's decisions, by endpoint.
    """

    __slots__ = ("_left", "histogram")

    def __init__(self, area: Area) -> None:
        self.histogram = Histogram(area, _BOUNDS_NS, (AUTHZ, *sorted(PATHS)))
        self._left = EVERY

    def begin(self) -> int:
        """The time, if this decision is to be timed; else 0."""
        self._left -= 1
        if self._left > 0:
            return 0
        self._left = EVERY
        return perf_counter_ns()

    def end(self, endpoint: str, began: int) -> None:
        """Count a decision for which ``begin`` returned a time."""
        self.histogram.observe(endpoint, perf_counter_ns() - began)
