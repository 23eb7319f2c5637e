"""Load with wrk: one thread and 64 connections that send prepared requests in turn."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.population import Population
from benchmarks.sample_grants import SampleCall

CONNECTIONS = 64
#: Number of different requests, each with its own token, that wrk rotates over.
REQUESTS = 4_096
TARGET = "/authz/nginx"

_SCRIPT = Path(__file__).with_name("wrk_requests.lua")


@dataclass(frozen=True)
class Load:
    """The result of one round of load.

    Attributes:
        per_second: answered requests per second.
        p50_ms, p99_ms: percentiles of the latency, in milliseconds.
        wrk_share: CPU time of wrk as a share of the round. Near 1, the load generator is the
            limit, not the server.
        server_share: CPU time of the server's processes as a share of the round.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    wrk_share: float
    server_share: float

    @property
    def processor_us(self) -> float:
        """CPU time of the server's processes for one request, in microseconds."""
        return self.server_share / self.per_second * 1e6


def find_wrk() -> str | None:
    """The path of wrk; None if it isn't installed."""
    return shutil.which("wrk")


def write_requests(population: Population, path: Path, bearer: list[str] | None = None) -> Path:
    """Write the requests that a gateway would send for the population's tokens.

    Args:
        population: the tokens that call.
        path: the file to write.
        bearer: texts to send instead of the population's tokens.
    """
    calls = population.calls(min(REQUESTS, population.size))
    texts = [call.token for call in calls] if bearer is None else bearer
    return write_raw(path, map(request_bytes, calls, texts))


def write_raw(path: Path, requests: Iterable[bytes]) -> Path:
    """Write whole requests to the file *path*."""
    with path.open("wb") as file:
        for request in requests:
            file.write(request + b"\0")
    return path


def request_bytes(call: SampleCall, text: str) -> bytes:
    """One request as nginx sends it, configured as docs/how-to/gateways/nginx.md says."""
    return (
        f"GET {TARGET} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        f"X-Original-URI: {call.path}\r\n"
        f"X-Original-Method: {call.method}\r\n"
        f"X-Forwarded-For: {call.address}\r\n"
        "User-Agent: shop/4.2\r\n"
        "Accept: application/json\r\n"
        f"Authorization: Bearer {text}\r\n"
        "\r\n"
    ).encode()


def post_bytes(key: str, path: str, body: str, kind: str = "application/json") -> bytes:
    """One POST to the verify port.

    Args:
        key: a verifier key.
        kind: the body's media type.
    """
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def question(call: SampleCall) -> dict[str, str]:
    """The members of ``POST /v1/verify`` for a call."""
    return {
        "token": call.token,
        "method": call.method,
        "path": call.path,
        "address": call.address,
    }


def load(
    port: int,
    requests: Path,
    seconds: int,
    *servers: int,
    refused: bool = False,
    connections: int = CONNECTIONS,
) -> Load:
    """Load the server at *port* for some seconds.

    Args:
        port: on loopback.
        requests: a file of ``write_requests``.
        seconds: whole seconds.
        servers: ids of the processes whose CPU time is measured.
        refused: every answer must be a refusal, instead of none.
        connections: the number of them, each with one request under way.

    Raises:
        RuntimeError: an answer was another one, so the measurement is void.
    """
    wrk = find_wrk()
    assert wrk is not None
    before, own = (
        sum(map(processor_seconds, servers)),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=10s", "-s", str(_SCRIPT)]
    url = f"http://127.0.0.1:{port}{TARGET}"
    run = subprocess.run(
        [*command, url, "--", str(requests)], capture_output=True, text=True, check=True
    )
    after, own_after = (
        sum(map(processor_seconds, servers)),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    line = next(line for line in run.stdout.splitlines() if line.startswith("RESULT "))
    answered, took_us, broken, refusals, p50_us, p99_us = map(int, line.split()[1:])
    if broken or not answered or refusals != (answered if refused else 0):
        raise RuntimeError(f"{answered} answers, {broken} broken and {refusals} refused: {url}")
    took = took_us / 1e6
    spent = own_after.ru_utime + own_after.ru_stime - own.ru_utime - own.ru_stime
    share = (after - before) / took
    return Load(answered / took, p50_us / 1000, p99_us / 1000, spent / took, share)


def middle(rounds: list[Load]) -> Load:
    """The median of each number."""
    return Load(
        median(load.per_second for load in rounds),
        median(load.p50_ms for load in rounds),
        median(load.p99_ms for load in rounds),
        median(load.wrk_share for load in rounds),
        median(load.server_share for load in rounds),
    )


def processor_seconds(process: int) -> float:
    """CPU time of the process with this id so far, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
