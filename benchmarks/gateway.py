"""The verify port over HTTP against the least work a web server can do."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

from benchmarks import sample_grants
from benchmarks.figures import Figure, Missing, Result
from benchmarks.load import (
    REQUESTS,
    Load,
    find_wrk,
    load,
    middle,
    post_bytes,
    question,
    request_bytes,
    write_raw,
    write_requests,
)
from benchmarks.population import Population
from benchmarks.rounds import alternate
from benchmarks.sample_grants import SampleCall
from benchmarks.scenarios import LARGE, Bench, scenario
from benchmarks.servers import Server, gatepass_worker, nginx_204, nginx_asking, status
from gatepass.web.gateway.verification import BATCH, VERIFY
from gatepass.web.http.server import unix_listener
from tests.support.processes import nginx

_WHAT = f"one worker, {LARGE:,} grants"
#: Different tokens in the uniform load; nearly all are met once in a round.
_UNIFORM = 300_000
_ROUTES = 4
_BATCH = 100
#: An address in none of a sample token's networks.
_ELSEWHERE = "250.1.2.3"

Rounds = list[dict[str, Load]]


@scenario(3, "gateway", "The gateway's endpoint")
def gateway(bench: Bench) -> Iterator[Result]:
    """CPU time of one verify worker and of one nginx worker for equal requests."""
    lacking = [
        name for name, there in (("wrk", find_wrk()), ("nginx", nginx.installed())) if not there
    ]
    if lacking:
        yield Missing(_WHAT, f"{' and '.join(lacking)} not found (Debian packages wrk, nginx)")
        return
    population = bench.population(LARGE)
    files = _write_files(population, bench.directory)
    seconds = 2 if bench.quick else 4
    with (
        gatepass_worker(population) as ours,
        nginx_204(bench.directory / "nginx") as bare,
    ):
        call = population.calls(1)[0]
        assert status(ours.port, request_bytes(call, call.token)) == 204
        assert status(ours.port, request_bytes(call, call.token[:-1] + "~")) == 401

        def measure(server: Server, name: str) -> Callable[[], Load]:
            refused = name == "refused" and server is ours
            return partial(load, server.port, files[name], seconds, server.process, refused=refused)

        for name, bar, words in (
            ("one", 0.52, f"{REQUESTS:,} tokens, one call each"),
            ("four", 0.45, f"{REQUESTS:,} tokens, {_ROUTES} calls each in turn"),
            ("uniform", 6 / 35, f"{_UNIFORM:,} tokens at random"),
        ):
            bench.say(f"gateway: /authz/nginx, {words}, against nginx return 204")
            load(ours.port, files[name], 2, ours.process)
            rounds = alternate(
                bench.rounds(7), {"gatepass": measure(ours, name), "nginx": measure(bare, name)}
            )
            yield _figure(
                f"CPU time of nginx's bare 204 against `/authz/nginx`: {words}",
                rounds, "nginx", "gatepass", bar,
            )  # fmt: skip

        bench.say("gateway: refused against allowed")
        load(ours.port, files["refused"], 2, ours.process, refused=True)
        subjects = {"allowed": measure(ours, "one"), "refused": measure(ours, "refused")}
        rounds = alternate(bench.rounds(7), subjects)
        what = "CPU time of an allowed `/authz/nginx` against a refused one"
        yield _figure(what, rounds, "allowed", "refused", 0.95)

        bench.say("gateway: POST /v1/verify")
        for name in ("verify", "batch"):
            load(ours.port, files[name], 2, ours.process)
        subjects = {name: measure(ours, name) for name in ("one", "verify", "batch")}
        rounds = alternate(bench.rounds(7), subjects)
        what = "CPU time of `POST /v1/verify` against `/authz/nginx`"
        yield _figure(what, rounds, "verify", "one", 1.6, at_most=True)
        yield Figure(
            name="Decisions in a batch",
            what=f"decisions a second and core, `POST /v1/verify/batch` of {_BATCH}",
            ratios=tuple(_BATCH * 1e6 / each["batch"].processor_us for each in rounds),
            bar=200_000,
            unit="/s",
            detail=_described(rounds, "batch"),
        )


@scenario(3, "nginx", "A whole call through nginx")
def through_nginx(bench: Bench) -> Iterator[Result]:
    """nginx asks over TCP, and over a Unix socket, before it answers 204 itself."""
    what = f"a whole call through nginx `auth_request`; {_WHAT}"
    if not find_wrk() or not nginx.installed():
        yield Missing(what, "wrk and nginx not found (Debian packages wrk, nginx)")
        return
    population = bench.population(LARGE)
    calls = population.calls(REQUESTS)
    requests = write_raw(bench.directory / "calls.requests", map(_call, calls))
    seconds = 2 if bench.quick else 4
    path = bench.directory / "verify.sock"
    with (
        unix_listener(path) as listening,
        gatepass_worker(population, listening=listening) as ours,
        nginx_asking(bench.directory / "tcp", f"127.0.0.1:{ours.port}") as over_tcp,
        nginx_asking(bench.directory / "unix", f"unix:{path}") as over_unix,
        nginx_204(bench.directory / "bare") as bare,
    ):
        assert status(over_tcp.port, _call(calls[0])) == 204
        assert status(over_unix.port, _call(calls[0])) == 204
        assert status(over_unix.port, _call(calls[0]).replace(b"Bearer gpat_", b"Bearer x")) == 401
        bench.say("nginx: a whole call over TCP and over a Unix socket")
        load(over_tcp.port, requests, 2, ours.process)
        rounds = alternate(
            bench.rounds(7),
            {
                "tcp": partial(
                    load, over_tcp.port, requests, seconds, over_tcp.process, ours.process
                ),
                "unix": partial(
                    load, over_unix.port, requests, seconds, over_unix.process, ours.process
                ),
                "bare": partial(load, bare.port, requests, seconds, bare.process),
            },
        )
    yield _figure(
        "CPU time by TCP against by Unix socket: a whole call through nginx",
        rounds, "tcp", "unix", 1.15,
    )  # fmt: skip
    yield _figure(
        "CPU time by Unix socket against nginx's bare 204: a whole call through nginx",
        rounds, "unix", "bare", 6, at_most=True,
    )  # fmt: skip


def _call(call: SampleCall) -> bytes:
    """The call as its client sends it to nginx."""
    return (
        f"{call.method} {call.path} HTTP/1.1\r\nHost: api.example\r\n"
        f"X-Forwarded-For: {call.address}\r\nUser-Agent: shop/4.2\r\n"
        f"Authorization: Bearer {call.token}\r\n\r\n"
    ).encode()


def _write_files(population: Population, directory: Path) -> dict[str, Path]:
    random = Random(1)
    calls = population.calls(REQUESTS)
    numbers = random.sample(range(population.size), REQUESTS)
    key = population.verifier_key()

    def write(name: str, requests: Iterator[bytes]) -> Path:
        return write_raw(directory / f"{name}.requests", requests)

    several = [sample_grants.call(each, random) for _ in range(_ROUTES) for each in numbers]
    uniform = (
        sample_grants.call(random.randrange(population.size), random) for _ in range(_UNIFORM)
    )
    batches = (calls[at : at + _BATCH] for at in range(0, REQUESTS - _BATCH, _BATCH))
    return {
        "one": write_requests(population, directory / "one.requests"),
        "four": write("four", (request_bytes(each, each.token) for each in several)),
        "uniform": write("uniform", (request_bytes(each, each.token) for each in uniform)),
        "refused": write(
            "refused",
            (
                request_bytes(each, each.token).replace(each.address.encode(), _ELSEWHERE.encode())
                for each in calls
            ),
        ),
        "verify": write(
            "verify", (post_bytes(key, VERIFY, json.dumps(question(each))) for each in calls)
        ),
        "batch": write(
            "batch",
            (
                post_bytes(key, BATCH, json.dumps({"calls": [question(each) for each in batch]}))
                for batch in batches
            ),
        ),
    }


def _figure(
    what: str, rounds: Rounds, over: str, under: str, bar: float, *, at_most: bool = False
) -> Figure:
    """The ratio of two subjects' CPU time for a request."""
    return Figure(
        name=what.partition(":")[0],
        what=f"{what}; {_WHAT}",
        ratios=tuple(each[over].processor_us / each[under].processor_us for each in rounds),
        bar=bar,
        at_most=at_most,
        detail=f"{_described(rounds, under)} against {_described(rounds, over)}",
    )


def _described(rounds: Rounds, subject: str) -> str:
    measured = middle([each[subject] for each in rounds])
    return f"{measured.processor_us:.1f} µs, {described(measured)}"


def described(measured: Load) -> str:
    """A measurement in words."""
    return (
        f"{measured.per_second:,.0f}/s (p99 {measured.p99_ms:.1f} ms, server "
        f"{measured.server_share:.0%} and wrk {measured.wrk_share:.0%} of a core)"
    )
