"""``envoy.service.auth.v3.Authorization/Check``: Envoy's questions over gRPC, on ``GRPC_PORT``.

The same decision as ``/authz/envoy``, in Envoy's own messages. Envoy names the call in
``attributes.request.http``; nothing else in the question, such as the peer's address there, is
read. Needs the extra ``gatepass[grpc]``, so only a verify worker with that port imports this.
"""

import asyncio
import re
from collections.abc import Iterable
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Final
from urllib.parse import unquote

from gatepass.core.errors import Misconfigured
from gatepass.verify.http.header_lines import Lines
from gatepass.verify.http.request_credentials import SUBPROTOCOL
from gatepass.web import access_log
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.reply import Reply, refusal
from gatepass.web.gateway.sources import OwnCall, Source
from gatepass.web.http.connection import UNIX_PEER
from gatepass.web.unhandled import log_unhandled

_SERVICE: Final = "envoy.service.auth.v3.Authorization"
#: What a question names the call in.
SOURCE: Final = Source(
    f"{_SERVICE}/Check",
    "attributes.request.http.path",
    "attributes.request.http.method",
    own=True,
    allowed=200,
)
#: Of a question. Envoy limits a request's headers to 60 KiB by default.
_MOST_BYTES = 1 << 20
#: Questions in progress end before the server does.
_STOP_SECONDS = 5.0
# google.rpc.Code
_OK, _PERMISSION_DENIED, _UNAUTHENTICATED = 0, 7, 16
_IDENTITY = "x-gatepass-"
_separator = re.compile("[^a-z0-9]")
_HOST = "x-forwarded-host"
_PROTOCOLS = "sec-websocket-protocol"
#: The API has no use for the secret, and no client may send it a refusal's headers.
_REMOVED = ("authorization", "x-access-token", "x-gatepass-reason", "x-gatepass-help")


def require_extra(variable: str) -> None:
    """Raise Misconfigured unless the packages of the extra are installed."""
    if find_spec("grpc") is None or find_spec("envoy") is None:
        raise Misconfigured(
            f"{variable}: needs the extra grpc: in a checkout, pip install '.[server,grpc]'"
        )


class EnvoyGrpc:
    """A gRPC server that answers Envoy.

    Args:
        endpoints: make the decisions.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        # Not at the top: the supervisor asks this module whether the packages are there.
        import grpc
        from envoy.config.core.v3 import base_pb2
        from envoy.service.auth.v3 import external_auth_pb2
        from google.protobuf.message import DecodeError

        self._grpc: Any = grpc
        self._auth: Any = external_auth_pb2
        self._unreadable: type[Exception] = DecodeError
        self._option: Any = base_pb2.HeaderValueOption
        self._endpoints = endpoints
        self._server: Any = None
        self._stopping: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> None:
        """Listen on a port that the workers share.

        Raises:
            Misconfigured: it can't.
        """
        options = (
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", _MOST_BYTES),
        )
        self._server = self._grpc.aio.server(options=options)
        check = self._grpc.unary_unary_rpc_method_handler(
            self.Check, self._question, self._auth.CheckResponse.SerializeToString
        )
        handlers = self._grpc.method_handlers_generic_handler(_SERVICE, {"Check": check})
        self._server.add_generic_rpc_handlers((handlers,))
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self._server.add_insecure_port(at)
        except RuntimeError:
            raise Misconfigured(f"can't listen on {at} for gRPC") from None
        await self._server.start()

    def stop(self) -> None:
        """Accept no more questions, and end once those in progress are answered."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._server.stop(_STOP_SECONDS))

    async def stopped(self) -> None:
        """Wait for the end."""
        await self._server.wait_for_termination()

    async def Check(self, request: Any, context: Any) -> Any:
        """Answer one question; never with an error, upon which Envoy might let the call pass."""
        began = perf_counter()
        try:
            http = request.attributes.request.http
            headers = _headers(http)
            peer, lines = _peer(context.peer()), _lines(headers)
            own = OwnCall(http.method, http.path)
            reply = self._endpoints.gateway(peer, lines, SOURCE, own)
            if self._endpoints.logged:
                self._log(own, peer, lines, reply, began)
            return self._allowed(reply, headers) if reply.status == 200 else self._denied(reply)
        except Exception as error:
            log_unhandled(error)
            return self._denied(refusal(500))

    def _question(self, content: bytes) -> Any:
        """Read a question; what can't be read names no call, and so is refused."""
        try:
            return self._auth.CheckRequest.FromString(content)
        except self._unreadable:
            return self._auth.CheckRequest()

    def _allowed(self, reply: Reply, headers: dict[str, list[str | None]]) -> Any:
        identity = {
            name: value for name, value in _texts(reply).items() if name.startswith(_IDENTITY)
        }
        upstream = dict(identity)
        protocols = _without_token(headers.get(_PROTOCOLS, ()))
        if protocols is not None:
            upstream[_PROTOCOLS] = protocols
        # A CGI or WSGI server takes an underscore for a hyphen, and some any other character.
        aliases = {
            name
            for name in headers
            if name not in identity and _separator.sub("-", name).startswith(_IDENTITY)
        }
        response = self._auth.CheckResponse()
        response.status.code = _OK
        response.ok_response.headers.extend(self._options(upstream))
        response.ok_response.headers_to_remove.extend(sorted({*_REMOVED, *aliases}))
        return response

    def _denied(self, reply: Reply) -> Any:
        response = self._auth.CheckResponse()
        response.status.code = _UNAUTHENTICATED if reply.status == 401 else _PERMISSION_DENIED
        response.denied_response.status.code = reply.status
        response.denied_response.headers.extend(self._options(_texts(reply)))
        response.denied_response.body = reply.body.decode()
        return response

    def _options(self, headers: dict[str, str]) -> Iterable[Any]:
        """Headers that replace those of the same name."""
        for name, value in headers.items():
            option = self._option()
            option.header.key, option.header.value = name, value
            # Envoys before 1.30 read the first.
            option.append.value = False
            option.append_action = self._option.OVERWRITE_IF_EXISTS_OR_ADD
            yield option

    def _log(self, own: OwnCall, peer: str, lines: Lines, reply: Reply, began: float) -> None:
        token, reason = reply.told()
        access_log.note(
            access_log.Request(
                method=own.method,
                path=unquote(own.target.partition("?")[0]),
                status=reply.status,
                duration_ms=(perf_counter() - began) * 1000,
                address=self._endpoints.client_of(peer, lines),
                request_id=access_log.request_id(lines),
                trace=access_log.trace(lines),
                token=token,
                reason=reason,
            )
        )


def _headers(http: Any) -> dict[str, list[str | None]]:
    """The call's header lines by lower-case name; None for one that can't be read.

    Envoy sends either a map, in which it has joined repeated lines by commas, or with
    ``encode_raw_headers`` all lines as they came.
    """
    found: dict[str, list[str | None]] = {}
    for name, value in http.headers.items():
        name = name.lower()
        found.setdefault(name, []).append(None if _is_joined(name, value) else _text(value))
    for line in http.header_map.headers:
        try:
            text = _text(line.raw_value.decode("ascii") if line.raw_value else line.value)
        except UnicodeDecodeError:
            text = None
        if line.raw_value and line.value:
            # Which of the two is the API's can't be known.
            text = None
        found.setdefault(line.key.lower(), []).append(text)
    # The host of a page's call to its own; a header of that name may be the client's.
    found[_HOST] = [_text(http.host)] if http.host else []
    return found


def _is_joined(name: str, value: str) -> bool:
    """Whether *value* is two URLs, of which the API might read the other one."""
    return name == "referer" and "://" in value.partition(",")[2]


def _text(value: str) -> str | None:
    return value.strip(" \t") if value.isascii() else None


def _lines(headers: dict[str, list[str | None]]) -> Lines:
    return lambda name: headers.get(name, ())


def _peer(peer: str) -> str:
    """The address in gRPC's name of a peer, such as ``ipv6:%5B::1%5D:50051``; "" if it has none."""
    kind, _, rest = peer.partition(":")
    if kind == "unix":
        return UNIX_PEER
    if kind not in ("ipv4", "ipv6"):
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]")


def _without_token(protocols: Iterable[str | None]) -> str | None:
    """A handshake's sub-protocols without the token; None if they carry none."""
    names = [name.strip(" \t") for line in protocols for name in (line or "").split(",")]
    if names[:1] != [SUBPROTOCOL] or len(names) < 2:
        return None
    return ", ".join([names[0], *names[2:]])


def _texts(reply: Reply) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in reply.headers}
