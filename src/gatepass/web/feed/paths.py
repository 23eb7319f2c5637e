"""The feed's endpoints, ``/v1/feed`` and below: ASGI middleware in front of the framework.

A stream is open for minutes, and there may be thousands: each takes a coroutine and no thread. A
follower that reads slowly is disconnected after a timeout.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import replace
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
from gatepass.verify.http.header_lines import asgi_lines
from gatepass.verify.http.request_credentials import read_credential
from gatepass.verify.replica.frames import MEDIA_TYPE
from gatepass.verify.replica.identity import follower_id
from gatepass.web.body_limits import (
    CLOSE,
    MOST_BODY_BYTES,
    Bodies,
    Body,
    BodyRefused,
    content_length,
    drain,
    read,
)
from gatepass.web.feed.acknowledgement import read_acknowledgement
from gatepass.web.feed.heartbeat import Heartbeats
from gatepass.web.feed.source import Source
from gatepass.web.feed.stream import Stream
from gatepass.web.feed.subscribe_query import Subscription, read_subscription
from gatepass.web.feed.usage_report import fold_report
from gatepass.web.gateway.asgi import address_of, pieces_of, send_reply
from gatepass.web.gateway.reply import JSON, Reply, refusal
from gatepass.web.problems import problem_of_error, problem_of_reason
from gatepass.web.unhandled import log_unhandled

FEED = "/v1/feed"
ACKNOWLEDGEMENT = "/v1/feed/acknowledgement"
USE = "/v1/feed/use"

_METHODS = {FEED: "GET, HEAD", ACKNOWLEDGEMENT: "POST", USE: "POST"}
_HEADERS = [
    (b"content-type", MEDIA_TYPE.encode()),
    # No proxy may store the stream, or buffer it for compression.
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
_VERSION = version("gatepass")
# When this process stops, streams end by themselves; one that can't send gets this long.
_LAST_SECONDS = 1.0


class FeedPaths:
    """Answers the feed's three paths, and passes other requests on to *app*.

    Args:
        app: the application behind.
        node: serves the feed.
        bodies: the process's budgets.
    """

    def __init__(self, app: ASGIApp, node: Node, bodies: Bodies) -> None:
        self._app = app
        self._node = node
        self._bodies = bodies
        self._trusted = TrustedProxies.of(node.settings.trusted_proxies)
        self._source = Source(node)
        self._heartbeats = Heartbeats(node, self._source)

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
            reply = Reply.of(problem_of_error(error))
        except BodyRefused as refused:
            reply = refusal(refused.status, CLOSE, *refused.headers)
        except Exception as error:
            log_unhandled(error)
            reply = refusal(500)
        if reply is not None:
            await send_reply(send, reply, head=head)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Reply | None:
        lines = asgi_lines(scope)
        key = read_credential(lines("authorization"), lines("x-access-token"))
        reason, companies = self._node.verifier.verifier_key(key)
        if isinstance(key, Reason) or reason is not Reason.allowed:
            whole = await drain(lines, pieces_of(receive))
            return Reply.of(problem_of_reason(401, reason.value)).closing(not whole)
        if scope["path"] == FEED:
            subscription = read_subscription(scope["query_string"])
            limits = subscription.limits.within(companies)
            subscription = replace(subscription, limits=limits)
            if scope["method"] == "HEAD":
                return Reply(200, b"".join(b"%s: %s\r\n" % header for header in _HEADERS))
            await self._stream(scope, receive, send, subscription, key)
            return None
        with Body(self._bodies, MOST_BODY_BYTES, self._bodies.services, key[:ID_LENGTH]) as body:
            body.expect(content_length(lines("content-length")))
            content = await read(pieces_of(receive), body)
            if scope["path"] == USE:
                folded_to = await self._source.run(fold_report, self._node, content, companies)
                return _json({"folded_to": folded_to})
        sent = read_acknowledgement(content, scope["query_string"])
        id = follower_id(sent.node, key[:ID_LENGTH])
        await self._heartbeats.acknowledge(id, sent.position, sent.use_age_ms)
        return _json({})

    async def _stream(
        self, scope: Scope, receive: Receive, send: Send, subscription: Subscription, key: str
    ) -> None:
        verifier = self._node.verifier
        registration = Registration(
            id=follower_id(subscription.node, key[:ID_LENGTH]),
            kind="embedded",
            name=subscription.name,
            version=subscription.version,
            address=self._address(scope),
            key_id=key[:ID_LENGTH],
            limits=subscription.limits.named(),
            staleness_ms=self._node.settings.max_staleness * 1000,
        )

        def key_is_valid() -> bool:
            return verifier.verifier_key(key)[0] is Reason.allowed

        with self._source.watching():
            async with self._heartbeats.register(registration) as follower:
                record_lease = partial(self._heartbeats.record_lease, follower)
                stream = Stream(
                    self._node,
                    self._source,
                    subscription,
                    follower,
                    record_lease,
                    key_is_valid,
                    _VERSION,
                )
                try:
                    await stream.begin()
                    await self._until_disconnected(receive, self._send(stream, send))
                finally:
                    stream.close()

    async def _until_disconnected(
        self, receive: Receive, work: Coroutine[None, None, None]
    ) -> None:
        """Run *work* until it is done, the client disconnects, or this process stops."""

        async def disconnect() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async def stop() -> None:
            await self._source.leaving.wait()
            await asyncio.sleep(_LAST_SECONDS)

        working, stopping = asyncio.create_task(work), asyncio.create_task(stop())
        disconnecting = asyncio.create_task(disconnect())
        tasks = (working, stopping, disconnecting)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        error = None if working.cancelled() else working.exception()
        # The answer has started, so an error can't be sent any more.
        if error is not None and not isinstance(error, TimeoutError | GatepassError):
            log_unhandled(error)
        # An answer that isn't finished ends the connection (``http.asgi``).

    async def _send(self, stream: Stream, send: Send) -> None:
        # A frame that arrives later than this is useless to a follower.
        timeout_s = 2 * self._node.settings.max_staleness

        async def pass_on(data: bytes, *, more: bool) -> None:
            message = {"type": "http.response.body", "body": data, "more_body": more}
            async with asyncio.timeout(timeout_s):
                await send(message)

        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with aclosing(stream.frames()) as frames:
            async for frame in frames:
                await pass_on(frame, more=True)
        await pass_on(b"", more=False)

    def _address(self, scope: Scope) -> str | None:
        address, _ = address_of(scope, self._trusted)
        return None if address is None else format_address(address)


def _json(value: object) -> Reply:
    return Reply(200, JSON, msgspec.json.encode(value))
