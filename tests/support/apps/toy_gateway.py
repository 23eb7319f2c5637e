"""A gateway in this process, with mistakes to choose from.

It asks the plain class behind ``/authz/nginx`` and forwards allowed calls byte for byte.
"""

import posixpath
import re
import socket
import socketserver
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import unquote

from gatepass.verify.http.header_lines import Lines
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.reply import Reply

#: Each mistake, and the checks that find it.
MISTAKES: dict[str, tuple[str, ...]] = {
    # What Gatepass sees.
    "sends no address": ("address",),
    "believes the caller's X-Forwarded-For": ("forwarded_addresses",),
    "believes X-Real-IP": ("forwarded_addresses",),
    "removes what Connection lists from its question": ("forwarded_addresses",),
    "believes the caller's X-Original-URI": ("sources",),
    "believes the caller's X-Original-Method": ("sources",),
    "adds its X-Original-URI to the caller's": ("sources",),
    "loses Origin": ("origin",),
    "loses Referer": ("origin",),
    "loses X-Access-Token": ("credentials",),
    "loses Authorization": ("asked",),
    "sends its own method": ("methods",),
    "sends no method": ("methods", "paths"),
    "rewrites the path before it asks": ("methods", "paths"),
    "loses the query's beginning": ("paths",),
    # Who gets in.
    "asks about GET alone": ("asked",),
    "asks about no OPTIONS": ("asked",),
    "lets callers without a token in": ("asked", "refusals"),
    "leaves a path open": ("asked",),
    "leaves a path open whose API has no such record": ("asked",),
    "lets refused calls in": ("asked",),
    "serves /authz/": ("endpoints",),
    "serves /metrics": ("endpoints",),
    "fails open": ("outage",),
    # What the caller sees.
    "loses the reason": ("refusals",),
    "loses the help": ("refusals",),
    "refuses all with 403": ("refusals",),
    "redirects": ("asked",),
    "lets refusals be kept": ("caching",),
    "keeps decisions by path": ("caching",),
    "keeps decisions by path and token": ("caching",),
    "has a wrong clock": ("clock",),
}
#: Those that only an API behind the gateway notices.
MISTAKES_BEHIND: dict[str, tuple[str, ...]] = {
    "keeps forged headers": ("identity",),
    "removes what Connection lists": ("identity",),
    "keeps forged headers with underscores": ("identity",),
    "keeps forged headers with dots": ("identity",),
    "keeps forged headers with tildes": ("identity",),
    "keeps forged headers in upper case": ("identity",),
    "passes Authorization on": ("secrets",),
    "passes X-Access-Token on": ("secrets",),
    "passes overrides on": ("overrides",),
    "passes a misspelt X-Forwarded-For on": ("overrides",),
    "asks about the normalized path": ("same_call",),
    "asks about the decoded path": ("same_call",),
    "rewrites the path after it asked": ("same_call",),
    "changes the method after it asked": ("same_call",),
    "lets preflights in": ("undecided",),
}

_REMOVED = ("authorization", "x-access-token")
_OVERRIDES = (
    *("x-http-method-override", "x-http-method", "x-method-override", "x-original-url"),
    *("x-rewrite-url", "x-forwarded-prefix", "x-script-name", "script-name"),
)
_Headers = list[tuple[str, str]]


@dataclass
class ToyGateway:
    """A gateway.

    Attributes:
        api_port: where allowed calls go; 0 is an API of its own, which answers 200.
        mistakes: that it makes.
        away: whether Gatepass is.
    """

    endpoints: Endpoints
    api_port: int = 0
    mistakes: Collection[str] = ()
    away: bool = False
    port: int = 0
    _kept: dict[tuple[str, ...], Reply] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, peer: str, method: str, target: str, headers: _Headers) -> bytes:
        """The answer to a request."""
        wrong = self.mistakes
        path = target.partition("?")[0]
        if "serves /v1/charges alone" in wrong and not path.startswith("/v1/charges"):
            return self._response(404, [], f"no {path}".encode())
        if "redirects" in wrong:
            return self._response(301, [("Location", "https://elsewhere.example/")])
        if "serves /metrics" in wrong and path == "/metrics":
            return self._response(200, [], b"# TYPE a counter\ngatepass_decisions_total 1\n")
        if "serves /authz/" in wrong and path == "/authz/nginx":
            return self._refusal(self.endpoints.gateway("127.0.0.1", _lines(headers)))
        if "answers OPTIONS itself" in wrong and method == "OPTIONS":
            return self._response(204)
        if _is_preflight(method, headers) and "lets preflights in" not in wrong:
            return self._response(204, [("Access-Control-Allow-Origin", "*")])
        if self._asks(method, target, headers):
            if self.away and "fails open" not in wrong:
                return self._response(503)
            if not self.away:
                reply = self._decision(peer, method, target, headers)
                if reply.status >= 300 and "lets refused calls in" not in wrong:
                    return self._refusal(reply)
                own = [(n, v) for n, v in _header_list(reply) if n.startswith("x-gatepass-")]
                if "removes what Connection lists" in wrong:
                    own = [(n, v) for n, v in own if n not in _listed(headers)]
                return self._forward(method, target, self._cleaned(headers) + own)
        return self._forward(method, target, self._cleaned(headers))

    def _asks(self, method: str, target: str, headers: _Headers) -> bool:
        wrong = self.mistakes
        return not (
            ("asks about GET alone" in wrong and method not in ("GET", "HEAD", "OPTIONS"))
            or ("asks about no OPTIONS" in wrong and method == "OPTIONS")
            or (
                any(each.startswith("leaves a path open") for each in wrong)
                and target.startswith("/v1/refunds")
            )
            or (_is_preflight(method, headers))
            or (
                "lets callers without a token in" in wrong
                and not {"authorization", "x-access-token"} & {n.lower() for n, _ in headers}
            )
        )

    def _decision(self, peer: str, method: str, target: str, headers: _Headers) -> Reply:
        wrong = self.mistakes
        key: tuple[str, ...] = (target,)
        if "keeps decisions by path" not in wrong:
            key = (target, *_lines(headers)("authorization"))  # type: ignore[arg-type] # ASCII
        reply = self._kept.get(key)
        if reply is None:
            question = self._question(peer, method, target, headers)
            reply = self.endpoints.gateway("127.0.0.1", _lines(question))
            if any(each.startswith("keeps decisions") for each in wrong) or (
                "keeps what was allowed" in wrong and reply.status < 300
            ):
                self._kept[key] = reply
        return reply

    def _question(self, peer: str, method: str, target: str, headers: _Headers) -> _Headers:
        wrong = self.mistakes
        sent = {
            name: [value for each, value in headers if each.lower() == name]
            for name in (
                *("authorization", "x-access-token", "origin", "referer", "x-forwarded-for"),
                *("x-original-uri", "x-original-method", "x-real-ip"),
            )
        }
        lost = {
            "loses Authorization": "authorization",
            "loses X-Access-Token": "x-access-token",
            "loses Origin": "origin",
            "loses Referer": "referer",
        }
        for mistake, name in lost.items():
            if mistake in wrong:
                sent[name] = []
        if "asks about the normalized path" in wrong:
            target = posixpath.normpath(target)
        if "asks about the decoded path" in wrong:
            target = unquote(target.partition("?")[0])
        if "rewrites the path before it asks" in wrong:
            target = target.removeprefix("/v1")
        if "loses the query's beginning" in wrong:
            target = target.replace("?", "&")
        own = {"x-forwarded-for": peer, "x-original-uri": target, "x-original-method": method}
        believed = {
            "believes the caller's X-Forwarded-For": "x-forwarded-for",
            "believes the caller's X-Original-URI": "x-original-uri",
            "believes the caller's X-Original-Method": "x-original-method",
        }
        for mistake, name in believed.items():
            if mistake in wrong and sent[name]:
                own[name] = ", ".join(sent[name])
        if "believes X-Real-IP" in wrong and sent["x-real-ip"]:
            own["x-forwarded-for"] = sent["x-real-ip"][0]
        if "sends its own method" in wrong:
            own["x-original-method"] = "GET"
        if "sends no method" in wrong:
            del own["x-original-method"]
        if "sends no address" in wrong:
            del own["x-forwarded-for"]
        if "removes what Connection lists from its question" in wrong:
            own = {name: value for name, value in own.items() if name not in _listed(headers)}
        question = [
            (name, value)
            for name in ("authorization", "x-access-token", "origin", "referer")
            for value in sent[name]
        ]
        if "adds its X-Original-URI to the caller's" in wrong:
            question += [("x-original-uri", value) for value in sent["x-original-uri"]]
        return question + list(own.items())

    def _cleaned(self, headers: _Headers) -> _Headers:
        """The headers that reach the API."""
        return [(name, value) for name, value in headers if not self._removes(name)]

    def _removes(self, name: str) -> bool:
        wrong, lower = self.mistakes, name.lower()
        plain = re.sub("[_.~]", "-", lower)
        if plain.startswith("x-gatepass-"):
            kept = "keeps forged headers" in wrong or (
                ("keeps forged headers with underscores" in wrong and "_" in name)
                or ("keeps forged headers with dots" in wrong and "." in name)
                or ("keeps forged headers with tildes" in wrong and "~" in name)
                or ("keeps forged headers in upper case" in wrong and name.isupper())
            )
            return not kept
        if plain in _OVERRIDES:
            return "passes overrides on" not in wrong
        if plain == "x-forwarded-for":
            return "passes a misspelt X-Forwarded-For on" not in wrong or "_" not in name
        if lower in _REMOVED:
            return f"passes {name} on" not in wrong
        return lower == "connection"

    def _forward(self, method: str, target: str, headers: _Headers) -> bytes:
        if "leaves a path open whose API has no such record" in self.mistakes:
            return self._response(404, [], b"no such record")
        if not self.api_port:
            return self._response(200, [], b"from the API")
        if "rewrites the path after it asked" in self.mistakes:
            target = target.removeprefix("/v1")
        if "changes the method after it asked" in self.mistakes:
            method = "POST"
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        with socket.create_connection(("127.0.0.1", self.api_port), 10) as api:
            api.sendall("\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1"))
            return b"".join(iter(lambda: api.recv(65_536), b""))

    def _refusal(self, reply: Reply) -> bytes:
        wrong = self.mistakes
        headers = _header_list(reply)
        lost = {
            "loses the reason": "x-gatepass-reason",
            "loses the help": "x-gatepass-help",
            "lets refusals be kept": "cache-control",
        }
        gone = {name for mistake, name in lost.items() if mistake in wrong}
        headers = [(name, value) for name, value in headers if name not in gone]
        if "lets refusals be kept" in wrong:
            headers.append(("Cache-Control", "public, max-age=60"))
        status = 403 if "refuses all with 403" in wrong else reply.status
        return self._response(status, headers, reply.body)

    def _response(self, status: int, headers: _Headers | None = None, body: bytes = b"") -> bytes:
        away = 3_600 if "has a wrong clock" in self.mistakes else 0
        headers = [*(headers or ()), ("Date", formatdate(time.time() - away, usegmt=True))]
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        lines = [f"HTTP/1.1 {status} Answer", *(f"{name}: {value}" for name, value in headers)]
        lines += ["Connection: close", f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode("latin-1") + body


@contextmanager
def serving(gateway: ToyGateway) -> Iterator[ToyGateway]:
    """Run *gateway* on a port of its own."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = []
            while (line := self.rfile.readline().decode("latin-1").rstrip("\r\n")) != "":
                lines.append(line)
            if lines:
                method, _, rest = lines[0].partition(" ")
                fields = [each.partition(":") for each in lines[1:]]
                headers = [(name, value.strip()) for name, _, value in fields]
                target = rest.rpartition(" ")[0]
                answer = gateway.answer(self.client_address[0], method, target, headers)
                if method == "HEAD":
                    answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
                self.wfile.write(answer)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False
        request_queue_size = 50

    with Server(("127.0.0.1", 0), Handler) as server:
        gateway.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield gateway
        server.shutdown()


def _lines(headers: _Headers) -> Lines:
    return lambda name: [value for each, value in headers if each.lower() == name]


def _header_list(reply: Reply) -> _Headers:
    return [(name.decode().lower(), value.decode()) for name, value in reply.headers]


def _listed(headers: _Headers) -> set[str]:
    """The names that Connection lists."""
    lines = _lines(headers)("connection")
    return {name.strip().lower() for line in lines if line for name in line.split(",")}


def _is_preflight(method: str, headers: _Headers) -> bool:
    names = {name.lower() for name, _ in headers}
    return method == "OPTIONS" and {"origin", "access-control-request-method"} <= names
