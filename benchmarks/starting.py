"""Start time and memory of a worker process."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.figures import Result, Value
from benchmarks.load import REQUESTS, request_bytes
from benchmarks.scenarios import LARGE, Bench, scenario
from benchmarks.servers import gatepass_worker, status

_MIB = 1024


@scenario(6, "starting", "Start and memory")
def starting(bench: Bench) -> Iterator[Result]:
    """Start both kinds of worker several times at a million grants."""
    population = bench.population(LARGE)
    requests = [request_bytes(call, call.token) for call in population.calls(REQUESTS)]
    for role in ("verify", "main"):
        name = f"{role} port's worker"
        seconds: list[float] = []
        for _ in range(bench.rounds(5)):
            bench.say(f"starting: a {name}")
            with gatepass_worker(population, role) as worker:
                seconds.append(worker.seconds_to_ready)
                fresh = memory_mib(worker.process)
                for request in requests:
                    assert status(worker.port, request) == 204
                used = memory_mib(worker.process)
        yield Value(
            what=f"seconds from start to ready, {name}, {LARGE:,} grants",
            value=f"{median(seconds):.2f} s",
            detail=f"{min(seconds):.2f}–{max(seconds):.2f} s in {len(seconds)} starts",
        )
        yield Value(
            what=f"memory of a {name}, {LARGE:,} grants",
            value=f"{used['Pss_Anon']:.0f} MiB of its own",
            detail=(
                f"resident {fresh['Rss']:.0f} MiB when ready and {used['Rss']:.0f} MiB after "
                f"{REQUESTS:,} tokens were used, of which {used['Pss_File']:.0f} MiB are pages of "
                "files, which processes share and the system may drop"
            ),
        )


def memory_mib(process: int) -> dict[str, float]:
    """A process's memory in MiB: resident and proportional set size, and its parts."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) / _MIB for line in lines}
