"""HTTP clients of a node: decisions from either port, changes through the REST API.

One thread per connection. They use the standard library's client, so that little of the measured
time is their own.
"""

import http.client
import json
from collections.abc import Sequence
from typing import Any

#: The outcome of a request without an answer: the connection was refused, closed or timed out.
NOTHING = "no answer"

_SECONDS = 15.0
_BROKEN = (OSError, http.client.HTTPException)


class _Connection:
    def __init__(self, port: int, bearer: str) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
        self._headers = {
            "Authorization": f"Bearer {bearer}",
            "Content-Type": "application/json",
        }

    def request(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Send one request; the status and the body.

        Raises:
            OSError, HTTPException: no answer. The request may have taken effect or not.
        """
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, content, self._headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class DecisionClient(_Connection):
    """Asks for decisions.

    Args:
        port: a verify port or a main port, on loopback.
        key: a verifier key.
    """

    def reason(self, token: str, permission: str = "charges:get") -> str:
        """The reason of the decision (``allowed`` is one), the reason of a 503, or NOTHING."""
        answer = self._decided("/v1/verify", {"token": token, "permission": permission})
        return NOTHING if answer is None else str(answer["reason"])

    def reasons(self, tokens: Sequence[str], permission: str = "charges:get") -> list[str]:
        """``reason`` of each of up to 100 tokens, in one request (``POST /v1/verify/batch``)."""
        calls = [{"token": token, "permission": permission} for token in tokens]
        answer = self._decided("/v1/verify/batch", {"calls": calls})
        if answer is None or "decisions" not in answer:
            return [NOTHING if answer is None else str(answer["reason"])] * len(tokens)
        return [str(decision["reason"]) for decision in answer["decisions"]]

    def _decided(self, path: str, question: object) -> dict[str, Any] | None:
        """The answer, also of a 503; None if there was none."""
        for attempt in (1, 2):
            try:
                answer: dict[str, Any] = json.loads(self.request("POST", path, question)[1])
                return answer
            except http.client.RemoteDisconnected:
                # The server closed an idle connection: retry once, as a gateway does.
                if attempt == 2:
                    return None
            except _BROKEN:
                return None
        raise AssertionError

    def ready(self) -> bool:
        """Whether ``/health/ready`` answers 200."""
        try:
            return self.request("GET", "/health/ready")[0] == 200
        except _BROKEN:
            return False


class RestClient(_Connection):
    """Calls the REST API.

    Args:
        port: a main port, on loopback.
        bearer: a login token.
    """

    def get(self, path: str) -> tuple[int, bytes]:
        """GET *path*."""
        return self.request("GET", path)

    def create(self, label: str, **fields: Any) -> dict[str, Any] | None:
        """Create an access token; None if that wasn't acknowledged."""
        body = {"label": label, "kind": "api", "permissions": ["charges:*"], **fields}
        try:
            status, content = self.request("POST", "/v1/access-tokens", body)
        except _BROKEN:
            return None
        made: dict[str, Any] = json.loads(content)
        return made if status == 201 else None

    def deactivate(self, token_id: str) -> int:
        """Deactivate an access token; the status, or 0 without an answer."""
        try:
            return self.request("POST", f"/v1/access-tokens/{token_id}/deactivate")[0]
        except _BROKEN:
            return 0

    def permit(self, token_id: str, *permissions: str) -> int:
        """Replace an access token's permissions; the status, or 0 without an answer."""
        try:
            change = {"permissions": list(permissions)}
            return self.request("PATCH", f"/v1/access-tokens/{token_id}", change)[0]
        except _BROKEN:
            return 0
