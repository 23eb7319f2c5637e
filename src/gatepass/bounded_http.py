"""HTTP exchanges with servers that aren't trusted: bounded in time and size, without redirects."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx


class AnswerTooLarge(Exception):
    """The answer is larger than it may be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; the body is as sent, perhaps compressed."""

    status: int
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class BoundedClient:
    """Sends requests.

    Attributes:
        verify: the certificates to trust.
        longest_s: for one exchange, from the connection to the last byte of the answer.
        most_bytes: of an answer's head and body.
        proxies: whether the proxies of the environment are used.
        transport: replaces the network in tests.
    """

    verify: ssl.SSLContext
    longest_s: float
    most_bytes: int
    proxies: bool
    transport: httpx.AsyncBaseTransport | None = None

    async def exchange(self, method: str, url: str, **request: Any) -> Answer:
        """Send a request and read the answer.

        Args:
            request: as ``httpx.AsyncClient.stream`` takes it.

        Raises:
            TimeoutError: it took too long.
            AnswerTooLarge, httpx.HTTPError, httpx.InvalidURL, OSError: it failed.
        """
        async with asyncio.timeout(self.longest_s):
            return await self._exchange(method, url, request)

    async def _exchange(self, method: str, url: str, request: Mapping[str, Any]) -> Answer:
        # A client for each request: they are rare, and a kept connection belongs to one event loop.
        client = httpx.AsyncClient(
            verify=self.verify,
            transport=self.transport,
            timeout=self.longest_s,
            follow_redirects=False,
            trust_env=self.proxies,
            headers={"Accept-Encoding": "identity"},
        )
        async with client, client.stream(method, url, **request) as answer:
            size = sum(len(name) + len(value) for name, value in answer.headers.raw)
            body = bytearray()
            # As sent: one small piece could expand to a thousand times its size.
            async for piece in answer.aiter_raw():
                body += piece
                if size + len(body) > self.most_bytes:
                    raise AnswerTooLarge
        return Answer(answer.status_code, answer.headers, bytes(body))
