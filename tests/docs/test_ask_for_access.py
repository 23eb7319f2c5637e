"""docs/how-to/ask-for-access.md: its program asks, waits for the answer and goes on."""

import io
import json
import re
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.apps.installation import Installation

PAGE = (Path(__file__).parents[2] / "docs/how-to/ask-for-access.md").read_text()
CHARGES = "https://api.example.com/v1/charges"
DECISION = "dec_4fT0aB3cD5eF7gH9iJ1kL2"


class Internet:
    """Sends what ``urllib`` would to the installation, or to an API that it guards."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.client = installation.client()
        self.asked: list[Any] = []

    def urlopen(self, request: urllib.request.Request) -> io.BytesIO:
        url, headers = request.full_url, dict(request.header_items())
        if url == CHARGES:
            status, body = self._charge(headers["Authorization"].removeprefix("Bearer "))
        else:
            path = url.removeprefix("https://gatepass.example.com")
            data: Any = request.data
            if data is not None:
                self.asked.append(json.loads(data))
            answer = self.client.request(request.get_method(), path, content=data, headers=headers)
            status, body = answer.status_code, answer.content
        if status >= 400:
            raise urllib.error.HTTPError(url, status, "", Message(), io.BytesIO(body))
        return io.BytesIO(body)

    def _charge(self, token: str) -> tuple[int, bytes]:
        decision = self.installation.verify(token, method="POST", path="/v1/charges")
        if decision["allowed"]:
            return 201, b'{"charge": 1}'
        problem = {
            "reason": decision["reason"],
            "detail": "The token lacks a permission.",
            "needed": ["charges:create"],
            "help": f"https://gatepass.example.com/decisions/{DECISION}",
        }
        return 403, json.dumps(problem).encode()


def test_its_program_asks_and_goes_on(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    internet = Internet(installation)
    monkeypatch.setattr(names["urllib"].request, "urlopen", internet.urlopen)
    ada = installation.signed_in()
    answers = iter(({"seconds": 900}, None))

    def asleep(seconds: float) -> None:
        (waiting,) = ada.get("/v1/access-requests?status=pending").json()["items"]
        answer, path = next(answers), f"/v1/access-requests/{waiting['id']}"
        verb = "deny" if answer is None else "approve"
        assert ada.post(f"{path}/{verb}", json=answer or {}).status_code == 200

    names["time"] = SimpleNamespace(sleep=asleep)

    def charge(token: str) -> bytes:
        request = urllib.request.Request(CHARGES, b"{}")
        made: bytes = names["with_access"](request, token, "Order 7")
        return made

    token = installation.access_token("charges:get")
    assert charge(token) == b'{"charge": 1}'
    assert internet.asked == [
        {"permission": "charges:create", "decision": DECISION, "justification": "Order 7"}
    ]
    other = installation.access_token("charges:get")
    with pytest.raises(PermissionError, match="charges:create: denied"):
        charge(other)
    with pytest.raises(PermissionError, match="denied within the last 24 hours"):
        charge(other)
    with pytest.raises(PermissionError, match="lacks"):
        charge("gpat_nonsense")
