"""Creating access tokens over REST: eight clients at a time against one."""

import http.client
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Result, number_text
from benchmarks.load import processor_seconds
from benchmarks.rounds import alternate
from benchmarks.scenarios import Bench, scenario
from tests.support.database.postgresql import Cluster
from tests.support.processes.children import child_ids
from tests.support.processes.served_installation import ServedInstallation

CLIENTS = 8
_TOKEN = json.dumps(
    {"label": "Nightly settlement", "kind": "api", "permissions": ["charges:create"]}
)


@dataclass(frozen=True)
class _Round:
    """Tokens created in one round.

    Attributes:
        per_second: how many.
        busy: CPU time of the clients, the node and the database, as a share of the round.
    """

    per_second: float
    busy: float


@scenario(10, "creating", "Creating access tokens")
def creating(bench: Bench) -> Iterator[Result]:
    """One client, then eight, each creating token after token, as fast as it is answered."""
    yield _figure(bench, "SQLite", bench.directory / "creating-sqlite")
    # As an operator's server has it: a commit waits for the disk.
    with Cluster(fsync="on", full_page_writes="on") as cluster:
        yield _figure(bench, "PostgreSQL", bench.directory / "creating-postgresql", cluster)


def _figure(bench: Bench, engine: str, directory: Path, cluster: Cluster | None = None) -> Figure:
    seconds = 1.0 if bench.quick else 3.0
    bench.say(f"creating: {CLIENTS} clients against one, {engine}")
    url = None if cluster is None else cluster.create("creating")
    with ServedInstallation(directory, database_url=url) as node:
        with closing(node.sign_in()) as signed_in:
            authorization = signed_in.headers["authorization"]
        measure = partial(_create, node, cluster, authorization, seconds)
        measure(2)
        rounds = alternate(
            bench.rounds(7),
            {"one": lambda: measure(1), "many": lambda: measure(CLIENTS)},
        )
        workers = node.environ["GATEPASS_WORKERS"]
    one, many = (
        median(measured[name].per_second for measured in rounds) for name in ("one", "many")
    )
    busy = median(measured["one"].busy for measured in rounds)
    cores = len(os.sched_getaffinity(0))
    return Figure(
        name=f"Creating tokens, {CLIENTS} clients against one, {engine}",
        what=f"creating access tokens over REST, {CLIENTS} clients against one, {engine}",
        ratios=tuple(
            measured["many"].per_second / measured["one"].per_second for measured in rounds
        ),
        bar=3,
        detail=(
            f"{many:,.0f}/s against {one:,.0f}/s; {workers} workers, each answer after its commit "
            "is on disk and this node decides by it; with one client, "
            f"{number_text(busy)} of {cores} cores are busy, which leaves room for "
            f"{number_text(cores / busy)} times as many at most"
        ),
    )


def _create(
    node: ServedInstallation,
    cluster: Cluster | None,
    authorization: str,
    seconds: float,
    clients: int,
) -> _Round:
    """Create tokens with *clients* connections at a time."""
    assert node.process is not None
    processes = [os.getpid(), *child_ids(node.process.pid)]
    processes += [] if cluster is None else cluster.processes()
    counts: list[int] = []
    stop = time.perf_counter() + seconds
    with ExitStack() as open_:
        connections = [
            open_.enter_context(
                closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=30))
            )
            for _ in range(clients)
        ]

        def create(connection: http.client.HTTPConnection) -> None:
            count = 0
            while time.perf_counter() < stop:
                connection.request(
                    "POST",
                    "/v1/access-tokens",
                    _TOKEN,
                    {"Authorization": authorization, "Content-Type": "application/json"},
                )
                answer = connection.getresponse()
                answer.read()
                if answer.status != 201:
                    raise RuntimeError(f"status {answer.status}: the measurement is void")
                count += 1
            counts.append(count)

        threads = [threading.Thread(target=create, args=(each,)) for each in connections]
        started, before = time.perf_counter(), _seconds(processes)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - started
        after = _seconds(before)
    if len(counts) != clients:
        raise RuntimeError("a client failed: the measurement is void")
    used = sum(after[process] - before[process] for process in after)
    return _Round(sum(counts) / took, used / took)


def _seconds(processes: Iterable[int]) -> dict[int, float]:
    """The CPU time so far of the processes that are still there."""
    found = {}
    for process in processes:
        with suppress(FileNotFoundError, ProcessLookupError):
            found[process] = processor_seconds(process)
    return found
