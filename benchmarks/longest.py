"""The longest decision under uniform load, with everything that a worker does besides."""

import gc
import time
from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from random import Random
from resource import RUSAGE_SELF, getrusage

from benchmarks import sample_grants
from benchmarks.figures import Figure, Result
from benchmarks.population import Population
from benchmarks.sample_grants import CATALOGUE, SampleCall
from benchmarks.scenarios import LARGE, Bench, scenario
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.maintenance import Maintenance
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier

#: Different tokens; caches hold a ninth of them at most.
_TOKENS = 300_000


@scenario(3, "longest", "The longest decision")
def longest(bench: Bench) -> Iterator[Result]:
    """Random tokens of a million, while caches turn over and use is counted and flushed."""
    bench.say("longest: the longest of many decisions")
    population = bench.population(LARGE)
    count = 200_000 if bench.quick else 1_500_000
    processor, elapsed = _measure(population, count)
    lasted = sorted(elapsed)
    yield Figure(
        name="The longest decision",
        what=f"the longest of {count:,} decisions about random tokens, {LARGE:,} grants",
        ratios=(processor[-1] / 1e6,),
        bar=2,
        at_most=True,
        unit=" ms",
        detail=(
            f"CPU time, so that other processes don't count; 9,999 of 10,000 take at most "
            f"{_share(processor, 0.9999) / 1e6:.2f} ms. Elapsed, with waiting for the thread that "
            f"flushes use counts: {_share(lasted, 0.9999) / 1e6:.2f} ms, and at most "
            f"{lasted[-1] / 1e6:.2f} ms, in the {len(lasted):,} that no other process interrupted"
        ),
    )


def _measure(population: Population, count: int) -> tuple[list[int], list[int]]:
    """The nanoseconds that *count* decisions took: CPU time, sorted; and elapsed, of those in which
    the system gave the processor to no other process."""
    random = Random(3)
    some = [sample_grants.call(random.randrange(population.size), random) for _ in range(_TOKENS)]
    calls = random.choices(some, k=count)
    processor, elapsed = array("Q"), array("Q")
    with _verifier(population) as verifier:
        for call in calls:
            _time(verifier, call, processor, elapsed)
    return sorted(processor), list(elapsed)


def _time(
    verifier: Verifier, call: SampleCall, processor: "array[int]", elapsed: "array[int]"
) -> None:
    # As if it had just been read from a socket.
    token = call.token.encode().decode()
    interrupted = getrusage(RUSAGE_SELF).ru_nivcsw
    start, used = time.perf_counter_ns(), time.thread_time_ns()
    decision = verifier.check(token, method=call.method, path=call.path, address=call.address)
    used, took = time.thread_time_ns() - used, time.perf_counter_ns() - start
    assert decision.allowed, decision.reason
    processor.append(used)
    if getrusage(RUSAGE_SELF).ru_nivcsw == interrupted:
        elapsed.append(took)


@contextmanager
def _verifier(population: Population) -> Iterator[Verifier]:
    """A verifier with its maintenance, in a process like a worker."""
    file = GrantFile(population.path)
    usage = Usage(file.use_directory)
    verifier = Verifier(file, Clock(), CATALOGUE.routes, usage=usage)
    with closing(Maintenance(verifier, usage)) as maintenance:
        gc.collect()
        gc.freeze()
        maintenance.start()
        try:
            yield verifier
        finally:
            gc.unfreeze()


def _share(sorted_ns: list[int], share: float) -> int:
    return sorted_ns[int(len(sorted_ns) * share)]
