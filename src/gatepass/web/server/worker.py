"""A worker process, of the main port or of the verify port.

Started by ``web.server.supervisor`` as ``python -m gatepass.web.server.worker``. The worker reads
its start order as one JSON line from standard input, which stays open: at its end the supervisor
has died, and the worker stops. When the worker serves, it writes one byte to the descriptor that
the order names.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import uvloop
from msgspec.structs import replace

from gatepass import log_format
from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import GatepassError
from gatepass.node_counters import NodeCounters
from gatepass.settings import Settings
from gatepass.shared_words import SharedWords
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.verify.readiness import Readiness
from gatepass.verify.replica.maintenance import Maintenance
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier
from gatepass.web.gateway.connection import Port
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.envoy_grpc import EnvoyGrpc
from gatepass.web.http.connection import Connection
from gatepass.web.http.server import MOST_CONNECTIONS, Server, listener

#: Open files of a worker that aren't connections, at most.
_OTHER_FILES = 256


class StartOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The supervisor's instructions to a worker.

    Attributes:
        role: ``main`` or ``verify``.
        environ: the settings (``Settings.to_environ``).
        catalogue: the catalogue file's text as the supervisor validated it; counts until the node's
            grants have the installation's catalogue.
        clock_offset_ns: the node's clock (``verify.clock``).
        application: ``module:function`` that builds the main port's ASGI application of a node.
        argument: a second argument of that function, if any.
        port: the port to listen on; None only for a verify worker.
        ready_descriptor: the file descriptor for one byte once the worker serves.
        listening_descriptor: a Unix socket that listens and is shared by the verify workers.
        counters_descriptor: the node's counters (``shared_words``); None for counters of its own.
        shard: the worker's own of them.
    """

    role: str
    environ: dict[str, str]
    catalogue: str
    clock_offset_ns: int
    application: str
    port: int | None
    ready_descriptor: int
    argument: str | None = None
    listening_descriptor: int | None = None
    counters_descriptor: int | None = None
    shard: int = 0

    def __repr__(self) -> str:
        # The settings hold passwords.
        return f"StartOrder(role={self.role!r}, port={self.port})"


def main() -> int:
    """Run a worker until SIGTERM or the supervisor's end."""
    # Ctrl-C reaches the whole process group; the supervisor alone acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Until it serves, a worker makes no garbage worth a look at all that it has loaded.
    gc.disable()
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=StartOrder)
    try:
        settings = Settings.read(order.environ)
        log_format.configure(settings)
        run = _main_worker if order.role == "main" else _verify_worker
        run(order, settings)
    except GatepassError as error:
        print(f"gatepass: {error.message}", file=sys.stderr)
        return 1
    return 0


def _main_worker(order: StartOrder, settings: Settings) -> None:
    # Imported here: verify workers load neither framework nor ORM.
    from gatepass.node.node import open_node
    from gatepass.web.metrics.endpoint import MetricsPort

    node = open_node(
        settings,
        parse_catalogue(order.catalogue),
        clock=Clock(offset_ns=order.clock_offset_ns),
        counters=_counters(order),
    )
    module, _, function = order.application.partition(":")
    make = getattr(importlib.import_module(module), function)
    application = make(node) if order.argument is None else make(node, order.argument)
    served = [(order.port, _connection(application, settings))]
    if settings.metrics_port is not None:
        served.append((settings.metrics_port, _connection(MetricsPort(application), settings)))
    node.start()
    try:
        _run(_serve(order, settings, served, node.readiness, node.leave))
    finally:
        node.stop()


def _connection(application: Any, settings: Settings) -> Callable[[Server], Connection]:
    from gatepass.web.gateway.asgi import access_log
    from gatepass.web.http.asgi import asgi

    if not settings.access_log:
        return asgi(application)
    logged = access_log(application, TrustedProxies.of(settings.trusted_proxies))
    return asgi(logged, logged.refused)


def _verify_worker(order: StartOrder, settings: Settings) -> None:
    clock = Clock(offset_ns=order.clock_offset_ns)
    file = GrantFile(settings.grant_path)
    file.shared.set_public_url(settings.public_url)
    counters = _counters(order)
    usage = Usage(file.use_directory, counters.decisions)
    routes = parse_catalogue(order.catalogue).routes
    verifier = Verifier(
        file, clock, routes, published=True, copy=not settings.is_sqlite, usage=usage
    )
    maintenance = Maintenance(verifier, usage, counters.workers)
    maintenance.start()
    # The Unix socket's file mode says who may ask there; over TCP every peer has an address.
    trusted = replace(TrustedProxies.of(settings.trusted_proxies), unix=True)
    readiness = Readiness(verifier.not_ready)
    endpoints = Endpoints(
        verifier, trusted, readiness.not_ready, counters, logged=settings.access_log
    )
    port = Port(endpoints)
    grpc = None
    if settings.grpc_port is not None:
        # Over TCP every peer has an address, so the rule for Unix sockets admits nobody here.
        grpc = EnvoyGrpc(endpoints)
    try:
        _run(_serve(order, settings, [(order.port, port.connection)], readiness, grpc=grpc))
    finally:
        maintenance.close()


def _counters(order: StartOrder) -> NodeCounters:
    if order.counters_descriptor is None:
        return NodeCounters()
    words = SharedWords(order.counters_descriptor, order.shard)
    os.close(order.counters_descriptor)
    return NodeCounters(words)


def _run(serving: Coroutine[Any, Any, None]) -> None:
    # Everything loaded so far lives as long as the process: exempt it from garbage collection.
    gc.collect()
    gc.freeze()
    gc.enable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving)


async def _serve(
    order: StartOrder,
    settings: Settings,
    served: Sequence[tuple[int | None, Callable[[Server], Connection]]],
    readiness: Readiness,
    leave: Callable[[], None] = lambda: None,
    grpc: EnvoyGrpc | None = None,
) -> None:
    loop = asyncio.get_running_loop()
    most = most_connections()
    servers = []
    for port, connection in served:
        servers.append(server := Server(connection, most=most))
        if port is not None:
            await server.listen(listener(settings.host, port))
    if order.listening_descriptor is not None:
        await servers[0].listen(socket.socket(fileno=order.listening_descriptor))
    if grpc is not None and settings.grpc_port is not None:
        await grpc.listen(settings.host, settings.grpc_port)

    def drain() -> None:
        if readiness.draining:
            stop()
        readiness.draining = True
        loop.call_later(settings.shutdown_delay, stop)

    def stop() -> None:
        # Answers in progress are waited for; endless ones (feeds) have to be ended.
        leave()
        for server in servers:
            server.stop()
        if grpc is not None:
            grpc.stop()

    def supervisor_gone() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stop()

    loop.add_signal_handler(signal.SIGTERM, drain)
    loop.add_reader(sys.stdin.fileno(), supervisor_gone)
    _report_ready(order.ready_descriptor)
    for server in servers:
        await server.stopped()
    if grpc is not None:
        await grpc.stopped()


def most_connections() -> int:
    """How many connections this process may have; raises its limit of open files for them.

    Each is an open file, and many systems have a default of a thousand, for the sake of programs
    that use select(). Where the system allows too few, some are kept free: without, neither a new
    connection could take the place of an idle one, nor the database be opened.
    """
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return min(MOST_CONNECTIONS, max(limit // 2, limit - _OTHER_FILES))


def _report_ready(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, b"r")


if __name__ == "__main__":
    sys.exit(main())
