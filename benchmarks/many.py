"""Ten million grants: the time of a decision, and the memory of a verify worker."""

from collections.abc import Iterator
from statistics import median

from benchmarks.embedded import Subject
from benchmarks.figures import Figure, Result
from benchmarks.load import REQUESTS, request_bytes
from benchmarks.population import Population
from benchmarks.rounds import alternate
from benchmarks.scenarios import LARGE, SMALL, VERY_LARGE, Bench, scenario
from benchmarks.servers import gatepass_worker, status
from benchmarks.starting import memory_mib


@scenario(9, "many", "Ten million grants")
def many(bench: Bench) -> Iterator[Result]:
    """Uncached decisions against a thousand grants, and memory against a million."""
    populations = {size: bench.population(size) for size in (SMALL, LARGE, VERY_LARGE)}
    # Read every file once, so that the disk isn't measured.
    for population in populations.values():
        with population.path.open("rb") as file:
            while file.read(1 << 24):
                pass
    few, most = Subject(populations[SMALL]), Subject(populations[VERY_LARGE])
    batches = 50 if bench.quick else 300
    bench.say(f"many: {VERY_LARGE:,} grants against {SMALL:,}, uncached")
    most.uncached_ns(batches)
    rounds = alternate(
        bench.rounds(9),
        {"few": lambda: few.uncached_ns(batches), "most": lambda: most.uncached_ns(batches)},
    )
    little, much = (median(measured[name] for measured in rounds) for name in ("few", "most"))
    yield Figure(
        name="Ten million grants against a thousand, uncached",
        what=f"median verification at {VERY_LARGE:,} grants against {SMALL:,}, uncached",
        ratios=tuple(measured["most"] / measured["few"] for measured in rounds),
        bar=2.7,
        at_most=True,
        detail=(
            f"{much / 1000:.1f} µs against {little / 1000:.1f} µs; every call another token, most "
            f"of them with a user and a company that have to be read too; page cache warm; a file "
            f"of {populations[VERY_LARGE].path.stat().st_size / 1e9:.1f} GB"
        ),
    )
    bench.say("many: memory of a verify port's worker")
    held = alternate(
        bench.rounds(3),
        {
            "million": lambda: _used_mib(populations[LARGE]),
            "most": lambda: _used_mib(populations[VERY_LARGE]),
        },
    )
    million, ten = (median(measured[name] for measured in held) for name in ("million", "most"))
    yield Figure(
        name="Memory at ten million grants against a million",
        what=f"memory of a verify port's worker, {VERY_LARGE:,} grants against {LARGE:,}",
        ratios=tuple(measured["most"] / measured["million"] for measured in held),
        bar=1.2,
        at_most=True,
        detail=(
            f"{ten:.0f} MiB against {million:.0f} MiB of its own (anonymous memory: pages of files "
            f"aside, which processes share and the system may drop), after {REQUESTS:,} tokens "
            "were used"
        ),
    )


def _used_mib(population: Population) -> float:
    """A worker's anonymous memory after it has served some thousand tokens."""
    with gatepass_worker(population) as worker:
        for call in population.calls(REQUESTS):
            assert status(worker.port, request_bytes(call, call.token)) == 204
        return memory_mib(worker.process)["Anonymous"]
