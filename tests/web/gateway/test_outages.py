"""Outages: an error that says so, neither "allowed" nor "denied"."""

import logging
import resource
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatepass.core.networks import parse_network
from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.verification import VERIFY
from tests.support.apps.answer import Answer
from tests.support.apps.gateway_clients import GATEWAY, Ask, asgi, plain
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.workers import Worker, ask
from tests.support.waiting import until

CALL = [("X-Original-URI", "/v1/charges/1"), ("X-Original-Method", "GET")]
BODY = b'{"permission": "charges:get", "token": "%s"}'


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    """A grant file that tests may remove."""
    (tmp_path / "data").mkdir()
    samples = Samples(tmp_path / "data" / "gatepass.db")
    yield samples
    samples.close()


def both(samples: Samples, asking: Ask, token: str = "good") -> list[Answer]:
    """The answers of both endpoints."""
    text = samples.texts[token]
    key = [("Authorization", "Bearer " + samples.texts["verifier"])]
    return [
        asking("GET", GATEWAY, [("Authorization", f"Bearer {text}"), *CALL], b""),
        asking("POST", VERIFY, key, BODY % text.encode()),
    ]


def remove(samples: Samples) -> None:
    """Delete the database."""
    samples.connection.close()
    for path in samples.path.parent.glob("gatepass.db*"):
        if path.is_file() and not path.name.endswith("-map"):
            path.unlink()


@pytest.mark.parametrize("way", [plain, asgi])
def test_an_unreadable_grant_file_is_503(samples: Samples, way: Any) -> None:
    """With the reason and Retry-After."""
    endpoints = Endpoints(samples.verifier(), TrustedProxies.of(["127.0.0.0/8"]), lambda: None)
    remove(samples)
    gateway, service = both(samples, way(endpoints))
    for answer in (gateway, service):
        assert answer.status == 503
        assert answer.json["reason"] == "unavailable"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("retry-after") == "1"
        assert answer.header("www-authenticate") is None
    assert gateway.header("x-gatepass-reason") == "unavailable"
    assert gateway.header("x-gatepass-token") is None


@pytest.mark.parametrize("token", ["good", "expired", "unknown", "empty"])
def test_a_stale_copy_is_503(samples: Samples, token: str) -> None:
    """For every token."""
    endpoints = Endpoints(
        samples.verifier(copy=True), TrustedProxies.of(["127.0.0.0/8"]), lambda: "stale"
    )
    for answer in both(samples, plain(endpoints), token):
        assert (answer.status, answer.json["reason"]) == (503, "stale")


@pytest.mark.parametrize("way", [plain, asgi])
def test_an_unexpected_error_is_500(
    samples: Samples, way: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged without secrets."""
    endpoints = Endpoints(samples.verifier(), TrustedProxies.of(["127.0.0.0/8"]), lambda: None)
    asking = way(endpoints)

    def faulty(*_: object, **__: object) -> object:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(Verifier, "judge", faulty)
    with caplog.at_level(logging.ERROR):
        gateway, service = both(samples, asking)
    for answer in (gateway, service):
        assert (answer.status, answer.json["reason"]) == (500, "internal_error")
    assert gateway.header("x-gatepass-reason") == "internal_error"
    assert "ZeroDivisionError" in caplog.text
    assert samples.texts["good"][21:] not in caplog.text
    assert samples.texts["verifier"][21:] not in caplog.text


def test_an_unwritable_use_directory_stops_no_decision(samples: Samples, tmp_path: Path) -> None:
    """Counting is in memory; only the flush fails."""
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    usage = Usage(blocked / "use")
    endpoints = Endpoints(
        samples.verifier(usage=usage), TrustedProxies.of(["127.0.0.0/8"]), lambda: None
    )
    for _ in range(3):
        assert both(samples, plain(endpoints))[0].status == 204
        usage.flush()


def test_readiness_has_the_reason(samples: Samples) -> None:
    """200 while it can decide, else 503 with the reason."""
    why: list[str | None] = [None]
    endpoints = Endpoints(samples.verifier(), TrustedProxies.of([]), lambda: why[0])
    assert (endpoints.ready().status, endpoints.ready().body) == (200, b'{"status":"ready"}')
    why[0] = "stale"
    assert endpoints.ready().status == 503
    assert endpoints.ready().body == b'{"status":"not_ready","reason":"stale"}'
    assert endpoints.live().status == 200


@pytest.fixture
def settings(samples: Samples) -> Settings:
    """A node's settings on SQLite."""
    return Settings(
        data_dir=samples.path.parent,
        database_url=f"sqlite:///{samples.path}",
        trusted_proxies=(parse_network("127.0.0.0/8"),),
    )


def until_it_answers(expected: int, port: int, path: str) -> Answer:
    """Ask until the status is *expected*."""

    def asked() -> Answer | None:
        answer = ask(port, "GET", path)
        return answer if answer.status == expected else None

    answer = until(asked)
    assert answer is not None
    return answer


@pytest.mark.processes
def test_a_worker_without_a_database_decides_nothing_until_there_is_one(
    samples: Samples, settings: Settings
) -> None:
    """It starts, answers 503, and needs no restart."""
    kept = samples.path.with_name("kept")
    samples.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(samples.path, kept)
    remove(samples)
    with Worker("verify", settings) as worker:
        answer = until_it_answers(503, worker.port, "/health/ready")
        assert answer.json == {"status": "not_ready", "reason": "the grant file can't be read"}
        assert ask(worker.port, "GET", "/health/live").status == 200
        answers = both(samples, lambda *what: ask(worker.port, *what))
        assert [answer.status for answer in answers] == [503, 503]
        kept.rename(samples.path)
        until_it_answers(200, worker.port, "/health/ready")
        answers = both(samples, lambda *what: ask(worker.port, *what))
        assert [answer.status for answer in answers] == [204, 200]


@pytest.mark.processes
def test_a_worker_whose_database_is_deleted_stops_deciding(
    samples: Samples, settings: Settings
) -> None:
    """Within about a second, although its connections are still open."""
    with Worker("verify", settings) as worker:
        assert both(samples, lambda *what: ask(worker.port, *what))[0].status == 204
        remove(samples)
        until_it_answers(503, worker.port, "/health/ready")
        answers = both(samples, lambda *what: ask(worker.port, *what))
        assert [answer.status for answer in answers] == [503, 503]


@pytest.mark.processes
def test_a_worker_on_a_copy_without_a_follower_is_stale(
    settings: Settings, samples: Samples
) -> None:
    """On PostgreSQL, without a process that follows."""
    many = settings.with_(database_url="postgresql://gate:hunter2secret@127.0.0.1:1/gate")
    samples.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(samples.path, many.grant_path)
    worker = Worker("verify", many)
    try:
        assert ask(worker.port, "GET", "/health/ready").json["reason"] == "stale"
        for answer in both(samples, lambda *what: ask(worker.port, *what)):
            assert (answer.status, answer.json["reason"]) == (503, "stale")
    finally:
        assert "hunter2secret" not in worker.stop()


@pytest.mark.processes
def test_a_worker_whose_clock_went_back_is_not_ready(settings: Settings, samples: Samples) -> None:
    """A respawned worker uses the node's latest time, so it isn't ready from the start."""
    ahead = Clock(wall_ms=lambda: int(time.time() * 1000) + 3_600_000)
    samples.change("good", expires_at=int(time.time() * 1000) + 1_800_000)
    with Worker("verify", settings, ahead) as worker:
        answer = ask(worker.port, "GET", "/health/ready")
        assert (answer.status, answer.json["reason"]) == (503, "the clock went back")
        gateway, _ = both(samples, lambda *what: ask(worker.port, *what))
        assert gateway.header("x-gatepass-reason") == "token_expired"


@pytest.mark.processes
def test_idle_connections_block_no_other(samples: Samples, settings: Settings) -> None:
    """More than the default limit of open files on many systems."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, limits[1]))
    silent: list[socket.socket] = []
    try:
        # The worker starts with the usual limit.
        worker = Worker("verify", settings)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
            for _ in range(1_500):
                silent.append(socket.create_connection(("127.0.0.1", worker.port)))
            assert both(samples, lambda *what: ask(worker.port, *what))[0].status == 204
        finally:
            for connection in silent:
                connection.close()
            worker.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
