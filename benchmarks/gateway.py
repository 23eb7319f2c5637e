"""``/authz/nginx`` over HTTP against the least work a web server can do."""

from collections.abc import Iterator

from benchmarks.figures import Figure, Missing, Result
from benchmarks.load import REQUESTS, Load, find_wrk, load, middle, request_bytes, write_requests
from benchmarks.rounds import alternate
from benchmarks.scenarios import LARGE, Bench, scenario
from benchmarks.servers import gatepass_worker, nginx_204, status
from tests.support.processes import nginx

_WHAT = f"`/authz/nginx`, one worker, {LARGE:,} grants, against nginx `return 204`"


@scenario(3, "gateway", "The gateway's endpoint")
def gateway(bench: Bench) -> Iterator[Result]:
    """Requests per second of one verify worker and of one nginx worker, with equal requests."""
    lacking = [
        name for name, there in (("wrk", find_wrk()), ("nginx", nginx.installed())) if not there
    ]
    if lacking:
        yield Missing(_WHAT, f"{' and '.join(lacking)} not found (Debian packages wrk, nginx)")
        return
    population = bench.population(LARGE)
    requests = write_requests(population, bench.directory / "gateway.requests")
    seconds = 2 if bench.quick else 5
    with (
        gatepass_worker(population) as ours,
        nginx_204(bench.directory / "nginx") as bare,
    ):
        call = population.calls(1)[0]
        assert status(ours.port, request_bytes(call, call.token)) == 204
        assert status(ours.port, request_bytes(call, call.token[:-1] + "~")) == 401
        bench.say("gateway: warming up")
        load(ours.port, requests, 2, ours.process)
        bench.say("gateway: /authz/nginx against nginx return 204")
        rounds = alternate(
            bench.rounds(7),
            {
                "gatepass": lambda: load(ours.port, requests, seconds, ours.process),
                "nginx": lambda: load(bare.port, requests, seconds, bare.process),
            },
        )
    own = middle([measured["gatepass"] for measured in rounds])
    theirs = middle([measured["nginx"] for measured in rounds])
    yield Figure(
        name="Gateway endpoint, against nginx's bare 204",
        what=_WHAT,
        ratios=tuple(
            measured["gatepass"].per_second / measured["nginx"].per_second for measured in rounds
        ),
        bar=0.36,
        detail=(
            f"{described(own)} against {described(theirs)}; wrk -t1 -c64 rotating over "
            f"{REQUESTS:,} tokens"
        ),
    )


def described(measured: Load) -> str:
    """A measurement in words."""
    return (
        f"{measured.per_second:,.0f}/s (p99 {measured.p99_ms:.1f} ms, server "
        f"{measured.server_share:.0%} and wrk {measured.wrk_share:.0%} of a core)"
    )
