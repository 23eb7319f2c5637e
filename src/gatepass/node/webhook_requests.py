"""The requests of webhooks: where they may go, and what became of them.

Customers choose the URLs, so nothing of a receiver is trusted. Its name is looked up once, and the
connection made to the address that was checked; the certificate is checked against the name. So no
second answer of its name server can lead the request to a machine inside our network.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from email.utils import parsedate_to_datetime
from weakref import WeakValueDictionary

import httpx

from gatepass.bounded_http import Answer, AnswerTooLarge, BoundedClient
from gatepass.core.networks import Networks, format_address, parse_address
from gatepass.core.reachability import reachable
from gatepass.registry.webhooks.queue import Outcome
from gatepass.registry.webhooks.urls import origin_of

#: For looking up, connecting, sending and receiving.
LONGEST_S = 10.0
MOST_BYTES = 64 * 1024
_MOST_ADDRESSES = 3
#: At once: a lookup can't be cancelled, and takes a thread. Others wait, within their time. A
#: customer's name server that doesn't answer must not take all of them.
_MOST_LOOKUPS = 64
_MOST_LOOKUPS_OF_COMPANY = 8
_HTTPS = 443
#: The statuses whose Retry-After counts.
_OVERLOADED = (429, 503)
_MOST_DIGITS = 9


class _Refused(Exception):
    """No connection is made; the text is the trouble."""


class Requests:
    """Sends requests, on one event loop in a thread of its own.

    Args:
        networks: where an operator's webhooks may be, beside globally reachable addresses.
        verify: the certificates to trust; by default the system's or those of SSL_CERT_FILE.
    """

    def __init__(self, networks: Networks, verify: ssl.SSLContext | None = None) -> None:
        self._networks = networks
        self._client = BoundedClient(
            verify or httpx.create_ssl_context(), LONGEST_S, MOST_BYTES, proxies=False
        )
        self._lookups = asyncio.Semaphore(_MOST_LOOKUPS)
        # By company, and by company and name; while someone waits or looks up.
        self._lookups_of: WeakValueDictionary[tuple[str, ...], asyncio.Semaphore] = (
            WeakValueDictionary()
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(
        self,
        url: str,
        *,
        company: str,
        by_operator: bool,
        headers: Mapping[str, str],
        payload: str,
    ) -> Future[Outcome]:
        """Begin to ``post``, and don't wait for it. For one thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(
                target=self._loop.run_forever, daemon=True, name="gatepass_webhook_requests"
            ).start()
        request = self.post(
            url, company=company, by_operator=by_operator, headers=headers, payload=payload
        )
        return asyncio.run_coroutine_threadsafe(request, self._loop)

    def close(self) -> None:
        """Abandon the requests under way."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    async def post(
        self,
        url: str,
        *,
        company: str,
        by_operator: bool,
        headers: Mapping[str, str],
        payload: str,
    ) -> Outcome:
        """Send a payload to a webhook's URL.

        Args:
            company: the id of the webhook's.
            by_operator: whether an operator chose the URL.
        """
        began = time.monotonic()
        answer, trouble = None, None
        try:
            async with asyncio.timeout(LONGEST_S):
                answer = await self._post(url, company, by_operator, headers, payload)
        except _Refused as refused:
            trouble = str(refused)
        except (TimeoutError, httpx.TimeoutException):
            trouble = "timed_out"
        except AnswerTooLarge:
            trouble = "answer_too_large"
        except httpx.RemoteProtocolError:
            trouble = "invalid_answer"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            trouble = "untrusted_certificate" if _is_of_tls(error) else "connection_failed"
        took_ms = round((time.monotonic() - began) * 1000)
        if answer is None:
            return Outcome(None, trouble, took_ms)
        return Outcome(answer.status, trouble, took_ms, _retry_after_ms(answer))

    async def _post(
        self, url: str, company: str, by_operator: bool, headers: Mapping[str, str], payload: str
    ) -> Answer:
        origin = origin_of(url)
        host = origin.host.strip("[]")
        addresses = await self._addresses(host, origin.port or _HTTPS, company)
        besides = self._networks if by_operator else None
        allowed = [address for address in addresses if reachable(address, besides)]
        if not allowed:
            raise _Refused("address_not_allowed")
        *others, last = allowed[:_MOST_ADDRESSES]
        for address in others:
            # Only where nothing was sent.
            with suppress(httpx.ConnectError):
                return await self._exchange(url, host, address, headers, payload)
        return await self._exchange(url, host, last, headers, payload)

    async def _exchange(
        self, url: str, host: str, address: bytes, headers: Mapping[str, str], payload: str
    ) -> Answer:
        return await self._client.exchange(
            "POST",
            str(httpx.URL(url).copy_with(host=format_address(address))),
            headers={
                **headers,
                "Host": origin_of(url).authority,
                "User-Agent": "Gatepass",
                "Content-Type": "application/json",
                "Connection": "close",
            },
            content=payload.encode(),
            # The name to ask for in TLS, and to check the certificate against.
            extensions={"sni_hostname": host},
        )

    async def _addresses(self, host: str, port: int, company: str) -> list[bytes]:
        literal = parse_address(host)
        if literal is not None:
            return [literal]
        release = await self._admitted(host, company)
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[bytes]] = loop.create_future()

        def settle(addresses: list[bytes]) -> None:
            release()
            # The request may have ended meanwhile.
            if not found.done():
                found.set_result(addresses)

        def look_up() -> None:
            addresses = _looked_up(host, port)
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, addresses)

        # Not a pool's thread: the interpreter would wait for it at its end.
        threading.Thread(target=look_up, daemon=True, name="gatepass_webhook_lookup").start()
        addresses = await found
        if not addresses:
            raise _Refused("unresolved")
        return addresses

    async def _admitted(self, host: str, company: str) -> Callable[[], None]:
        """Wait until a company may look up a name; what to call when it has been."""
        places = [
            self._places(1, company, host),
            self._places(_MOST_LOOKUPS_OF_COMPANY, company),
            self._lookups,
        ]
        with ExitStack() as taken:
            for place in places:
                await place.acquire()
                taken.callback(place.release)
            return taken.pop_all().close

    def _places(self, most: int, *of: str) -> asyncio.Semaphore:
        return self._lookups_of.setdefault(of, asyncio.Semaphore(most))


def _retry_after_ms(answer: Answer) -> int:
    """How long a receiver asks to be left alone (RFC 9110, 10.2.3); 0 unless it is overloaded."""
    text = answer.headers.get("Retry-After", "").strip()
    if answer.status not in _OVERLOADED or not text:
        return 0
    if text.isascii() and text.isdigit():
        # More digits than any wait has would be slow to convert.
        return int(text[:_MOST_DIGITS]) * 1000
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0
    return max(0, round((until - time.time()) * 1000))


def _looked_up(host: str, port: int) -> list[bytes]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    # parse_address refuses zones, and unmaps IPv4.
    parsed = (parse_address(address[0]) for *_, address in found)
    return list(dict.fromkeys(address for address in parsed if address is not None))


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
