"""``gatepass serve``: a supervisor and its worker processes.

All workers of a port listen on it with SO_REUSEPORT. A worker that dies is restarted at once,
however often; one that dies within seconds is restarted with exponential backoff, at most two
seconds. (Web servers' own supervision often stops everything when a worker dies, or gives up on one
that dies twice within seconds. Neither is acceptable here: other services' traffic depends on us.)
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from gatepass.core.errors import Misconfigured
from gatepass.environment import PREFIX
from gatepass.node_counters import NodeCounters
from gatepass.settings import Settings
from gatepass.shared_words import SharedWords
from gatepass.verify.clock import Clock
from gatepass.web.gateway.envoy_grpc import require_extra
from gatepass.web.http.server import require_directory, unix_listener
from gatepass.web.server.service_manager import ServiceManager
from gatepass.web.server.worker import StartOrder
from gatepass.web.tracing import exporter_of

APPLICATION = "gatepass.web.app:create_app"
#: Requests in progress get this long to finish before their workers are killed.
STOP_SECONDS = 20.0
_LONGEST_BACKOFF = 2.0
#: A worker that dies within this time is restarted with backoff.
_YOUNG_SECONDS = 5.0

_log = logging.getLogger("gatepass.serve")


@dataclass
class _Worker:
    role: str
    shard: int
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    started: float = 0.0
    young_deaths: int = 0
    restart_at: float = 0.0
    ready: bool = False


def serve(
    settings: Settings,
    catalogue_text: str,
    clock: Clock,
    *,
    application: str = APPLICATION,
    argument: str | None = None,
    when_ready: Callable[[], None] | None = None,
) -> int:
    """Run the workers until SIGTERM or SIGINT.

    Args:
        settings: the ports and the numbers of workers, among others.
        catalogue_text: the catalogue, already validated.
        clock: the node's clock, which every worker continues.
        application: ``module:function`` that builds the main port's application of a node.
        argument: a second argument of that function. It may be a secret.
        when_ready: called once, when every worker serves.

    Returns:
        The exit code: 0 after a clean stop, 1 if a worker couldn't start at all.

    Raises:
        Misconfigured: a port or the socket is taken, or as ``require_startable`` says.
    """
    require_startable(settings)
    roles = ["main"] * settings.workers
    if (settings.verify_port, settings.verify_socket, settings.grpc_port) != (None, None, None):
        roles += ["verify"] * settings.verify_workers
    # The supervisor has shard 0.
    workers = [_Worker(role, shard) for shard, role in enumerate(roles, 1)]
    with contextlib.ExitStack() as held:
        for variable, port in settings.ports.items():
            held.enter_context(_reserve(variable, settings.host, port))
        shared = None
        if settings.verify_socket is not None:
            shared = held.enter_context(unix_listener(settings.verify_socket))
        words, descriptor = SharedWords.create(1 + len(workers))
        held.callback(os.close, descriptor)
        orders = _Orders(settings, catalogue_text, clock, application, argument, shared, descriptor)
        return _Supervisor(orders, clock, workers, NodeCounters(words)).run(when_ready)


def require_startable(settings: Settings) -> None:
    """Find what would stop the start, as far as that is known without one.

    Raises:
        Misconfigured: two ports are equal; the extra for the gRPC port isn't installed; there is no
            directory for the socket; or ``OTEL_…`` asks for what isn't there.
    """
    _ = settings.ports
    if settings.grpc_port is not None:
        require_extra(PREFIX + "GRPC_PORT")
    if settings.verify_socket is not None and settings.verify_socket.parent != settings.data_dir:
        # ``gatepass init`` makes the data directory.
        require_directory(settings.verify_socket)
    exporter_of(os.environ)


@dataclass(frozen=True)
class _Orders:
    """Makes start orders. Secrets reach workers only through a pipe: crash reporters and monitoring
    read a process's environment, and every child process inherits it."""

    settings: Settings
    catalogue: str
    clock: Clock
    application: str
    argument: str | None
    shared: socket.socket | None
    counters: int

    def order(self, worker: _Worker, ready_descriptor: int) -> StartOrder:
        """The worker's start order; one for the verify port has no secret at all."""
        is_main = worker.role == "main"
        settings = self.settings if is_main else self.settings.for_deciding()
        return StartOrder(
            role=worker.role,
            environ=settings.to_environ(),
            catalogue=self.catalogue,
            clock_offset_ns=self.clock.offset_ns,
            application=self.application,
            argument=self.argument if is_main else None,
            port=settings.port if is_main else settings.verify_port,
            ready_descriptor=ready_descriptor,
            listening_descriptor=None if is_main or self.shared is None else self.shared.fileno(),
            counters_descriptor=self.counters,
            shard=worker.shard,
        )

    def descriptors(self, ready_descriptor: int) -> tuple[int, ...]:
        """The descriptors that a worker inherits."""
        shared = () if self.shared is None else (self.shared.fileno(),)
        return (ready_descriptor, self.counters, *shared)

    def environ(self, worker: _Worker) -> dict[str, str]:
        """The worker's environment, without our settings.

        On the verify port also without libpq's variables, and those of a collector of traces.
        """
        left_out = (PREFIX,) if worker.role == "main" else (PREFIX, "PG", "OTEL_")
        return {name: text for name, text in os.environ.items() if not name.startswith(left_out)}


class _Supervisor:
    def __init__(
        self, orders: _Orders, clock: Clock, workers: list[_Worker], counters: NodeCounters
    ) -> None:
        self._orders = orders
        self._counters = counters
        self._clock = clock
        self._workers = workers
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._manager = ServiceManager()

    def run(self, when_ready: Callable[[], None] | None) -> int:
        wake_read, wake_write = socket.socketpair()
        wake_write.setblocking(False)
        wake_read.setblocking(False)
        previous_wakeup = signal.set_wakeup_fd(wake_write.fileno())
        previous = {
            number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)
        }
        self._selector.register(wake_read, selectors.EVENT_READ)
        announced = False
        try:
            while not self._stopping:
                self._start_due()
                for key, _ in self._selector.select(self._pause()):
                    if key.data is None:
                        with contextlib.suppress(BlockingIOError):
                            wake_read.recv(4096)
                    elif not self._read_pipe(key.data) and not announced:
                        return 1
                self._clock.watch()
                self._manager.alive()
                if not announced and all(worker.ready for worker in self._workers):
                    announced = True
                    self._manager.ready()
                    if when_ready is not None:
                        when_ready()
            return 0
        finally:
            self._manager.stopping()
            self._stop_workers()
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(previous_wakeup)
            self._selector.close()
            wake_read.close()
            wake_write.close()

    def _stop(self, *_: object) -> None:
        if self._stopping:
            # Asked twice: don't wait until load balancers have noticed.
            for process in self._running():
                process.terminate()
        self._stopping = True

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return [worker.process for worker in self._workers if worker.process is not None]

    def _start_due(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.process is None and worker.restart_at <= now:
                self._start(worker)

    def _pause(self) -> float:
        waiting = [w.restart_at for w in self._workers if w.process is None]
        return max(0.0, min([1.0, *(at - time.monotonic() for at in waiting)]))

    def _start(self, worker: _Worker) -> None:
        read, write = os.pipe()
        order = self._orders.order(worker, write)
        try:
            worker.process = subprocess.Popen(
                [sys.executable, "-m", "gatepass.web.server.worker"],
                stdin=subprocess.PIPE,
                pass_fds=self._orders.descriptors(write),
                env=self._orders.environ(worker),
            )
        except OSError as error:
            # Out of memory or processes; the running workers must go on.
            _log.error("a %s worker can't be started: %s", worker.role, error.strerror)
            os.close(read)
            worker.restart_at = time.monotonic() + _LONGEST_BACKOFF
            return
        finally:
            os.close(write)
        worker.pipe = read
        worker.ready = False
        worker.started = time.monotonic()
        self._selector.register(read, selectors.EVENT_READ, worker)
        assert worker.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            worker.process.stdin.write(msgspec.json.encode(order) + b"\n")
            worker.process.stdin.flush()

    def _read_pipe(self, worker: _Worker) -> bool:
        """Note that a worker is ready, or has ended; whether it is running."""
        if os.read(worker.pipe, 16):
            worker.ready = True
            return True
        assert worker.process is not None
        self._selector.unregister(worker.pipe)
        os.close(worker.pipe)
        code = worker.process.wait()
        _close(worker.process)
        lived = time.monotonic() - worker.started
        worker.process = None
        worker.ready = False
        worker.young_deaths = worker.young_deaths + 1 if lived < _YOUNG_SECONDS else 0
        backoff = min(_LONGEST_BACKOFF, 0.1 * 2 ** min(worker.young_deaths - 1, 8))
        worker.restart_at = time.monotonic() + (backoff if worker.young_deaths > 1 else 0.0)
        self._counters.exits.add(worker.role)
        _log.error("a %s worker exited with %d after %.1f s", worker.role, code, lived)
        return False

    def _stop_workers(self) -> None:
        running = self._running()
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self._orders.settings.shutdown_delay + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.error("a worker didn't stop within %.0f s; killing it", STOP_SECONDS)
                process.kill()
                process.wait()
            _close(process)
        for worker in self._workers:
            if worker.process is not None:
                os.close(worker.pipe)


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _reserve(variable: str, host: str, port: int) -> socket.socket:
    """Bind *port* for the workers, so that no other program can while none of them listens.

    First bound without SO_REUSEPORT: with it, a second installation of the same user would silently
    share the traffic of the first.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            # Linux lets two sockets bind while neither listens, so listen as well.
            probe.listen(1)
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OSError as error:
        raise Misconfigured(
            f"{variable}: can't listen on {host} port {port}: {error.strerror}"
        ) from None
    return held
