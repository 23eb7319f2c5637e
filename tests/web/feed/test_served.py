"""Feeds of the real server: connections, and stopping."""

import http.client
import os
import socket
import sqlite3
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest

from gatepass.verify.replica import frames
from gatepass.verify.replica.frames import Frame, Frames, Opening, Reached
from tests.support.feed.asgi_feed import FOLLOWER
from tests.support.processes.served_installation import ServedInstallation, new_token
from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.processes

ADDRESS = "/v1/feed?" + urlencode({"node": FOLLOWER, "name": "payments-1", "version": "0.1.0"})
STALENESS_S = 1


class Served:
    """A stream of the served installation, read frame by frame."""

    def __init__(self, served: ServedInstallation) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=LIMIT_S)
        headers = {"Authorization": f"Bearer {served.verifier_key}"}
        self._connection.request("GET", ADDRESS, headers=headers)
        self.answer = self._connection.getresponse()
        self._frames = Frames()
        self._read: list[Frame] = []

    def next(self) -> Frame | None:
        while not self._read:
            data = self.answer.read1(1 << 16)
            if not data:
                return None
            self._read += self._frames.feed(data)
        return self._read.pop(0)

    def reached(self) -> Reached:
        while (frame := self.next()) is not None:
            if isinstance(frame, Reached):
                return frame
        raise AssertionError("the stream has ended")

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


def test_every_workers_streams_get_each_change_and_end_with_the_server(tmp_path: Path) -> None:
    with ServedInstallation(tmp_path, GATEPASS_WORKERS="2") as served:
        streams = [Served(served) for _ in range(6)]
        assert streams[0].answer.getheader("x-accel-buffering") == "no"
        for stream in streams:
            assert isinstance(stream.next(), Opening)
            stream.reached()
        # On whichever worker they are.
        until(lambda: "\ngatepass_feed_followers 6.0\n" in served.metrics())
        made = new_token(served.sign_in())["id"]
        for stream in streams:
            records = []
            while made not in {record[1] for record in records}:
                frame = stream.next()
                assert frame is not None
                if isinstance(frame, frames.Records):
                    records = list(frames.unpack(frame))
        # A disconnected follower doesn't delay the stop.
        streams.pop().close()
        assert served.stop() == 0
        for stream in streams:
            while stream.next() is not None:
                pass
        assert "Traceback" not in served.log.read_text()
        assert served.verifier_key not in served.log.read_text()


def test_a_follower_that_does_not_read_is_disconnected(tmp_path: Path) -> None:
    settings = {"GATEPASS_MAX_STALENESS": str(STALENESS_S), "GATEPASS_WORKERS": "1"}
    with ServedInstallation(tmp_path, **settings) as served:
        # More than socket buffers hold, so that the readers block within the snapshot.
        with sqlite3.connect(tmp_path / "data" / "gatepass.db", timeout=LIMIT_S) as database:
            rows = [(f"gpat_{number:016}", os.urandom(50_000)) for number in range(400)]
            database.executemany("INSERT INTO grants VALUES (?, ?, 1)", rows)
        database.close()
        frozen, silent = _unread(served), _unread(served)
        until(lambda: not _listed(served, frozen))
        silent.close()
        late = _unread(served)
        time.sleep(0.5)
        assert served.stop() == 0
        for each in (frozen, late):
            each.close()


def _unread(served: ServedInstallation) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    sock.connect(("127.0.0.1", served.port))
    asked = (
        f"GET {ADDRESS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.verifier_key}\r\n\r\n"
    )
    sock.sendall(asked.encode())
    return sock


def _listed(served: ServedInstallation, client: socket.socket) -> bool:
    """Whether the server still has its end of that connection."""
    port = client.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state = line.split()[:4]
        if local.endswith(f":{served.port:04X}") and remote.endswith(f":{port:04X}"):
            return state == "01"
    return False
