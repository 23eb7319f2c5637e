"""Ambiguous requests through nginx, which shares its connections to a worker among clients.

If the two read one byte stream differently, the worker decides a request that no client sent, or a
client gets the answer to another's. So what the worker decided is compared with what clients got.
"""

import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gatepass.core.networks import parse_network
from gatepass.settings import Settings
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.database_follower import NodeLock
from gatepass.verify.spools import by_kind, spools
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.nginx import Nginx
from tests.support.processes.ports import free_port
from tests.support.processes.workers import Worker
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.nginx

PROXY = """
upstream verify {{ server 127.0.0.1:{worker}; keepalive 2; }}
server {{
    listen 127.0.0.1:{front};
    underscores_in_headers on;
    ignore_invalid_headers off;
    large_client_header_buffers 8 64k;
    location / {{
        proxy_pass http://verify;
        proxy_http_version 1.1;
        proxy_set_header Connection $upgraded;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Expect $http_expect;
        proxy_request_buffering {buffering};
        proxy_next_upstream off;
        proxy_ignore_client_abort on;
    }}
}}
map $http_upgrade $upgraded {{ default upgrade; '' ''; }}
"""

#: Headers that may say where a body ends.
FRAMING = [
    *(b"Content-Length: %d", b"Transfer-Encoding: chunked", b"Content-Length: 0"),
    b"Content-Length: %d\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: %d",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4",
    *(b"Content-Length: 0\r\nContent-Length: %d", b"Content-Length: %d\r\nContent-Length: %d"),
    *(b"Content-Length: %d, %d", b"Content-Length: +%d", b"Content-Length: 0x5"),
    *(b"Content-Length : %d", b"Content-Length\t: %d", b"Content_Length: %d"),
    *(b"Content-Length:\x0b%d", b"X: 1\r\n Content-Length: %d", b" Content-Length: %d"),
    *(b"X: 1\nContent-Length: %d", b"X: 1\rContent-Length: %d", b"\x00Content-Length: %d"),
    *(b"Transfer-Encoding : chunked", b"Transfer_Encoding: chunked"),
    *(b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity"),
    *(b"Transfer-Encoding: identity\r\nContent-Length: %d", b"Transfer-Encoding:\x0bchunked"),
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: %d",
    b"Transfer-Encoding: \x00chunked\r\nContent-Length: %d",
    b"X: 1\nTransfer-Encoding: chunked\r\nContent-Length: %d",
    b"X: 1\r\n\tTransfer-Encoding: chunked\r\nContent-Length: %d",
    b"Transfer-Encoding\r\n : chunked\r\nContent-Length: %d",
    b"TRANSFER-ENCODING: CHUNKED\r\nContent-Length: %d",
    b'Transfer-Encoding: "chunked"\r\nContent-Length: %d',
    *(b"Upgrade: h2c\r\nContent-Length: %d", b"Upgrade: h2c\r\nTransfer-Encoding: chunked"),
    b"Upgrade: websocket\r\nProxy-Connection: upgrade\r\nContent-Length: %d",
    *(b"Proxy-Connection: upgrade\r\nUpgrade: h2c", b"Proxy-Connection: close"),
    *(b"Expect: 100-continue\r\nContent-Length: %d", b"Expect: x\r\nContent-Length: %d"),
    *(b"Connection: Content-Length\r\nContent-Length: %d", b"X: " + b"x" * 60_000),
]
FIRST_LINES = [
    *(b"GET /authz/nginx HTTP/1.1", b"POST /authz/nginx HTTP/1.1", b"HEAD /authz/nginx HTTP/1.1"),
    *(b"GET /authz/nginx HTTP/1.0", b"GET http://gate/authz/nginx HTTP/1.1"),
    *(b"POST /v1/verify HTTP/1.1", b"GET /authz/nginx"),
]


class Callers:
    """Clients of a proxy. Each token says which request an answer is for.

    Attributes:
        got: how often clients got the decision about a token.
    """

    def __init__(self, samples: Samples, front: int) -> None:
        self._samples = samples
        self._front = front
        self._names = {grant.id.encode(): name for name, grant in samples.grants.items()}
        self.got: Counter[str] = Counter()

    def headers(self, name: str) -> bytes:
        text = self._samples.texts[name].encode()
        return (
            b"Host: gate\r\nX-Original-URI: /v1/charges/1\r\nX-Original-Method: GET\r\n"
            b"X-Access-Token: " + text + b"\r\n"
        )

    def send(self, raw: bytes) -> list[str]:
        """Send *raw* and no more; the tokens in all answers."""
        with socket.create_connection(("127.0.0.1", self._front), timeout=LIMIT_S) as client:
            received = b""
            with suppress(ConnectionError):
                client.sendall(raw)
                client.shutdown(socket.SHUT_WR)
                while piece := client.recv(65_536):
                    received += piece
        found = re.findall(rb"(?i)\r\nx-gatepass-token: ([^\r]*)", received)
        names = [self._names[each] for each in found]
        self.got.update(names)
        return names

    def smuggle(self, first: bytes, framing: bytes) -> None:
        """Send a request whose end is doubtful, with another one where its end may be."""
        hidden = b"GET /authz/nginx HTTP/1.1\r\n" + self.headers("wide") + b"\r\n"
        for body in (hidden, b"0\r\n\r\n" + hidden, b"5;a\n\r\nhello\r\n0\r\n\r\n" + hidden):
            lengths = (len(body),) * framing.count(b"%d")
            head = first + b"\r\n" + self.headers("good") + framing % lengths + b"\r\n\r\n"
            self.send(head + body)
            honest = b"GET /authz/nginx HTTP/1.1\r\n" + self.headers("many")
            for _ in range(2):
                raw = honest + b"Connection: close\r\n\r\n"
                assert self.send(raw) == ["many"], (first, framing, body)


def decided(samples: Samples) -> Counter[str]:
    """How often a worker that has ended allowed a call of each token."""
    names = {grant.id: name for name, grant in samples.grants.items()}
    found: Counter[str] = Counter()
    for spool in spools(GrantFile(samples.path).use_directory):
        for batch in by_kind(spool.lines(0))[0]:
            for token, counted in batch.tokens.items():
                found[names[token]] += counted[0]
    return found


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    samples = Samples(tmp_path / "gatepass.db")
    yield samples
    samples.close()


def worker_for(samples: Samples, role: str) -> Worker:
    settings = Settings(
        data_dir=samples.path.parent,
        database_url=f"sqlite:///{samples.path}",
        trusted_proxies=(parse_network("127.0.0.0/8"),),
    )
    return Worker(role, settings)


@pytest.fixture
def unfolded(samples: Samples) -> Iterator[None]:
    """Keep a main worker from moving its counts to the database."""
    lock = NodeLock(GrantFile(samples.path).lock_path)
    assert lock.acquire()
    yield
    lock.close()


@pytest.mark.usefixtures("unfolded")
@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("role", ["main", "verify"])
def test_only_what_clients_sent_is_decided(
    samples: Samples, tmp_path: Path, buffering: str, role: str
) -> None:
    front = free_port()
    with worker_for(samples, role) as worker:
        proxy = PROXY.format(worker=worker.port, front=front, buffering=buffering)
        with Nginx(tmp_path, proxy, f"127.0.0.1:{front}"):
            callers = Callers(samples, front)
            for first in FIRST_LINES:
                for framing in FRAMING:
                    callers.smuggle(first, framing)
    assert decided(samples) == callers.got
    assert callers.got["many"] == 6 * len(FIRST_LINES) * len(FRAMING)
