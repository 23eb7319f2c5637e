"""A server's connections: how many, how they are timed out, and how it stops."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gatepass.core.errors import Misconfigured
from gatepass.web.http import server as server_module
from gatepass.web.http.server import Server, listener, unix_listener
from tests.support.waiting import LIMIT_S
from tests.web.http.test_connection import GET, Echo, request

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Connect = Callable[[], Awaitable[tuple[Reader, Writer]]]


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[Server, Connect]]:
    """A server on a free port, and a function that connects to it."""
    own = listener("127.0.0.1", 0)
    server = Server(Echo, **options)
    await server.listen(own)
    port = own.getsockname()[1]
    try:
        yield server, partial(asyncio.open_connection, "127.0.0.1", port)
    finally:
        server.stop()
        for connection in list(server._connections):
            connection.abort()
        await asyncio.wait_for(server.stopped(), LIMIT_S)


async def exchange(stream: tuple[Reader, Writer], raw: bytes) -> bytes:
    """Send *raw*; the status line of the answer, or b"" at the end of the connection."""
    reader, writer = stream
    writer.write(raw)
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT_S)
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    return head.partition(b"\r\n")[0]


async def ended(stream: tuple[Reader, Writer]) -> bool:
    """Whether the server closes the connection."""
    try:
        return await asyncio.wait_for(stream[0].read(), LIMIT_S) == b""
    except ConnectionError:
        return True


OK = b"HTTP/1.1 200 OK"


def test_an_answer_has_a_date() -> None:
    async def run() -> None:
        async with serving() as (_, connect):
            reader, writer = await connect()
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(OK + b"\r\ndate: ")
            assert head.split(b"\r\n")[1].endswith(b" GMT")

    asyncio.run(run())


def test_where_there_are_too_many_the_oldest_stranger_is_closed() -> None:
    """Idle connections of nobody we know can't keep a gateway out."""

    async def run() -> None:
        async with serving(most=4) as (server, connect):
            gateway = await connect()
            assert await exchange(gateway, GET) == OK
            server.recognized(next(iter(server._connections)))
            strangers = []
            for _ in range(9):
                strangers.append(await connect())
                assert await exchange(strangers[-1], GET) == OK
            assert len(server._connections) == 4
            for stranger in strangers[:6]:
                assert await ended(stranger)
            for known in (gateway, *strangers[6:]):
                assert await exchange(known, GET) == OK

    asyncio.run(run())


def test_where_all_are_known_a_new_one_is_refused() -> None:
    async def run() -> None:
        async with serving(most=2) as (server, connect):
            known = [await connect() for _ in range(2)]
            for each in known:
                assert await exchange(each, GET) == OK
            for connection in list(server._connections):
                server.recognized(connection)
            assert await exchange(await connect(), GET) == b""
            for each in known:
                assert await exchange(each, GET) == OK

    asyncio.run(run())


def test_a_busy_connection_is_not_closed_for_a_new_one() -> None:
    """And one that was busy is closed after those that are idle for longer."""

    async def run() -> None:
        async with serving(most=3) as (server, connect):
            first = await connect()
            assert await exchange(first, GET) == OK
            (connection,) = server._connections
            server.busy(connection)
            others = []
            for _ in range(4):
                others.append(await connect())
                assert await exchange(others[-1], GET) == OK
            assert await exchange(first, GET) == OK
            server.idle(connection)
            others.append(await connect())
            assert await exchange(others[-1], GET) == OK
            for ended_one in others[:-2]:
                assert await ended(ended_one)
            for kept in (first, *others[-2:]):
                assert await exchange(kept, GET) == OK
            last = await connect()
            assert await exchange(last, GET) == OK
            connection.abort()
            await asyncio.sleep(0.05)
            server.idle(connection)
            assert connection not in server._strangers

    asyncio.run(run())


def test_the_system_holds_little_of_an_answer() -> None:
    """So that a client that reads slowly is told from one that doesn't read."""

    async def run() -> None:
        async with serving() as (server, connect):
            stream = await connect()
            assert await exchange(stream, GET) == OK
            (connection,) = server._connections
            own = connection._transport.get_extra_info("socket")
            held = own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            assert held <= 2 * server_module._SENDING_BYTES

    asyncio.run(run())


@pytest.mark.slow
def test_stopping_answers_what_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing new is accepted; idle connections close a moment later, others with their answer."""
    monkeypatch.setattr(server_module, "_LINGERING_SECONDS", 0)

    async def run() -> None:
        async with serving() as (server, connect):
            idle, busy = await connect(), await connect()
            assert await exchange(idle, GET) == OK
            raw = request(b"/body", b"Content-Length: 4", body=b"body", method=b"POST")
            busy[1].write(raw[:-2])
            await asyncio.sleep(0.05)
            server.stop()
            assert server.stopping
            with pytest.raises(OSError):
                await connect()
            assert await ended(idle)
            assert await exchange(busy, raw[-2:]) == OK
            await asyncio.wait_for(server.stopped(), LIMIT_S)

    asyncio.run(run())


@pytest.mark.slow
def test_stopping_waits_for_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_LAST_SECONDS", 0)

    async def run() -> None:
        async with serving() as (server, connect):
            stuck = await connect()
            stuck[1].write(b"GET /half HTTP/1.1\r\n")
            await asyncio.sleep(0.05)
            server.stop()
            assert await ended(stuck)
            await asyncio.wait_for(server.stopped(), LIMIT_S)

    asyncio.run(run())


def test_a_client_that_stops_reading_is_not_answered_without_end() -> None:
    """However much it asks for, the server holds little of the answers."""

    async def run() -> None:
        async with serving() as (server, connect):
            _, writer = await connect()
            raw = request(b"/one", b"X-A: " + b"a" * 8_000) * 200
            for _ in range(40):
                writer.write(raw)
                await asyncio.sleep(0)
            async with asyncio.timeout(LIMIT_S):
                while not any(each._paused for each in server._connections):
                    await asyncio.sleep(0.01)
            (connection,) = server._connections
            assert connection._transport.get_write_buffer_size() < 1 << 20
            writer.transport.abort()

    asyncio.run(run())


def test_processes_share_a_port() -> None:
    one = listener("127.0.0.1", 0)
    two = listener("127.0.0.1", one.getsockname()[1])
    assert one.getsockname() == two.getsockname()
    one.close()
    two.close()


def test_an_address_of_ipv6() -> None:
    own = listener("::1", 0)
    assert own.family == socket.AF_INET6
    own.close()


def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "verify.sock"
    with unix_listener(path):
        assert path.stat().st_mode & 0o777 == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_a_socket_that_a_killed_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "verify.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with unix_listener(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_in_use_or_another_file_is_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "verify.sock", tmp_path / "other"
    other.write_text("precious")
    with unix_listener(path):
        with pytest.raises(Misconfigured, match="another process listens"), unix_listener(path):
            pass
        for taken in (other, tmp_path):
            with pytest.raises(Misconfigured, match="another file"), unix_listener(taken):
                pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert other.read_text() == "precious"
    with pytest.raises(Misconfigured, match="VERIFY_SOCKET"), unix_listener(other / "x"):
        pass


def test_many_may_connect_to_a_unix_socket_at_once(tmp_path: Path) -> None:
    """Beyond the backlog a gateway's connection is refused, and its call with it."""

    async def run() -> None:
        path = tmp_path / "verify.sock"
        with unix_listener(path) as shared, ExitStack() as clients:
            server = Server(Echo)
            await server.listen(socket.socket(fileno=os.dup(shared.fileno())))
            for _ in range(300):
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
            server.stop()

    asyncio.run(run())


def test_a_server_that_accepts_nothing_is_left_alone(tmp_path: Path) -> None:
    """And isn't waited for."""
    path = tmp_path / "verify.sock"
    with socket.socket(socket.AF_UNIX) as busy, ExitStack() as clients:
        busy.bind(str(path))
        busy.listen(0)
        with suppress(BlockingIOError):
            while True:
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
        with pytest.raises(Misconfigured), unix_listener(path):
            pass
        assert path.exists()


def test_a_successors_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "verify.sock"
    with unix_listener(path):
        path.rename(tmp_path / "former")
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.exists()
