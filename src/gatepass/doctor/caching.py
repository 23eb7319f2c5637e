"""Whether a decision is kept: by the gateway, or by a cache in front of it."""

from collections.abc import Callable
from time import monotonic, sleep

from gatepass.core.reason import Reason
from gatepass.doctor import findings
from gatepass.doctor.findings import Finding
from gatepass.doctor.probes import Probe, Prober

_POLL_S = 0.1


def caching(
    refused: Prober,
    end: Callable[[], None],
    allowed: tuple[Prober, Callable[[Probe], bool]] | None,
    wait_s: float,
) -> Finding:
    """Send a call with, without, and with an ended token.

    Args:
        refused: sends calls that were refused for another reason than their token's state.
        end: ends the tokens.
        allowed: sends calls that were allowed, and tells whether one reached the API.
        wait_s: how long a node may take to know that a token ended.

    Raises:
        Unreachable: the gateway stopped answering.
    """
    problems = []
    path = refused.path
    with_token, without = refused.call(target=path), refused.call(target=path, credential=())
    if _same(with_token, without):
        problems.append("a call without a token got the answer of one with a token")
    answers = [each.answer for each in (with_token, without) if each.refused]
    if any("no-store" not in (each.header("cache-control") or "").lower() for each in answers):
        problems.append("refusals come without Cache-Control: no-store")
    if any(each.header("age") for each in answers):
        problems.append("refusals come from a cache (Age)")
    if allowed is not None:
        allowed[0].call(target=path)
    end()
    if not _within(wait_s, lambda: not _same(with_token, refused.call(target=path))):
        problems.append("a token that has ended got the answer of before")
    if allowed is not None:
        prober, reached = allowed
        if not _within(wait_s, lambda: not reached(prober.call(target=path))):
            problems.append("a token that has ended still reached the API")
    return findings.CACHING.of(problems, "an ended token was refused on its next call")


def _same(one: Probe, other: Probe) -> bool:
    """Whether two answers are those of the same decision, as far as they tell."""
    if one.answer.status != other.answer.status:
        return False
    # Every token that ended has the same status, but not every gateway passes reasons on.
    return one.told is not None and one.told == other.told != Reason.token_deactivated


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    until = monotonic() + seconds
    while not holds():
        if monotonic() >= until:
            return False
        sleep(_POLL_S)
    return True
