"""The supervisor: replaces dead workers, stops cleanly, and leaves no process behind."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatepass.core.errors import Misconfigured
from gatepass.core.networks import parse_network
from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.verify.spools import by_kind, spools
from gatepass.web.gateway.verification import VERIFY
from gatepass.web.server import supervisor as serve_module
from gatepass.web.server.supervisor import serve
from tests.support.apps.gateway_clients import GATEWAY
from tests.support.grants.grant_fixtures import CATALOGUE, Samples
from tests.support.processes.ports import free_port, wait_for_port
from tests.support.processes.workers import ask, with_tests_on_the_path
from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.processes


@pytest.fixture
def settings(samples: Samples) -> Settings:
    """One main worker and two verify workers."""
    return settings_of(samples)


def settings_of(samples: Samples) -> Settings:
    return Settings(
        data_dir=samples.path.parent,
        database_url=f"sqlite:///{samples.path}",
        trusted_proxies=(parse_network("127.0.0.0/8"),),
        port=free_port(),
        workers=1,
        verify_port=free_port(),
        verify_workers=2,
    )


class Supervisor:
    """A supervisor in its own process."""

    def __init__(
        self, settings: Settings, application: str = "tests.support.apps.gateway_application:make"
    ) -> None:
        environ = {k: v for k, v in with_tests_on_the_path().items() if k[:9] != "GATEPASS_"}
        self.settings = settings
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.processes.supervisor", application],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ | settings.to_environ(),
        )

    def __enter__(self) -> "Supervisor":
        assert self.process.stdout is not None
        heard, _, _ = select.select([self.process.stdout], [], [], LIMIT_S)
        said = self.process.stdout.readline() if heard else b""
        if said != b"ready\n":
            raise AssertionError(self.stop(signal.SIGKILL)[1])
        for port in self.ports:
            wait_for_port(port)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def ports(self) -> list[int]:
        assert self.settings.verify_port is not None
        return [self.settings.port, self.settings.verify_port]

    def workers(self, role: str | None = None) -> list[int]:
        """The ids of the worker processes, of one port if *role* is given."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = [int(child) for child in children.read_text().split() if alive(int(child))]
        if role is None:
            return found
        return [pid for pid in found if _is_verify_worker(pid) == (role == "verify")]

    def ended(self) -> tuple[int, str]:
        """Wait until it exits by itself, leaving no worker; its exit code and log."""
        workers: set[int] = set()
        while self.process.poll() is None:
            workers.update(self.workers())
            time.sleep(0.02)
        assert workers
        assert not any(map(alive, workers))
        return self.stop()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Stop it; its exit code and log."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        _, logged = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, logged.decode(errors="replace")


def listening(port: int) -> int:
    """The number of sockets that listen on *port*, one per worker."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Samples, Supervisor]]:
    """A supervisor for tests that don't change it."""
    samples = Samples(tmp_path_factory.mktemp("common") / "gatepass.db")
    with Supervisor(settings_of(samples)) as supervisor:
        yield samples, supervisor
    samples.close()


def _is_verify_worker(pid: int) -> bool:
    """Whether the process loads no ORM, like a verify worker."""
    try:
        return "sqlalchemy" not in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def allowed(samples: Samples, port: int) -> bool:
    """Whether a permitted call is allowed; False if the port doesn't answer."""
    headers: list[tuple[str, str | bytes]] = [
        ("Authorization", "Bearer " + samples.texts["good"]),
        ("X-Original-URI", "/v1/charges/1"),
        ("X-Original-Method", "GET"),
    ]
    try:
        return ask(port, "GET", GATEWAY, headers).status == 204
    except OSError:
        return False


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_serves_both_ports(common: tuple[Samples, Supervisor]) -> None:
    """With the configured number of workers."""
    samples, supervisor = common
    assert all(allowed(samples, port) for port in supervisor.ports)
    assert len(supervisor.workers()) == 3
    assert len(supervisor.workers("verify")) == 2


@pytest.mark.parametrize("role", ["verify", "main", None])
def test_killed_workers_are_replaced(common: tuple[Samples, Supervisor], role: str | None) -> None:
    """A verify worker, the main worker, and all at once; the others keep answering."""
    samples, supervisor = common
    before = supervisor.workers()
    victims = supervisor.workers(role)[: 1 if role else None]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(alive, victims)))
    until(lambda: len(supervisor.workers()) == 3)
    for port in supervisor.ports:
        until(lambda port=port: allowed(samples, port))
    assert set(before) - set(victims) <= set(supervisor.workers())


def test_a_worker_that_is_killed_repeatedly_is_replaced(
    common: tuple[Samples, Supervisor],
) -> None:
    """Far more often than twice in 5.5 s, with a pause of seconds at most."""
    samples, supervisor = common
    main, port = supervisor.ports
    start = time.monotonic()
    kills = 0
    while kills < 6 or time.monotonic() < start + 5.5:
        for pid in supervisor.workers("verify"):
            os.kill(pid, signal.SIGKILL)
            kills += 1
        time.sleep(0.05)
    assert supervisor.process.poll() is None
    until(lambda: allowed(samples, port))
    assert allowed(samples, main)


def test_a_port_is_served_while_one_of_its_workers_is_dead(
    common: tuple[Samples, Supervisor],
) -> None:
    samples, supervisor = common
    until(lambda: listening(supervisor.ports[1]) == 2)
    os.kill(supervisor.workers("verify")[0], signal.SIGKILL)
    found = Counter(allowed(samples, supervisor.ports[1]) for _ in range(100))
    # A connection that the dead worker had accepted is lost.
    assert found[True] >= 90


def test_a_second_installation_cant_share_the_port(
    common: tuple[Samples, Supervisor],
) -> None:
    """It would receive half of the other's calls."""
    with pytest.raises(Misconfigured, match="can't listen on"):
        serve(common[1].settings, CATALOGUE, Clock())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_loses_nothing(samples: Samples, settings: Settings, how: signal.Signals) -> None:
    """A request whose body is half sent is answered, the last counts are spooled, and the exit code
    is 0."""
    body = b'{"permission": "charges:get", "token": "%s"}' % samples.texts["good"].encode()
    head = (
        f"POST {VERIFY} HTTP/1.1\r\nHost: gate\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {samples.texts['verifier']}\r\n\r\n"
    ).encode()
    with Supervisor(settings) as supervisor:
        workers = supervisor.workers()
        connections = [socket.create_connection(("127.0.0.1", port)) for port in supervisor.ports]
        for connection in connections:
            connection.sendall(head + body[:10])
        made = sum(allowed(samples, port) for port in supervisor.ports * 20)
        supervisor.process.send_signal(how)
        time.sleep(0.5)
        for connection in connections:
            connection.sendall(body[10:])
            connection.settimeout(LIMIT_S)
            received = b""
            while b'"allowed":true' not in received:
                chunk = connection.recv(65_536)
                assert chunk, received
                received += chunk
            connection.close()
        code, _ = supervisor.stop()
    assert code == 0
    assert not any(map(alive, workers))
    assert made == 40
    assert counted(samples) == made + 2


def counted(samples: Samples) -> int:
    """The spooled number of uses of a token."""
    found = 0
    for spool in spools(samples.file.use_directory):
        assert spool.finished
        batches, calls = by_kind(spool.lines(0))
        uses = sum(batch.tokens[samples.grants["good"].id][0] for batch in batches)
        assert sum(call.count for call in calls) == uses
        found += uses
    return found


def test_workers_exit_when_the_supervisor_is_killed(samples: Samples, settings: Settings) -> None:
    """The ports are free afterwards."""
    with Supervisor(settings) as supervisor:
        workers = supervisor.workers()
        assert allowed(samples, supervisor.ports[1])
        supervisor.stop(signal.SIGKILL)
        until(lambda: not any(map(alive, workers)))
        for port in supervisor.ports:
            with socket.create_server(("127.0.0.1", port)):
                pass


def test_workers_exit_when_the_supervisor_is_killed_while_they_start(settings: Settings) -> None:
    supervisor = Supervisor(settings)
    until(lambda: len(supervisor.workers()) == 3)
    workers = supervisor.workers()
    supervisor.stop(signal.SIGKILL)
    until(lambda: not any(map(alive, workers)))


@pytest.mark.parametrize("which", ["port", "verify_port"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_taken_port_is_a_one_line_error(settings: Settings, which: str, shared: bool) -> None:
    """It names the setting, even if the other program would share the port."""
    port = getattr(settings, which)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(Misconfigured) as refused:
            serve(settings, CATALOGUE, Clock())
    assert f"port {port}" in refused.value.message
    assert refused.value.message.startswith(f"GATEPASS_{which.upper()}: ")
    assert "\n" not in refused.value.message


def test_the_ports_must_differ(settings: Settings) -> None:
    with pytest.raises(Misconfigured, match="GATEPASS_VERIFY_PORT: must differ from GATEPASS_PORT"):
        serve(settings.with_(verify_port=settings.port), CATALOGUE, Clock())
    with pytest.raises(Misconfigured, match="GATEPASS_METRICS_PORT: must differ"):
        serve(settings.with_(metrics_port=settings.verify_port), CATALOGUE, Clock())


def test_a_collector_that_is_not_there_stops_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the supervisor, and not in one worker after the other."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "jaeger")
    with pytest.raises(Misconfigured, match="OTEL_TRACES_EXPORTER: must be"):
        serve(settings, CATALOGUE, Clock())


def test_it_reports_for_a_while_that_it_stops_before_the_ports_close(
    samples: Samples, settings: Settings
) -> None:
    """Load balancers send their requests elsewhere first; those that come are answered."""
    settings = settings.with_(
        shutdown_delay=600, verify_workers=1, metrics_port=free_port(), access_log=True
    )
    with Supervisor(settings) as supervisor:
        assert settings.metrics_port is not None
        wait_for_port(settings.metrics_port)
        assert ask(settings.metrics_port, "GET", "/health/ready", []).status == 404
        supervisor.process.send_signal(signal.SIGTERM)
        for port in supervisor.ports:
            until(lambda port=port: ask(port, "GET", "/health/ready", []).status == 503)
            answer = ask(port, "GET", "/health/ready", [])
            assert b'"stopping"' in answer.body
            assert allowed(samples, port)
            assert ask(port, "GET", "/health/live", []).status == 200
        # A second signal ends the wait.
        code, logged = supervisor.stop()
    assert code == 0
    # Each port logs its requests.
    for name in samples.texts:
        assert samples.texts[name] not in logged or not samples.texts[name]
    token = f"token={samples.grants['good'].id} reason=allowed"
    assert logged.count(token) == 2


@pytest.mark.parametrize(
    "host", ["203.0.113.9", "2001:db8::9"], ids=["an address we don't have", "one by IPv6"]
)
def test_an_unusable_address_is_a_one_line_error(settings: Settings, host: str) -> None:
    with pytest.raises(Misconfigured, match="can't listen on"):
        serve(settings.with_(host=host), CATALOGUE, Clock())


def test_a_worker_that_fails_to_start_stops_the_supervisor(settings: Settings) -> None:
    """With exit code 1, before it reports that it is ready."""
    code, logged = Supervisor(settings, "no_such_module:make").ended()
    assert code == 1
    assert "no_such_module" in logged


def test_a_file_of_another_user_stops_the_supervisor(
    samples: Samples, settings: Settings, tmp_path: Path
) -> None:
    """A verify worker reports in one line that it may not use the map."""
    (tmp_path / "gatepass.db-map").unlink()
    (tmp_path / "gatepass.db-map").symlink_to(tmp_path / "elsewhere")
    code, logged = Supervisor(settings).ended()
    assert code == 1
    assert f"gatepass: {tmp_path / 'gatepass.db-map'} can't be opened" in logged
    assert "Traceback" not in logged
    assert not (tmp_path / "elsewhere").exists()


def test_starting_a_worker_is_retried(
    samples: Samples, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without memory or processes it retries. Descriptors and signal handlers are restored at the
    end."""
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(serve_module, "_LONGEST_BACKOFF", 0.05)
    start = subprocess.Popen
    failures = []

    def failing(*what: Any, **how: Any) -> Any:
        if len(failures) < 5:
            failures.append(what)
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return start(*what, **(how | {"env": with_tests_on_the_path()}))

    monkeypatch.setattr(subprocess, "Popen", failing)
    descriptors = len(os.listdir("/proc/self/fd"))
    ready = []

    def say() -> None:
        ready.append(
            [allowed(samples, port) for port in (settings.port, settings.verify_port or 0)]
        )
        os.kill(os.getpid(), signal.SIGTERM)

    code = serve(
        settings,
        CATALOGUE,
        Clock(),
        application="tests.support.apps.gateway_application:make",
        when_ready=say,
    )
    assert code == 0
    assert ready == [[True, True]]
    assert len(failures) == 5
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
