"""A scripted server of ``GET /v1/feed``: raw sockets, one thread per connection."""

import json
import secrets
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gatepass.core.credentials import make
from gatepass.core.grants import CompanyRules, Grant, Holder, encode
from gatepass.verify.freshness import BOOT_CLOCK
from gatepass.verify.grant_file import TABLES
from gatepass.verify.replica import frames
from gatepass.verify.replica.frames import MEDIA_TYPE, PROTOCOL, Frame, Opening, Reached
from gatepass.verify.replica.grant_copy import ChangedRow, Position

KEY = make("gpvk")
HEARTBEAT_SECONDS = 0.1
_TABLES = {Grant: "grants", Holder: "holders", CompanyRules: "company_rules"}


def boot_ns() -> int:
    return time.clock_gettime_ns(BOOT_CLOCK)


class Connection:
    """A follower's connection whose request was read."""

    def __init__(self, sock: socket.socket, target: str, headers: dict[str, str]) -> None:
        self.socket = sock
        self.path = urlsplit(target).path
        self.query = parse_qsl(urlsplit(target).query)
        self.headers = headers

    @property
    def position(self) -> Position | None:
        """The position after which the follower asks for changes."""
        asked = dict(self.query)
        return (int(asked["revision"]), asked["tag"]) if "tag" in asked else None

    def begin(self, status: str = "200 OK", kind: str = MEDIA_TYPE, *lines: str) -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Transfer-Encoding: chunked", *lines]
        self.socket.sendall("\r\n".join([*head, "", ""]).encode())

    def send(self, data: bytes) -> None:
        """Send one chunk; an empty one ends the answer."""
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def frame(self, frame: Frame) -> None:
        self.send(frames.encode(frame))

    def answer(self, status: str, body: bytes, kind: str = "application/json") -> None:
        self.socket.sendall(
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )


class ScriptedFeed:
    """A registry's history and the server of its feed; a context manager.

    Attributes:
        script: handles a follower's connection; by default ``serve``.
        asked: every request for the feed, in order.
        told: every POST, as (last part of the path, body).
        staleness_ms: the MAX_STALENESS sent to followers.
        serving: the number of open streams.
        folded: per spool, the offset up to which use was counted.
        ahead_ms: how far the server's clock is ahead of this machine's.
    """

    def __init__(self, staleness_ms: int = 10_000, tls: ssl.SSLContext | None = None) -> None:
        self.rows: dict[tuple[str, str], tuple[bytes | None, int]] = {}
        self.history: dict[int, str] = {0: secrets.token_hex(8)}
        self.staleness_ms = staleness_ms
        self.ahead_ms = 0
        self.asked: list[Connection] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.folded: dict[str, int] = {}
        self.script: Callable[[Connection], None] = self.serve
        self.post: Callable[[Connection, str, bytes], None] = self._take
        self.connections: list[socket.socket] = []
        self.serving = 0
        self._changed = threading.Condition()
        self._stopped = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._tls = tls
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"

    def __enter__(self) -> "ScriptedFeed":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self.cut()
        self._listener.close()

    def cut(self) -> None:
        """Close every connection."""
        for sock in self.connections:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    @property
    def position(self) -> Position:
        number = max(self.history)
        return number, self.history[number]

    def commit(self, *records: Grant | Holder | CompanyRules, removed: Iterable[str] = ()) -> None:
        """Commit one revision; *removed* are ids of grants."""
        with self._changed:
            number = max(self.history) + 1
            for record in records:
                self.rows[_TABLES[type(record)], record.id] = (encode(record), number)
            for each in removed:
                self.rows["grants", each] = (None, number)
            self.history[number] = secrets.token_hex(8)
            self._changed.notify_all()

    def publish(self, path: Path) -> None:
        """Commit all records of a grant file as one revision."""
        with self._changed, closing(sqlite3.connect(path)) as reading:
            number = max(self.history) + 1
            for table in TABLES:
                for key, record in reading.execute(f"SELECT id, record FROM {table}"):
                    self.rows[table, key] = (record, number)
            self.history[number] = secrets.token_hex(8)
            self._changed.notify_all()

    def part(self) -> None:
        """Replace the history: no position of followers is known any more."""
        self.history = {number: secrets.token_hex(8) for number in self.history}

    def since(self, after: int) -> list[ChangedRow]:
        return [
            (table, key, record, revision)
            for (table, key), (record, revision) in self.rows.items()
            if revision > after and (after >= 0 or record is not None)
        ]

    def opening(self, *, full: bool) -> Opening:
        return Opening(
            PROTOCOL,
            boot_ns(),
            self.staleness_ms,
            full,
            "node_scripted",
            "0.1.0",
            time.time_ns() // 1_000_000 + self.ahead_ms,
        )

    def serve(self, connection: Connection) -> None:
        """Serve a feed correctly."""
        connection.begin()
        here = connection.position
        known = here is not None and self.history.get(here[0]) == here[1]
        connection.frame(self.opening(full=not known))
        after = here[0] if here is not None and known else -1
        while not self._stopped:
            asked = boot_ns()
            there = self.position
            if changes := self.since(after):
                connection.frame(frames.pack(changes))
            after = there[0]
            connection.frame(Reached(*there, asked))
            with self._changed:
                if self.position == there:
                    self._changed.wait(HEARTBEAT_SECONDS)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with (
            suppress(OSError, ValueError),
            self._secured(sock) as sock,
            sock.makefile("rb") as reading,
        ):
            while line := reading.readline():
                method, target, _ = line.decode().split(" ")
                headers = {}
                while (header := reading.readline().decode().strip()) != "":
                    name, _, value = header.partition(": ")
                    headers[name.lower()] = value
                connection = Connection(sock, target, headers)
                body = reading.read(int(headers.get("content-length", 0)))
                if method == "GET":
                    self.asked.append(connection)
                    self.serving += 1
                    try:
                        self.script(connection)
                    finally:
                        self.serving -= 1
                    return
                self.post(connection, connection.path.rpartition("/")[2], body)

    def _secured(self, sock: socket.socket) -> socket.socket:
        return sock if self._tls is None else self._tls.wrap_socket(sock, server_side=True)

    def _take(self, connection: Connection, what: str, body: bytes) -> None:
        said = json.loads(body)
        if what == "use":
            folded = self.folded.get(said["spool"], 0)
            if folded == said["start"]:
                self.folded[said["spool"]] = folded = said["end"]
                self.told.append((what, said))
            connection.answer("200 OK", json.dumps({"folded_to": folded}).encode())
        else:
            self.told.append((what, said))
            connection.answer("200 OK", b"{}")
