"""Creating access tokens over REST: eight clients at a time against one."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Result
from benchmarks.rounds import alternate
from benchmarks.scenarios import Bench, scenario
from tests.support.database.postgresql import Cluster
from tests.support.processes.served_installation import ServedInstallation

CLIENTS = 8
_TOKEN = json.dumps(
    {"label": "Nightly settlement", "kind": "api", "permissions": ["charges:create"]}
)


@scenario(10, "creating", "Creating access tokens")
def creating(bench: Bench) -> Iterator[Result]:
    """One client, then eight, each creating token after token, as fast as it is answered."""
    yield _figure(bench, "SQLite", bench.directory / "creating-sqlite", None)
    # As an operator's server has it: a commit waits for the disk.
    with Cluster(fsync="on", full_page_writes="on") as cluster:
        url = cluster.create("creating")
        yield _figure(bench, "PostgreSQL", bench.directory / "creating-postgresql", url)


def _figure(bench: Bench, engine: str, directory: Path, url: str | None) -> Figure:
    seconds = 1.0 if bench.quick else 3.0
    bench.say(f"creating: {CLIENTS} clients against one, {engine}")
    with ServedInstallation(directory, database_url=url) as node:
        with closing(node.sign_in()) as signed_in:
            authorization = signed_in.headers["authorization"]
        measure = partial(_per_second, node.port, authorization, seconds)
        measure(2)
        rounds = alternate(
            bench.rounds(7),
            {"one": lambda: measure(1), "many": lambda: measure(CLIENTS)},
        )
        workers = node.environ["GATEPASS_WORKERS"]
    one, many = (median(measured[name] for measured in rounds) for name in ("one", "many"))
    return Figure(
        name=f"Creating tokens, {CLIENTS} clients against one, {engine}",
        what=f"creating access tokens over REST, {CLIENTS} clients against one, {engine}",
        ratios=tuple(measured["many"] / measured["one"] for measured in rounds),
        bar=3,
        detail=(
            f"{many:,.0f}/s against {one:,.0f}/s; {workers} workers, each answer after its commit "
            "is on disk and this node decides by it; the clients take their share of the cores"
        ),
    )


def _per_second(port: int, authorization: str, seconds: float, clients: int) -> float:
    """Create tokens with *clients* connections at a time; created per second."""
    counts: list[int] = []
    stop = time.perf_counter() + seconds
    with ExitStack() as open_:
        connections = [
            open_.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)))
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
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - started
    if len(counts) != clients:
        raise RuntimeError("a client failed: the measurement is void")
    return sum(counts) / took
