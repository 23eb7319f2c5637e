"""Two workers of the verify port against one, with the load generator on the same cores."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from benchmarks.figures import Figure, Missing, Result
from benchmarks.gateway import described
from benchmarks.load import find_wrk, load, middle, write_requests
from benchmarks.rounds import alternate
from benchmarks.scenarios import LARGE, Bench, scenario
from benchmarks.servers import gatepass_worker
from tests.support.processes.ports import free_port

#: Smaller differences between two rounds are noise.
_NO_LOSS = 0.95


@scenario(4, "workers", "Two workers against one")
def workers(bench: Bench) -> Iterator[Result]:
    """Send the same requests to one worker, and to two that share a port (SO_REUSEPORT)."""
    what = f"`/authz/nginx`, two workers against one, {LARGE:,} grants"
    if find_wrk() is None:
        yield Missing(what, "wrk not found (Debian package wrk)")
        return
    population = bench.population(LARGE)
    requests = write_requests(population, bench.directory / "workers.requests")
    seconds = 2 if bench.quick else 5
    shared = free_port()
    with ExitStack() as running:
        alone = running.enter_context(gatepass_worker(population))
        pair = [running.enter_context(gatepass_worker(population, port=shared)) for _ in range(2)]
        bench.say("workers: two against one")
        for worker in (alone, pair[0]):
            load(worker.port, requests, 2, worker.process)
        rounds = alternate(
            bench.rounds(5),
            {
                "one": partial(load, alone.port, requests, seconds, alone.process),
                "two": partial(
                    load, shared, requests, seconds, *(worker.process for worker in pair)
                ),
            },
        )
    one, two = (middle([measured[name] for measured in rounds]) for name in ("one", "two"))
    yield Figure(
        name="Two workers against one",
        what=what,
        ratios=tuple(
            measured["two"].per_second / measured["one"].per_second for measured in rounds
        ),
        bar=_NO_LOSS,
        detail=(
            f"{described(two)} against {described(one)}; {len(os.sched_getaffinity(0))} cores, of "
            "which wrk takes its share: two workers can gain only what it and one worker leave over"
        ),
    )
