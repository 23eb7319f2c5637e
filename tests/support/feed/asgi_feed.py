"""A feed's client that reads frame by frame from an application in this process."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlencode

import httpx
from sqlalchemy import text
from starlette.types import ASGIApp

from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.revisions import Position
from gatepass.verify.replica import frames
from gatepass.verify.replica.frames import Frame, Frames, Opening, Reached, Records
from tests.support.waiting import LIMIT_S, until

FOLLOWER = "node_0123456789ABCDEF"


class Loop:
    """An event loop in a thread, so that tests read streams step by step; a context manager."""

    def __enter__(self) -> "Loop":
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(LIMIT_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LIMIT_S)
        self.loop.close()

    def post(self, app: ASGIApp, key: str, path: str, **sent: Any) -> httpx.Response:
        """Send a POST on this loop, since a worker process has only one."""

        async def post() -> httpx.Response:
            transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 50_000))
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:8787", headers=headers
            ) as client:
                return await client.post(path, **sent)

        return asyncio.run_coroutine_threadsafe(post(), self.loop).result(LIMIT_S)

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Feed:
    """One request for a feed, and its answer.

    Args:
        pause_after: ``pause`` once the server has sent this many frames. A test that pauses after
            reading them may be too late: the server doesn't wait for the test to read.

    Attributes:
        status: of the answer.
        headers: of the answer.
        body: of an answer that isn't a feed.
        copy: a follower's records, by table and id, as of the last ``Reached``.
        position: the copy's replication position.
        openings: the ``Opening`` frames received.
    """

    def __init__(
        self,
        loop: Loop,
        app: ASGIApp,
        key: str,
        *,
        position: Position | None = None,
        companies: tuple[str, ...] = (),
        permissions: tuple[str, ...] = (),
        former: dict[tuple[str, str], bytes] | None = None,
        pause_after: int | None = None,
        **more: Any,
    ) -> None:
        asked = {"node": FOLLOWER, "name": "payments-1", "version": "0.1.0", **more}
        if position is not None:
            asked |= {"revision": position[0], "tag": position[1]}
        query = [*asked.items(), *(("company", each) for each in companies)]
        query += [("permission", each) for each in permissions]
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/v1/feed",
            "query_string": urlencode(query).encode(),
            "headers": [(b"authorization", b"Bearer " + key.encode())],
            "client": ("127.0.0.1", 50_000),
        }
        self._app = app
        self._messages: queue.Queue[Any] = queue.Queue()
        self._read = Frames()
        self._whole: list[Frame] = []
        self._pending: list[frames.Record] = []
        self._loop = loop.loop
        self._reading = threading.Event()
        self._reading.set()
        self._pause_after = pause_after
        self.status, self.headers, self.body = 0, {}, b""
        self.copy = dict(former or {})
        self.position: Position | None = position
        self.openings: list[Opening] = []
        self._running: Future[None] = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        self._begin()

    def next(self, seconds: float = LIMIT_S) -> Frame | None:
        """Read the next frame and apply it to the copy; None at the end."""
        while not self._whole:
            try:
                message = self._messages.get(timeout=seconds)
            except queue.Empty:
                raise TimeoutError("no frame arrived") from None
            if message is None or not message.get("more_body", False):
                return None
            self._whole += self._read.feed(message["body"])
        frame = self._whole.pop(0)
        self._take(frame)
        return frame

    def reached(self, position: Position | None = None) -> Reached:
        """Read to the next ``Reached``, or to the one of *position*."""
        while (frame := self.next()) is not None:
            if isinstance(frame, Reached) and position in (None, (frame.revision, frame.tag)):
                return frame
        raise AssertionError("the stream has ended")

    def ended(self) -> None:
        """Read until the server ends the stream."""
        until(lambda: self.next() is None, lambda: "the stream goes on")

    def pause(self) -> None:
        """Stop reading: the server has to wait."""
        self._reading.clear()

    def resume(self) -> None:
        """Resume reading."""
        self._reading.set()

    def done(self, seconds: float) -> None:
        """Wait until the application has finished the request."""
        self._running.result(seconds)

    def leave(self) -> None:
        """Disconnect, and wait until the application has finished."""
        self._loop.call_soon_threadsafe(self._gone.set)
        self._running.result(LIMIT_S)

    def _begin(self) -> None:
        start = self._messages.get(timeout=LIMIT_S)
        if start is None:
            self._running.result(LIMIT_S)
            raise AssertionError("no answer")
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        if self.headers["content-type"] != frames.MEDIA_TYPE:
            while (message := self._messages.get(timeout=LIMIT_S)) is not None:
                self.body += message["body"]

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Opening):
            self.openings.append(frame)
            if frame.full:
                self.copy, self.position = {}, None
        elif isinstance(frame, Records):
            self._pending += frames.unpack(frame)
        else:
            for table, key, record, _ in self._pending:
                if record is None:
                    self.copy.pop((table, key), None)
                else:
                    self.copy[table, key] = record
            self._pending = []
            self.position = (frame.revision, frame.tag)

    async def _run(self) -> None:
        # Created here, so that it belongs to this loop.
        self._gone = asyncio.Event()
        asked, sent = False, 0

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal sent
            while not self._reading.is_set():
                await asyncio.sleep(0.005)
            self._messages.put(message)
            if message["type"] == "http.response.body":
                sent += 1
                if sent == self._pause_after:
                    self.pause()

        try:
            await self._app(self._scope, receive, send)
        finally:
            self._messages.put(None)


OpenFeed = Callable[..., Feed]


def here(database: Database) -> Position:
    """The registry's latest position."""
    with database.read(time.time_ns() // 1_000_000) as reading:
        return revisions.latest(reading)


def registry(database: Database) -> dict[tuple[str, str], bytes]:
    """The records that an unlimited follower should have."""
    with database.read(time.time_ns() // 1_000_000) as reading:
        rows = [row for query in revisions.SNAPSHOT for row in reading.session.execute(text(query))]
    return {(table, key): bytes(record) for table, key, record, _ in rows if key[:4] != "gpvk"}
