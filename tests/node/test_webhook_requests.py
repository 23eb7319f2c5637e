"""Requests of webhooks to a real HTTPS server: where they go, and what an answer means."""

import asyncio
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from gatepass.core.networks import Networks, parse_network
from gatepass.node import webhook_requests
from gatepass.node.webhook_requests import Requests
from gatepass.registry.webhooks.queue import Outcome
from tests.support.processes.ports import free_port
from tests.support.waiting import LIMIT_S
from tests.support.webhooks.certificates import Certificates
from tests.support.webhooks.receiver import Answer, Receiver, body, status

LOOPBACK = Networks.of([parse_network("127.0.0.0/8")])


def post(certificates: Certificates, url: str, *, by_operator: bool = True) -> Outcome:
    """One request to a URL."""

    async def run() -> Outcome:
        requests = Requests(LOOPBACK, certificates.trusting())
        return await requests.post(
            url, company="cmp_1", by_operator=by_operator, headers={}, payload="{}"
        )

    return asyncio.run(run())


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let each name have *addresses*; the names that were looked up."""
    names = []

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        names.append(host)
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(webhook_requests.socket, "getaddrinfo", look_up)
    return names


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(200), (200, None)),
        (status(500), (500, None)),
        (status(302, Location="https://127.0.0.1:1/"), (302, None)),
        (status(410), (410, None)),
        (status(503, **{"Retry-After": "60"}), (503, None)),
        (body(b"x" * 65_536), (None, "answer_too_large")),
        (body(b"x" * 60_000), (200, None)),
        (lambda _, handler: handler.wfile.write(b"no HTTP\r\n\r\n"), (None, "invalid_answer")),
        (lambda _, handler: handler.connection.close(), (None, "invalid_answer")),
    ],
    ids=["200", "500", "redirect", "410", "503", "too large", "large", "no HTTP", "nothing"],
)
def test_what_an_answer_means(
    certificates: Certificates, receiver: Receiver, answer: Answer, expected: Any
) -> None:
    receiver.answer = answer
    outcome = post(certificates, receiver.url)
    assert (outcome.status, outcome.trouble) == expected
    assert len(receiver.received) == 1
    assert outcome.accepted is (expected == (200, None))


@pytest.mark.parametrize(
    ("code", "header", "expected"),
    [
        (503, "120", 120_000),
        (429, "in an hour", 3_600_000),
        (503, "Mon, 01 Jan 2024 00:00:00 GMT", 0),
        (503, "9" * 5_000, 999_999_999_000),
        (500, "120", 0),
        (503, "-5", 0),
        (503, "soon", 0),
        (503, "Mon, 01 Jan 0001 00:00:00 -0000", 0),
        (503, "1, 2", 0),
        (503, "", 0),
    ],
)
def test_how_long_a_receiver_asks_to_be_left_alone(code: int, header: str, expected: int) -> None:
    if header == "in an hour":
        header = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    answer = webhook_requests.Answer(code, httpx.Headers({"Retry-After": header}), b"")
    found = webhook_requests._retry_after_ms(answer)
    assert found == pytest.approx(expected, abs=300_000 if expected == 3_600_000 else 0)


def test_a_silent_receiver_and_one_that_trickles_end_at_the_deadline(
    certificates: Certificates, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_requests, "LONGEST_S", 0.3)
    receiver.answer = receiver.hang
    assert post(certificates, receiver.url).trouble == "timed_out"

    def trickle(_: Any, handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        while not receiver.released.wait(0.05):
            handler.wfile.write(b"x")

    receiver.answer = trickle
    assert post(certificates, receiver.url).trouble == "timed_out"


def test_a_receiver_that_is_down_or_unknown(certificates: Certificates) -> None:
    assert post(certificates, f"https://127.0.0.1:{free_port()}/").trouble == "connection_failed"
    assert post(certificates, "https://nowhere.invalid/").trouble == "unresolved"


def test_certificates_are_checked_against_the_name(
    certificates: Certificates, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "127.0.0.1")
    good = f"https://hooks.example.com:{receiver.port}/"
    assert post(certificates, good).status == 204
    assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"
    other = f"https://other.example.com:{receiver.port}/"
    assert post(certificates, other).trouble == "untrusted_certificate"
    strange = Requests(LOOPBACK, httpx.create_ssl_context())
    outcome = asyncio.run(
        strange.post(good, company="cmp_1", by_operator=True, headers={}, payload="{}")
    )
    assert outcome.trouble == "untrusted_certificate"
    assert len(receiver.received) == 1


def test_a_name_is_looked_up_once(
    certificates: Certificates, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = resolving(monkeypatch, "127.0.0.1")
    assert post(certificates, f"https://hooks.example.com:{receiver.port}/").status == 204
    assert names == ["hooks.example.com"]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["2002:7f00:1::"], ["10.0.0.1"]],
)
def test_only_an_operators_webhook_may_be_on_a_listed_network(
    certificates: Certificates,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    addresses: list[str],
) -> None:
    resolving(monkeypatch, *addresses)
    url = f"https://hooks.example.com:{receiver.port}/"
    assert post(certificates, url, by_operator=False).trouble == "address_not_allowed"
    if addresses == ["10.0.0.1"]:
        assert post(certificates, url).trouble == "address_not_allowed"
    assert receiver.received == []


def test_of_several_addresses_the_next_is_tried_and_bad_ones_never_are(
    certificates: Certificates, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens on the first, and the others aren't allowed.
    resolving(monkeypatch, "10.0.0.1", "169.254.169.254", "127.0.0.2", "127.0.0.1")
    assert post(certificates, f"https://hooks.example.com:{receiver.port}/").status == 204


def test_no_proxy_of_the_environment_is_used(
    certificates: Certificates, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(certificates, receiver.url).status == 204


def test_lookups_take_few_threads(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that never answers must not collect threads."""
    released, waiting = threading.Event(), []

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        waiting.append(host)
        released.wait(LIMIT_S)
        raise socket.gaierror

    monkeypatch.setattr(webhook_requests.socket, "getaddrinfo", look_up)
    monkeypatch.setattr(webhook_requests, "_MOST_LOOKUPS", 3)
    monkeypatch.setattr(webhook_requests, "LONGEST_S", 0.2)

    async def run() -> list[Outcome]:
        requests = Requests(LOOPBACK, certificates.trusting())
        urls = [f"https://slow-{number}.example.com/" for number in range(10)]
        return await asyncio.gather(
            *(
                requests.post(url, company=url, by_operator=False, headers={}, payload="{}")
                for url in urls
            )
        )

    outcomes = asyncio.run(run())
    released.set()
    assert {outcome.trouble for outcome in outcomes} == {"timed_out"}
    assert len(waiting) == 3


def test_a_company_whose_names_do_not_resolve_delays_no_other_name(
    certificates: Certificates, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        if host.startswith("dead"):
            released.wait(LIMIT_S)
            raise socket.gaierror
        return [(0, 0, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(webhook_requests.socket, "getaddrinfo", look_up)
    monkeypatch.setattr(webhook_requests, "_MOST_LOOKUPS", 3)
    monkeypatch.setattr(webhook_requests, "_MOST_LOOKUPS_OF_COMPANY", 2)
    good = receiver.url.replace("127.0.0.1", "localhost")

    async def run() -> None:
        requests = Requests(LOOPBACK, certificates.trusting())

        def post(company: str, url: str) -> "asyncio.Task[Outcome]":
            sent = requests.post(url, company=company, by_operator=True, headers={}, payload="{}")
            return asyncio.create_task(sent)

        one = [post("cmp_1", "https://dead.example.com/") for _ in range(9)]
        await asyncio.sleep(0)
        # The other name of the same company.
        assert (await post("cmp_1", good)).accepted
        more = [post("cmp_1", f"https://dead-{number}.example.com/") for number in range(9)]
        await asyncio.sleep(0)
        assert (await post("cmp_2", good)).accepted
        for task in one + more:
            task.cancel()
        released.set()

    asyncio.run(run())
