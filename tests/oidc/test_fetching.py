"""Requests to the provider: bounded in time, size and number."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from gatepass.oidc import fetching
from gatepass.oidc.errors import ProviderUnavailable
from gatepass.oidc.fetching import MOST_AT_ONCE, Fetching

URL = "https://login.example.com/keys"


class Endless(httpx.AsyncByteStream):
    """A body that never ends, in small pieces."""

    def __init__(self, piece: bytes, pause_s: float) -> None:
        self.piece, self.pause_s = piece, pause_s
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += len(self.piece)
            yield self.piece
            await asyncio.sleep(self.pause_s)


def answering(body: httpx.AsyncByteStream) -> Fetching:
    return Fetching(httpx.MockTransport(lambda request: httpx.Response(200, stream=body)))


def test_an_answer_that_trickles_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LONGEST_S", 0.05)
    with pytest.raises(ProviderUnavailable) as failed:
        asyncio.run(answering(Endless(b" ", 0.01)).get(URL))
    assert failed.value.why == "TimeoutError"


def test_an_answer_that_does_not_end_is_cut_off() -> None:
    body = Endless(b" " * 65_536, 0)
    with pytest.raises(ProviderUnavailable) as failed:
        asyncio.run(answering(body).get(URL))
    assert failed.value.why == "an answer is too large"
    assert body.sent <= fetching.MOST_BYTES + 65_536


def test_only_some_requests_wait_at_once() -> None:
    go_on = asyncio.Event()

    async def respond(request: httpx.Request) -> httpx.Response:
        await go_on.wait()
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    async def run() -> None:
        one = Fetching(httpx.MockTransport(respond))
        waiting = [asyncio.create_task(one.get(URL)) for _ in range(MOST_AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(ProviderUnavailable) as failed:
            await one.get(URL)
        assert failed.value.why == "too many requests wait for it"
        go_on.set()
        assert await asyncio.gather(*waiting) == [{}] * MOST_AT_ONCE
        assert await one.get(URL) == {}

    asyncio.run(run())
