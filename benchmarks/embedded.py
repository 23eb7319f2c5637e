"""The embedded verifier against PyJWT in the same process, and against itself.

Texts are decoded from bytes right before they are timed, as if a server had just read them from a
socket, so that fetching the benchmark's own data from main memory isn't measured.
"""

import time
from collections.abc import Iterator
from random import Random
from statistics import median

import jwt

from benchmarks.figures import Figure, Result
from benchmarks.population import Population
from benchmarks.rounds import alternate
from benchmarks.sample_grants import CATALOGUE, NETWORKS_PER_GRANT, PATH_IDS, SampleCall
from benchmarks.scenarios import LARGE, SMALL, Bench, scenario
from gatepass.verify.cached_rows import CACHE_SIZE
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.recent import RecentCache
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier

#: Tokens in use where the cache is measured; it holds more (``cached_rows.CACHE_SIZE``).
WORKING_SET = 4_096
_BATCH = 100
_SCOPES = "charges:create charges:get charges:refund customers:get payouts:get refunds:get"
_KEY = "a key for measuring, as long as RFC 7518 wants one for HS256"

_RawCall = tuple[bytes, bytes, bytes, bytes]


class Forgetful(Verifier):
    """A verifier whose cache of texts can be emptied, so that a small file can be read again."""

    def forget(self) -> None:
        """Empty the cache of texts; holders and companies stay."""
        self._rows._tokens = RecentCache(CACHE_SIZE)
        self._forget_decisions()


class Subject:
    """A verifier over one grant file, and calls that it allows."""

    def __init__(self, population: Population) -> None:
        file = GrantFile(population.path)
        self._population = population
        self._usage = Usage(file.use_directory)
        self._verifier = Forgetful(file, Clock(), CATALOGUE.routes, usage=self._usage)
        self._random = Random(population.size)
        self._calls = _raw(population.calls(min(WORKING_SET, population.size)))
        for token, method, path, address in map(_fresh, self._calls):
            decision = self._verifier.check(token, method=method, path=path, address=address)
            assert decision.allowed, decision.reason

    def mean_ns(self, batches: int) -> float:
        """Mean nanoseconds of a random call of the working set, everything included."""
        check, clock, total = self._verifier.check, time.perf_counter_ns, 0
        for _ in range(batches):
            calls = [_fresh(raw) for raw in self._random.choices(self._calls, k=_BATCH)]
            start = clock()
            for token, method, path, address in calls:
                check(token, method=method, path=path, address=address)
            total += clock() - start
        self._usage.flush()
        return total / (batches * _BATCH)

    def uncached_ns(self, batches: int) -> float:
        """The median call with an uncached text, in nanoseconds."""
        calls: list[_RawCall] = []
        share = min(_BATCH * batches, self._population.size)
        medians = []
        for _ in range(_BATCH * batches // share):
            calls = _raw(self._population.calls(share, seed=self._random.randrange(1 << 30)))
            self._verifier.forget()
            medians.append(self._median(calls))
        return median(medians)

    def _median(self, raw_calls: list[_RawCall]) -> float:
        check, clock, times = self._verifier.check, time.perf_counter_ns, []
        for at in range(0, len(raw_calls), _BATCH):
            for token, method, path, address in map(_fresh, raw_calls[at : at + _BATCH]):
                start = clock()
                check(token, method=method, path=path, address=address)
                times.append(clock() - start)
        self._usage.flush()
        return median(times) - _timer_ns()


class HandWrittenJwt:
    """A check with PyJWT: decoding, which verifies signature and expiry, and one scope."""

    def __init__(self) -> None:
        self._random = Random(0)
        now = int(time.time())
        claims = {"iat": now, "exp": now + 86_400, "scope": _SCOPES}
        self._texts = [
            jwt.encode(claims | {"sub": f"usr_{number:016d}"}, _KEY, "HS256").encode()
            for number in range(WORKING_SET)
        ]

    def mean_ns(self, batches: int) -> float:
        """Mean nanoseconds of a call, everything included."""
        clock, total = time.perf_counter_ns, 0
        for _ in range(batches):
            texts = [raw.decode() for raw in self._random.choices(self._texts, k=_BATCH)]
            start = clock()
            for text in texts:
                claims = jwt.decode(text, _KEY, algorithms=["HS256"])
                assert "charges:get" in claims["scope"].split()
            total += clock() - start
        return total / (batches * _BATCH)


@scenario(1, "embedded", "The verifier in an application")
def embedded(bench: Bench) -> Iterator[Result]:
    """Cached calls against PyJWT, at a thousand and at a million grants."""
    small, large = Subject(bench.population(SMALL)), Subject(bench.population(LARGE))
    by_hand = HandWrittenJwt()
    batches = 100 if bench.quick else 500
    bench.say("embedded: cached, against PyJWT")
    rounds = alternate(
        bench.rounds(15),
        {
            "small": lambda: small.mean_ns(batches),
            "jwt": lambda: by_hand.mean_ns(batches // 4),
            "large": lambda: large.mean_ns(batches),
            "uncached": lambda: large.uncached_ns(batches // 4),
        },
    )
    for name, size, bar in (("small", SMALL, 16), ("large", LARGE, 10)):
        ours, theirs = (median(measured[key] for measured in rounds) for key in (name, "jwt"))
        yield Figure(
            name=f"Embedded, {size:,} grants, against PyJWT",
            what=f"embedded `Verifier.check`, cached, {size:,} grants, against PyJWT HS256",
            ratios=tuple(measured["jwt"] / measured[name] for measured in rounds),
            bar=bar,
            detail=(
                f"{ours / 1000:.1f} µs against {theirs / 1000:.1f} µs a call (mean); "
                f"{NETWORKS_PER_GRANT} networks, permission by route, use counted; "
                f"{min(size, WORKING_SET):,} tokens in use, {PATH_IDS} ids in paths"
            ),
        )
    ours, theirs = (median(measured[key] for measured in rounds) for key in ("uncached", "jwt"))
    yield Figure(
        name=f"Embedded, {LARGE:,} grants, uncached, against PyJWT",
        what=f"embedded `Verifier.check`, uncached, {LARGE:,} grants, against PyJWT HS256",
        ratios=tuple(measured["jwt"] / measured["uncached"] for measured in rounds),
        bar=2.5,
        detail=f"{ours / 1000:.1f} µs (median) against {theirs / 1000:.1f} µs (mean); every call "
        "another token, read from the file; page cache warm",
    )


@scenario(2, "growth", "A million grants against a thousand")
def growth(bench: Bench) -> Iterator[Result]:
    """The cost of a thousand times as many grants to a single call."""
    small, large = Subject(bench.population(SMALL)), Subject(bench.population(LARGE))
    batches = 50 if bench.quick else 300
    bench.say("growth: a million grants against a thousand, uncached")
    rounds = alternate(
        bench.rounds(9),
        {
            "small": lambda: small.uncached_ns(batches),
            "large": lambda: large.uncached_ns(batches),
        },
    )
    little, much = (median(measured[size] for measured in rounds) for size in ("small", "large"))
    yield Figure(
        name="A million grants against a thousand, uncached",
        what=f"median verification at {LARGE:,} grants against {SMALL:,}, uncached",
        ratios=tuple(measured["large"] / measured["small"] for measured in rounds),
        bar=2.2,
        at_most=True,
        detail=f"{much / 1000:.1f} µs against {little / 1000:.1f} µs; every call another token, "
        "read from the file; page cache warm",
    )


def _raw(calls: list[SampleCall]) -> list[_RawCall]:
    return [
        (call.token.encode(), call.method.encode(), call.path.encode(), call.address.encode())
        for call in calls
    ]


def _fresh(raw: _RawCall) -> tuple[str, str, str, str]:
    token, method, path, address = raw
    return token.decode(), method.decode(), path.decode(), address.decode()


def _timer_ns() -> float:
    """The time that reading the clock takes, in nanoseconds."""
    clock, times = time.perf_counter_ns, []
    for _ in range(10_000):
        start = clock()
        times.append(clock() - start)
    return median(times)
