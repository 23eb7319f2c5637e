"""What a decision adds to the time of a call, and whether the clocks agree."""

from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from math import ceil

from gatepass.doctor import findings
from gatepass.doctor.decided import Examined, Step
from gatepass.doctor.findings import Finding
from gatepass.doctor.wire import Answer, Connection

#: How many calls are timed.
CALLS = 200
#: How far clocks may be apart: a Date header has whole seconds.
TOLERANCE_S = 2.0

_PAGE = "https://timing.gatepass-doctor.invalid"


def clock(examined: Examined) -> Step:
    """The gateway's clock and the node's agree with this computer's."""
    seen = yield
    first = examined.first
    sent_at, received_at = first.answer.sent_at, first.answer.received_at
    row = seen(first)
    times = {
        "the gateway's": _date(first.answer),
        "Gatepass's": None if row is None else row.first_at / 1000,
    }
    known = {
        whose: max(at - received_at, 0.0) or min(at - sent_at, 0.0)
        for whose, at in times.items()
        if at is not None
    }
    wrong = [
        f"{whose} clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
        for whose, off in known.items()
        if abs(off) > TOLERANCE_S
    ]
    return findings.CLOCK.of(wrong, f"within {TOLERANCE_S:.0f} s of this computer's")


def added_time(examined: Examined, calls: int = CALLS) -> Finding:
    """The time of refused calls, less that of preflights, which the gateway answers itself.

    Raises:
        Unreachable: the gateway stopped answering.
    """
    path, token = examined.prober.path, ("Authorization", f"Bearer {examined.prober.token}")
    page = ("Origin", _PAGE)
    preflight = (page, ("Access-Control-Request-Method", "GET"))
    with examined.prober.gateway.connection() as connection:
        decided = _seconds(connection, calls, lambda: connection.ask("GET", path, (page, token)))
        answer = connection.ask("OPTIONS", path, preflight)
        if answer.status >= 300 or answer.header("x-gatepass-reason"):
            return findings.TIME.passed(
                f"a refused call takes {_shown(*_percentiles(decided))} in all; without a decision "
                "it can't be compared, as the gateway doesn't answer preflights"
            )
        own = _seconds(connection, calls, lambda: connection.ask("OPTIONS", path, preflight))
    p50, p99 = (max(0.0, a - b) for a, b in zip(*map(_percentiles, (decided, own)), strict=True))
    return findings.TIME.passed(f"{_shown(p50, p99)} over an answer of the gateway alone")


def _seconds(connection: Connection, calls: int, ask: Callable[[], Answer]) -> list[float]:
    ask()
    return sorted(ask().seconds for _ in range(calls))


def _percentiles(times: Sequence[float]) -> tuple[float, float]:
    return times[ceil(len(times) * 0.5) - 1], times[ceil(len(times) * 0.99) - 1]


def _shown(p50: float, p99: float) -> str:
    return f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"


def _date(answer: Answer) -> float | None:
    try:
        return parsedate_to_datetime(answer.header("date") or "").timestamp()
    except ValueError:
        return None
