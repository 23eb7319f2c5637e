"""Kill -9 while clients create and deactivate tokens, on SQLite.

The experiment ``kill`` of ``faults`` does the same on PostgreSQL.
"""

import contextlib
import threading
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes.served_installation import ServedInstallation, new_token
from tests.support.waiting import until

ROUNDS = 1
MADE_A_ROUND = 40


def test_every_acknowledged_change_survives_and_none_is_half_applied(tmp_path: Path) -> None:
    served = ServedInstallation(tmp_path)
    made: dict[str, dict[str, Any]] = {}
    ended: set[str] = set()
    labels: set[str] = set()
    with served:
        for round_number in range(ROUNDS):
            client = served.sign_in()
            stop = threading.Event()
            threads = [
                threading.Thread(
                    target=_write, args=(client, f"{round_number}-{n}", stop, made, ended, labels)
                )
                for n in range(4)
            ]
            for thread in threads:
                thread.start()
            enough = len(made) + MADE_A_ROUND
            until(lambda enough=enough: len(made) >= enough)
            served.kill()
            stop.set()
            for thread in threads:
                thread.join()
            served.start()

        assert ended
        client = served.sign_in()
        for token in made.values():
            verdict = served.verify(token["token"], permission="charges:get")
            if token["id"] in ended:
                assert verdict["reason"] == "token_deactivated"
        # An unacknowledged change is complete (record, grant, one event) or absent.
        listed = _all(client, "/v1/access-tokens")
        assert made.keys() <= {token["id"] for token in listed}
        assert {token["label"] for token in listed} <= labels
        created = [
            event["subject"]["id"]
            for event in _all(client, "/v1/audit-events")
            if event["action"] == "access_token.created"
        ]
        assert sorted(created) == sorted(token["id"] for token in listed)
        for token in listed:
            if token["id"] in made:
                verdict = served.verify(made[token["id"]]["token"], permission="charges:get")
                expected = "allowed" if token["status"] == "active" else "token_deactivated"
                assert verdict["reason"] == expected


def _write(
    client: httpx.Client,
    name: str,
    stop: threading.Event,
    made: dict[str, dict[str, Any]],
    ended: set[str],
    labels: set[str],
) -> None:
    with contextlib.suppress(httpx.TransportError):
        count = 0
        while not stop.is_set():
            label = f"{name}-{count}"
            labels.add(label)
            token = new_token(client, label)
            made[token["id"]] = token
            if count % 3 == 0:
                answer = client.post(f"/v1/access-tokens/{token['id']}/deactivate")
                assert answer.status_code == 200
                ended.add(token["id"])
            count += 1


def _all(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        parameters = {"limit": "200", **({"cursor": cursor} if cursor else {})}
        page = client.get(path, params=parameters).json()
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items
