"""Calls through each gateway that runs here, with the question to Gatepass and without."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.figures import Missing, Result, Value, number_text
from benchmarks.load import Load, find_wrk, load, middle, write_raw
from benchmarks.rounds import alternate
from benchmarks.scenarios import Bench, scenario
from benchmarks.servers import nginx_204, status
from tests.support.gateways.every import GATEWAYS
from tests.support.gateways.page import files
from tests.support.processes import nginx
from tests.support.processes.ports import free_port
from tests.support.processes.served_installation import ServedInstallation, new_token

#: By gateway: the lines of its page that ask. Without them it forwards every call.
_ASKING = {
    "nginx": r"    auth_request /_gatepass;\n",
    "caddy": r"\t\tforward_auth .*?\n\t\t}\n",
    "haproxy": r"    http-request (?:lua\.gatepass|return status 503 unless [^\n]*)\n",
    "envoy": r" {10}- name: envoy\.filters\.http\.ext_authz\n.*?(?= {10}- name: )",
    "traefik": r" gatepass,(?= gatepass-strip)",
}
_TOKENS = 64
#: Few, so that a call's time isn't that of those before it in a queue.
_CONNECTIONS = 8


@scenario(3, "gateways", "A whole call through each gateway")
def gateways(bench: Bench) -> Iterator[Result]:
    """Each with the configuration of its page, before an API that answers 204."""
    what = "a call through a gateway, with Gatepass and without"
    if not find_wrk() or not nginx.installed():
        yield Missing(what, "wrk and nginx not found (Debian packages wrk, nginx)")
        return
    with (
        ServedInstallation(
            bench.directory / "gateways", GATEPASS_TRUSTED_PROXIES="127.0.0.1"
        ) as own,
        nginx_204(bench.directory / "gateways-api") as api,
    ):
        with own.sign_in() as signed_in:
            texts = [new_token(signed_in, f"client {n}")["token"] for n in range(_TOKENS)]
        requests = write_raw(bench.directory / "gateways.requests", map(_call, texts))
        for name in _ASKING:
            bench.say(f"gateways: {name}")
            try:
                yield _through(bench, name, own, api.port, requests)
            except FileNotFoundError as error:
                yield Missing(f"{what}: {name}", f"{error.filename} not found (make tools-env)")


def _through(bench: Bench, name: str, own: ServedInstallation, api: int, requests: Path) -> Value:
    page = "".join(files(name).values())
    unasked = {found[0]: "" for found in re.finditer(_ASKING[name], page, re.S)}
    assert unasked, name
    seconds = 2 if bench.quick else 4
    with ExitStack() as running:
        ports = {
            subject: int(
                running.enter_context(
                    GATEWAYS[name].running(
                        verify=own.verify_port,
                        api=api,
                        changed=changed,
                        main=own.port,
                        dashboard=free_port(),
                    )
                ).rpartition(":")[2]
            )
            for subject, changed in (("with", {}), ("without", unasked))
        }
        nobody = _call("gpat_nobody")
        assert (status(ports["with"], nobody), status(ports["without"], nobody)) == (401, 204)
        measure = {
            subject: partial(load, port, requests, seconds, connections=_CONNECTIONS)
            for subject, port in ports.items()
        }
        for warm_up in measure.values():
            warm_up()
        rounds = alternate(bench.rounds(5), measure)
    asked, plain = (middle([each[subject] for each in rounds]) for subject in ("with", "without"))
    return Value(
        f"{name}: calls a second with Gatepass, of those without",
        number_text(asked.per_second / plain.per_second),
        f"{_told(asked)} against {_told(plain)}; Gatepass adds "
        f"{asked.p50_ms - plain.p50_ms:.2f} ms at p50 and {asked.p99_ms - plain.p99_ms:.2f} ms at "
        f"p99, with {_CONNECTIONS} calls at once and the load on the same cores",
    )


def _told(measured: Load) -> str:
    return (
        f"{measured.per_second:,.0f}/s (p50 {measured.p50_ms:.2f} ms, p99 {measured.p99_ms:.2f} ms)"
    )


def _call(text: str) -> bytes:
    return (
        "GET /v1/charges/ch_1 HTTP/1.1\r\nHost: api.example\r\nUser-Agent: shop/4.2\r\n"
        f"Authorization: Bearer {text}\r\n\r\n"
    ).encode()
