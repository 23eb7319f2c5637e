"""The standards that the verify port speaks, against ``POST /v1/verify``."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import grpc
from envoy.service.auth.v3 import external_auth_pb2 as messages
from envoy.service.auth.v3 import external_auth_pb2_grpc as service

from benchmarks.figures import Missing, Result, Value, number_text
from benchmarks.load import (
    REQUESTS,
    find_wrk,
    load,
    post_bytes,
    processor_seconds,
    question,
    write_raw,
)
from benchmarks.rounds import alternate
from benchmarks.sample_grants import SampleCall
from benchmarks.scenarios import LARGE, Bench, scenario
from benchmarks.servers import Server, gatepass_worker
from gatepass.web.gateway.authzen import EVALUATION
from gatepass.web.gateway.introspection import INTROSPECT
from gatepass.web.gateway.verification import VERIFY
from tests.support.processes.ports import free_port

_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
#: gRPC calls under way at once: as many as one Envoy under load.
_AT_ONCE = 64


@scenario(3, "asking", "The standards against verify")
def asking(bench: Bench) -> Iterator[Result]:
    """CPU time of one verify worker for one question, asked in each way."""
    what = f"CPU time of a question by a standard; one worker, {LARGE:,} grants"
    if not find_wrk():
        yield Missing(what, "wrk not found (Debian package wrk)")
        return
    population = bench.population(LARGE)
    calls, key, seconds = (
        population.calls(REQUESTS),
        population.verifier_key(),
        2 if bench.quick else 4,
    )
    grpc_port = free_port()
    with gatepass_worker(population, grpc_port=grpc_port) as ours:
        subjects: dict[str, Callable[[], float]] = {}
        for name, (path, kind, body) in _QUESTIONS.items():
            requests = write_raw(
                bench.directory / f"asking-{path.replace('/', '-')}",
                (post_bytes(key, path, body(call), kind) for call in calls),
            )
            subjects[name] = partial(_over_http, ours, requests, seconds)
        subjects["Envoy over gRPC"] = partial(_over_grpc, ours, grpc_port, calls, seconds)
        for warm_up in subjects.values():
            warm_up()
        bench.say("asking: introspection, AuthZEN and gRPC against /v1/verify")
        rounds = alternate(bench.rounds(7), subjects)
    first, *others = subjects
    for name in others:
        ratio = median(each[name] / each[first] for each in rounds)
        own, plain = (median(each[subject] for each in rounds) for subject in (name, first))
        yield Value(
            f"CPU time of {name} against {first}",
            number_text(ratio),
            f"{own:.0f} µs against {plain:.0f} µs; {REQUESTS:,} tokens of {LARGE:,}, one call each",
        )


def _verify(call: SampleCall) -> str:
    return json.dumps(question(call))


def _introspection(call: SampleCall) -> str:
    return urlencode({"token": call.token, "address": call.address})


def _evaluation(call: SampleCall) -> str:
    return json.dumps(
        {
            "subject": {"type": "access_token", "id": call.token},
            "action": {"name": call.method},
            "resource": {"type": "route", "id": call.path},
            "context": {"address": call.address},
        }
    )


#: The first one is what the others are compared with.
_QUESTIONS: dict[str, tuple[str, str, Callable[[SampleCall], str]]] = {
    "`POST /v1/verify`": (VERIFY, _JSON, _verify),
    "introspection (RFC 7662)": (INTROSPECT, _FORM, _introspection),
    "an AuthZEN evaluation": (EVALUATION, _JSON, _evaluation),
}


def _over_http(server: Server, requests: Path, seconds: int) -> float:
    return load(server.port, requests, seconds, server.process).processor_us


def _over_grpc(server: Server, port: int, calls: Sequence[SampleCall], seconds: int) -> float:
    """CPU time of the worker for one question, in microseconds."""
    before = processor_seconds(server.process)
    answered = asyncio.run(_ask(port, list(map(_request, calls)), seconds))
    return (processor_seconds(server.process) - before) / answered * 1e6


async def _ask(port: int, requests: Sequence[messages.CheckRequest], seconds: int) -> int:
    until, answered = time.monotonic() + seconds, 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = service.AuthorizationStub(channel).Check

        async def client(number: int) -> None:
            nonlocal answered
            while time.monotonic() < until:
                answer = await check(requests[number % len(requests)])
                assert answer.WhichOneof("http_response") == "ok_response"
                answered += 1
                number += _AT_ONCE

        await asyncio.gather(*(client(number) for number in range(_AT_ONCE)))
    return answered


def _request(call: SampleCall) -> messages.CheckRequest:
    request = messages.CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.host = call.method, call.path, "api.example"
    http.headers["authorization"] = f"Bearer {call.token}"
    http.headers["x-forwarded-for"] = call.address
    return request
