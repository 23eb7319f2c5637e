"""HTTP requests to the provider: bounded in time, size and number, without redirects."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from gatepass.bounded_http import AnswerTooLarge, BoundedClient
from gatepass.oidc.errors import ProviderUnavailable

#: For one request, from the first byte sent to the last one received.
LONGEST_S = 10.0
MOST_BYTES = 256 * 1024
#: Requests at once; a slow provider must not collect any number of waiting sign-ins.
MOST_AT_ONCE = 16


class Fetching:
    """Sends requests. The proxies and certificates of the environment apply, as httpx reads them.

    Args:
        transport: replaces the network in tests.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport
        self._verify = httpx.create_ssl_context()
        self._under_way = 0

    async def get(self, url: str) -> dict[str, Any]:
        """The JSON object at *url*.

        Raises:
            ProviderUnavailable: there is none.
        """
        status, answer = await self._fetch("GET", url, None, None)
        if status != httpx.codes.OK:
            raise ProviderUnavailable(f"status {status}")
        return answer

    async def post(
        self, url: str, fields: Mapping[str, str], basic: tuple[str, str] | None
    ) -> tuple[int, dict[str, Any]]:
        """Submit a form; the answer's status and JSON object.

        Args:
            basic: user and password for HTTP Basic authentication.

        Raises:
            ProviderUnavailable: no JSON object arrived, or a status other than 2xx and 4xx.
        """
        status, answer = await self._fetch("POST", url, fields, basic)
        if not (200 <= status < 300 or 400 <= status < 500):
            raise ProviderUnavailable(f"status {status}")
        return status, answer

    async def _fetch(
        self, method: str, url: str, fields: Mapping[str, str] | None, basic: tuple[str, str] | None
    ) -> tuple[int, dict[str, Any]]:
        if self._under_way >= MOST_AT_ONCE:
            raise ProviderUnavailable("too many requests wait for it")
        self._under_way += 1
        try:
            answer = await self._client().exchange(
                method,
                url,
                data=fields,
                auth=None if basic is None else httpx.BasicAuth(*basic),
                headers={"Accept": "application/json"},
            )
        except AnswerTooLarge:
            raise ProviderUnavailable("an answer is too large") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            # Only the kind: the message may quote what the server sent.
            raise ProviderUnavailable(type(error).__name__) from None
        finally:
            self._under_way -= 1
        if answer.status >= 500 or 300 <= answer.status < 400:
            return answer.status, {}
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise ProviderUnavailable("an answer is compressed")
        return answer.status, json_object(answer.body)

    def _client(self) -> BoundedClient:
        return BoundedClient(
            self._verify, LONGEST_S, MOST_BYTES, proxies=True, transport=self._transport
        )


def json_object(text: bytes) -> dict[str, Any]:
    """The JSON object in *text*.

    Raises:
        ProviderUnavailable: it is something else.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderUnavailable("an answer isn't a JSON object")
    return found
