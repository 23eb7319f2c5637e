"""``/v1/feed`` and what belongs to it: an ASGI part before any framework.

A stream is open for minutes, and there may be thousands: each costs a coroutine here, and no
thread. Whoever reads slowly is waited for, and cut off in the end.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from functools import partial
from importlib.metadata import version

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.core.credentials import ID_LENGTH
from gatepass.core.decision import Reason
from gatepass.core.errors import GatepassError
from gatepass.core.networks import format_address
from gatepass.node.node import Node
from gatepass.registry.replication.liveness import Registration
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.verify.http.request_credentials import read_credential
from gatepass.verify.replica.frames import MEDIA_TYPE
from gatepass.verify.replica.identity import follower_id
from gatepass.web.bodies import (
    CLOSE,
    MOST_BODY_BYTES,
    Bodies,
    Body,
    BodyRefused,
    announced_length,
    discard_small,
)
from gatepass.web.feed.acknowledgement import read_acknowledgement
from gatepass.web.feed.close_socket import hang_up
from gatepass.web.feed.heartbeat import Presences
from gatepass.web.feed.source import Source
from gatepass.web.feed.stream import Stream
from gatepass.web.feed.subscribe_query import Question, read_question
from gatepass.web.feed.usage_report import fold_use
from gatepass.web.gateway.asgi import address_of, lines_of, pieces_of, read_body, send_reply
from gatepass.web.gateway.endpoints import Reply
from gatepass.web.gateway.rsgi import refusal
from gatepass.web.http_boundary import log_unhandled
from gatepass.web.problems import (
    Problem,
    problem_of_error,
    problem_of_reason,
    problem_of_status,
)

FEED = "/v1/feed"
ACKNOWLEDGEMENT = "/v1/feed/acknowledgement"
USE = "/v1/feed/use"

_METHODS = {FEED: "GET, HEAD", ACKNOWLEDGEMENT: "POST", USE: "POST"}
_HEADERS = [
    (b"content-type", MEDIA_TYPE.encode()),
    # Nothing on the way may keep it, or hold it back to compress it.
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
_VERSION = version("gatepass")
# Streams end by themselves when this process is told to stop; one that can't send may not.
_LAST_SECONDS = 1.0


class FeedPaths:
    """Answers the feed's three addresses; everything else goes on to *app*.

    Args:
        app: what answers the rest.
        node: what followers follow.
        bodies: of this process.
    """

    def __init__(self, app: ASGIApp, node: Node, bodies: Bodies) -> None:
        self._app = app
        self._node = node
        self._bodies = bodies
        self._trusted = TrustedProxies.of(node.settings.trusted_proxies)
        self._source = Source(node)
        self._presences = Presences(node, self._source)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        methods = _METHODS.get(scope["path"]) if scope["type"] == "http" else None
        if methods is None:
            await self._app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        if scope["method"] not in methods.split(", "):
            await send_reply(send, refusal(405, ("Allow", methods)), head=head)
            return
        try:
            reply = await self._answer(scope, receive, send)
        except GatepassError as error:
            reply = _problem(problem_of_error(error))
        except BodyRefused as refused:
            reply = refusal(refused.status, CLOSE, *refused.headers)
        except Exception as error:
            log_unhandled(error)
            reply = _problem(problem_of_status(500))
        if reply is not None:
            await send_reply(send, reply, head=head)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Reply | None:
        lines = lines_of(scope)
        key = read_credential(lines("authorization"), lines("x-access-token"))
        reason = self._node.verifier.verifier_key(key)
        if isinstance(key, Reason) or reason is not Reason.allowed:
            whole = await discard_small(lines, pieces_of(receive))
            return _problem(problem_of_reason(401, reason.value)).closing(not whole)
        if scope["path"] == FEED:
            question = read_question(scope["query_string"])
            if scope["method"] == "HEAD":
                return Reply(200, [(name.decode(), value.decode()) for name, value in _HEADERS])
            await self._stream(scope, receive, send, question, key)
            return None
        with Body(self._bodies, MOST_BODY_BYTES, self._bodies.services, key[:ID_LENGTH]) as body:
            body.expect(announced_length(lines("content-length")))
            content = await read_body(receive, body)
            if scope["path"] == USE:
                folded_to = await self._source.run(fold_use, self._node, content)
                return _json({"folded_to": folded_to})
        node_id, position = read_acknowledgement(content)
        await self._presences.acknowledge(follower_id(node_id, key[:ID_LENGTH]), position)
        return _json({})

    async def _stream(
        self, scope: Scope, receive: Receive, send: Send, question: Question, key: str
    ) -> None:
        verifier = self._node.verifier
        registration = Registration(
            id=follower_id(question.node, key[:ID_LENGTH]),
            kind="embedded",
            name=question.name,
            version=question.version,
            address=self._address(scope),
            key_id=key[:ID_LENGTH],
            limits=question.limits.named(),
            staleness_ms=self._node.settings.max_staleness * 1000,
        )

        def still_good() -> bool:
            return verifier.verifier_key(key) is Reason.allowed

        with self._source.watched():
            async with self._presences.meet(registration) as present:
                is_given = partial(self._presences.is_given, present)
                stream = Stream(
                    self._node, self._source, question, present, is_given, still_good, _VERSION
                )
                try:
                    await stream.begin()
                    await self._while_there(scope, receive, self._send(stream, send))
                finally:
                    stream.close()

    async def _while_there(
        self, scope: Scope, receive: Receive, work: Coroutine[None, None, None]
    ) -> None:
        """Do *work* until it is done, or the client is gone, or has to be left."""

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async def left() -> None:
            await self._source.leaving.wait()
            await asyncio.sleep(_LAST_SECONDS)

        working, leaving = asyncio.create_task(work), asyncio.create_task(left())
        absent = asyncio.create_task(gone())
        tasks = (working, leaving, absent)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended, hung_up = working.done(), absent.done()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        error = None if working.cancelled() else working.exception()
        # It has begun: there is no other answer any more.
        if error is not None and not isinstance(error, TimeoutError | GatepassError):
            log_unhandled(error)
        client = scope.get("client")
        if not hung_up and (error is not None or not ended) and client:
            hang_up((client[0], int(client[1])))

    async def _send(self, stream: Stream, send: Send) -> None:
        # What takes longer than this is worth nothing to a follower any more.
        patience = 2 * self._node.settings.max_staleness

        async def pass_on(data: bytes, *, more: bool) -> None:
            message = {"type": "http.response.body", "body": data, "more_body": more}
            async with asyncio.timeout(patience):
                await send(message)

        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with aclosing(stream.frames()) as frames:
            async for frame in frames:
                await pass_on(frame, more=True)
        await pass_on(b"", more=False)

    def _address(self, scope: Scope) -> str | None:
        address, _ = address_of(scope, self._trusted)
        return None if address is None else format_address(address)


def _problem(problem: Problem) -> Reply:
    return Reply(problem.status, problem.headers(), problem.body())


def _json(value: object) -> Reply:
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    return Reply(200, headers, msgspec.json.encode(value))
