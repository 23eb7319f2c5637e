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
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import uvloop
from granian.constants import HTTPModes, Interfaces, TaskImpl
from granian.http import HTTP1Settings
from granian.server.embed import Server as Granian
from msgspec.structs import replace

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import GatepassError
from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.verify.replica.maintenance import Maintenance
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier
from gatepass.web.close_socket import close_all, set_unread_timeout
from gatepass.web.gateway.connection import Port
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.http.server import Server, listener

#: Connections at a time. They cost little; at Granian's default of a thousand, an attacker who
#: opens that many and sends nothing keeps everyone else out until they time out.
_MOST_CONNECTIONS = 16_384
#: Timeout of a request's head, and of an idle connection.
_HEAD_SECONDS = 30
#: Read buffer of a connection, and so the longest request head. Granian's default of 400 KiB, times
#: all connections, would be gigabytes for an attacker to use. A feed's URL takes 60 KiB at most.
_MOST_AHEAD = 65_536
#: When stopping, clients that neither finish a request nor read an answer get this long.
_LAST_SECONDS = 15.0

_log = logging.getLogger("gatepass.worker")


class StartOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The supervisor's instructions to a worker.

    Attributes:
        role: ``main`` or ``verify``.
        environ: the settings (``Settings.to_environ``).
        catalogue: the catalogue file's text as the supervisor validated it: a restarted worker must
            not read a newer file than its siblings.
        clock_offset_ns: the node's clock (``verify.clock``).
        application: ``module:function`` that builds the main port's ASGI application of a node.
        argument: a second argument of that function, if any.
        port: the port to listen on; None only for a verify worker.
        ready_descriptor: the file descriptor for one byte once the worker serves.
        listening_descriptor: a Unix socket that listens and is shared by the verify workers.
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

    def __repr__(self) -> str:
        # The settings hold passwords.
        return f"StartOrder(role={self.role!r}, port={self.port})"


def main() -> int:
    """Run a worker until SIGTERM or the supervisor's end."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s [{os.getpid()}] %(name)s: %(message)s",
    )
    # Ctrl-C reaches the whole process group; the supervisor alone acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=StartOrder)
    try:
        run = _main_worker if order.role == "main" else _verify_worker
        run(order, Settings.read(order.environ))
    except GatepassError as error:
        print(f"gatepass: {error.message}", file=sys.stderr)
        return 1
    return 0


def _main_worker(order: StartOrder, settings: Settings) -> None:
    from gatepass.node.node import open_node

    node = open_node(
        settings, parse_catalogue(order.catalogue), clock=Clock(offset_ns=order.clock_offset_ns)
    )
    module, _, function = order.application.partition(":")
    make = getattr(importlib.import_module(module), function)
    application = make(node) if order.argument is None else make(node, order.argument)
    node.start()
    try:
        _serve(order, settings, application, Interfaces.ASGI, TaskImpl.asyncio, node.leave)
    finally:
        node.stop()


def _verify_worker(order: StartOrder, settings: Settings) -> None:
    clock = Clock(offset_ns=order.clock_offset_ns)
    file = GrantFile(settings.grant_path)
    usage = Usage(file.use_directory)
    routes = parse_catalogue(order.catalogue).routes
    verifier = Verifier(file, clock, routes, copy=not settings.is_sqlite, usage=usage)
    maintenance = Maintenance(verifier, usage)
    maintenance.start()
    # The Unix socket's file mode says who may ask there; over TCP every peer has an address.
    trusted = replace(TrustedProxies.of(settings.trusted_proxies), unix=True)
    port = Port(Endpoints(verifier, trusted, verifier.not_ready), routes)
    try:
        _run(_serve_verify(order, settings, port))
    finally:
        maintenance.close()


async def _serve_verify(order: StartOrder, settings: Settings, port: Port) -> None:
    _open_many_files()
    loop = asyncio.get_running_loop()
    server = Server(port.connection)
    if order.port is not None:
        await server.listen(listener(settings.host, order.port))
    if order.listening_descriptor is not None:
        await server.listen(socket.socket(fileno=order.listening_descriptor))

    def supervisor_gone() -> None:
        loop.remove_reader(sys.stdin.fileno())
        server.stop()

    loop.add_signal_handler(signal.SIGTERM, server.stop)
    loop.add_reader(sys.stdin.fileno(), supervisor_gone)
    _report_ready(order.ready_descriptor)
    await server.stopped()


def _run(serving: Coroutine[Any, Any, None]) -> None:
    # Everything loaded so far lives as long as the process: exempt it from garbage collection.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving)


def _serve(
    order: StartOrder,
    settings: Settings,
    application: Any,
    interface: Interfaces,
    task_impl: TaskImpl,
    leave: Callable[[], None] = lambda: None,
) -> None:
    _open_many_files()
    port = order.port
    assert port is not None  # as only a verify worker's may be
    server: Any = Granian(
        application,
        address=settings.host,
        port=port,
        interface=interface,
        task_impl=task_impl,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=_HEAD_SECONDS * 1000, max_buffer_size=_MOST_AHEAD
        ),
        websockets=False,
        backlog=1024,
        backpressure=_MOST_CONNECTIONS,
        log_enabled=False,
    )

    async def serve() -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            # The server waits for answers in progress; endless ones (feeds) have to be ended.
            leave()
            server.stop()
            loop.call_later(_LAST_SECONDS, close_all, port)

        loop.add_signal_handler(signal.SIGTERM, stop)

        def serving() -> None:
            set_unread_timeout(port)
            _report_ready(order.ready_descriptor)

        def supervisor_gone() -> None:
            loop.remove_reader(sys.stdin.fileno())
            stop()

        loop.add_reader(sys.stdin.fileno(), supervisor_gone)
        loop.call_later(0.05, serving)
        await server.serve()

    # Everything loaded so far lives as long as the process: exempt it from garbage collection.
    gc.collect()
    gc.freeze()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    # Not asyncio.run: its cleanup can't handle the tasks that Granian creates in Rust.
    loop.run_until_complete(serve())


def _open_many_files() -> None:
    """Raise the limit of open files to the allowed maximum: each connection is one.

    Many systems have a default of a thousand, for the sake of programs that use select().
    """
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))


def _report_ready(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, b"r")


if __name__ == "__main__":
    sys.exit(main())
