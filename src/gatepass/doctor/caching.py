"""Whether a decision is kept: by the gateway, or by a cache in front of it."""

from collections.abc import Callable
from time import monotonic, sleep

from gatepass.core.reason import Reason
from gatepass.doctor import findings
from gatepass.doctor.findings import Finding
from gatepass.doctor.probes import Probe, Prober
from gatepass.doctor.wire import Headers

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
    with_token, without = _repeated(refused), _repeated(refused, credential=())
    # Then the gateway tells neither from the other.
    alike = with_token.told is None and _same(with_token, without)
    if not alike and _same(with_token, without):
        problems.append("a call without a token got the answer of one with a token")
    answers = [each.answer for each in (with_token, without) if each.refused]
    # Without the header no cache keeps a 401 or 403 by itself.
    allowing = {each.header("cache-control") or "no-store" for each in answers}
    problems += [
        f"refusals say Cache-Control: {each}"
        for each in sorted(allowing)
        if "no-store" not in each.lower()
    ]
    if any(each.header("age") for each in answers):
        problems.append("refusals come from a cache (Age)")
    if allowed is not None:
        _repeated(allowed[0])
    end()
    if not alike and not _within(wait_s, lambda: not _same(with_token, _repeated(refused))):
        problems.append("a token that has ended got the answer of before")
    if allowed is not None:
        prober, reached = allowed
        if not _within(wait_s, lambda: not reached(_repeated(prober))):
            problems.append("a token that has ended still reached the API")
    return findings.CACHING.of(problems, "an ended token was refused on its next call")


def _repeated(prober: Prober, credential: Headers | None = None) -> Probe:
    """A call that a cache can't tell from the one before, unless by its token."""
    origin = f"https://same-{prober.run}.gatepass-doctor.invalid"
    return prober.call(target=prober.path, origin=origin, credential=credential)


def _same(one: Probe, other: Probe) -> bool:
    """Whether two answers are those of the same decision, as far as they tell."""
    # Of two tokens that have ended, none was kept.
    told = (one.answer.status, one.told)
    return told == (other.answer.status, other.told) and one.told != Reason.token_deactivated


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    until = monotonic() + seconds
    while not holds():
        if monotonic() >= until:
            return False
        sleep(_POLL_S)
    return True
