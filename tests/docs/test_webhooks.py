"""docs/how-to/webhooks.md: its code verifies our requests, and its tables are complete."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from gatepass.registry.audit.webhook_events import EVENTS, payload_of
from gatepass.registry.webhooks import signing
from gatepass.registry.webhooks.queue import PAUSES_MS
from gatepass.web.pages.company.webhooks import _TROUBLES

PAGE = (Path(__file__).parents[2] / "docs/how-to/webhooks.md").read_text()


def documented_verify() -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["verify"]


def test_its_code_verifies_our_requests() -> None:
    verify = documented_verify()
    keys = [signing.new_secret(), signing.new_secret()]
    payload = payload_of("user.created", 0, {"id": "evt_1"})
    headers = signing.signed_headers(keys, "evt_1", int(time.time() * 1000), payload)
    for key in keys:
        event = verify(signing.text_of(key), headers, payload.encode())
        assert event["timestamp"] == "1970-01-01T00:00:00.000Z"
    for secret, changed, body in (
        (signing.new_secret(), {}, payload),
        (keys[0], {}, payload + " "),
        (keys[0], {"webhook-id": "evt_2"}, payload),
        (keys[0], signing.signed_headers(keys, "evt_1", 1_000_000, payload), payload),
    ):
        with pytest.raises(ValueError, match=r"signed|old request"):
            verify(signing.text_of(secret), {**headers, **changed}, body.encode())


def test_its_event_has_the_members_of_ours() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    event = json.loads(shown)
    assert list(event) == ["type", "timestamp", "data"]
    members = ["id", "action", "subject", "actor", "company", "changed"]
    assert list(event["data"]) == members
    assert event["type"] in EVENTS


def test_it_explains_what_the_page_says() -> None:
    assert [text for text in _TROUBLES.values() if f"| {text} |" not in PAGE] == []


def test_it_names_the_pauses() -> None:
    seconds = [pause // 1000 for pause in PAUSES_MS]
    assert seconds == [5, 30, *(60 * n for n in (2, 10, 30)), *(3600 * n for n in (1, 2, 4, 8))]
    said = "after 5 and 30 seconds, 2, 10 and 30 minutes, 1, 2, 4 and 8 hours"
    assert said in PAGE
