"""Worker processes of both ports and the command line share one grant file."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.database.postgresql import Cluster
from tests.support.processes.served_installation import ServedInstallation, new_token
from tests.support.waiting import until

#: Connections used in turn, enough that every worker process serves some.
CONNECTIONS = 8


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedInstallation]:
    url = None
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        url = cluster.create("processes")
    directory = tmp_path_factory.mktemp("processes")
    with ServedInstallation(directory, database_url=url, GATEPASS_VERIFY_WORKERS="2") as served:
        yield served


@pytest.fixture
def everyone(served: ServedInstallation) -> Iterator[list[httpx.Client]]:
    """Connections to both ports, enough that every process serves some."""
    clients = [
        httpx.Client(base_url=url)
        for url in (served.url, served.verify_url)
        for _ in range(CONNECTIONS)
    ]
    yield clients
    for client in clients:
        client.close()


def reasons(served: ServedInstallation, everyone: list[httpx.Client], token: str) -> set[str]:
    """The answers of all processes to the same request."""
    key = {"Authorization": f"Bearer {served.verifier_key}"}
    question = {"token": token, "permission": "charges:get"}
    return {
        client.post("/v1/verify", headers=key, json=question).json()["reason"]
        for client in everyone
    }


def test_every_process_applies_a_deactivation_over_the_api_at_once(
    served: ServedInstallation, everyone: list[httpx.Client]
) -> None:
    client = served.sign_in()
    for _ in range(25):
        made = new_token(client)
        assert reasons(served, everyone, made["token"]) == {"allowed"}
        client.post(f"/v1/access-tokens/{made['id']}/deactivate").raise_for_status()
        assert reasons(served, everyone, made["token"]) == {"token_deactivated"}


def test_every_process_applies_a_deactivation_on_the_command_line_at_once(
    served: ServedInstallation, everyone: list[httpx.Client]
) -> None:
    made = new_token(served.sign_in())
    assert reasons(served, everyone, made["token"]) == {"allowed"}
    served.command("token", "deactivate", made["id"])
    assert reasons(served, everyone, made["token"]) == {"token_deactivated"}


def test_every_process_refuses_a_deactivated_verifier_key(
    served: ServedInstallation, everyone: list[httpx.Client]
) -> None:
    made = json.loads(served.command("verifier", "create", "--label", "x", "--json").stdout)
    key = {"Authorization": f"Bearer {made['key']}"}
    question = {"token": "x", "permission": "charges:get"}
    for client in everyone:
        assert client.post("/v1/verify", headers=key, json=question).status_code == 200
    served.command("verifier", "deactivate", made["id"])
    for client in everyone:
        answer = client.post("/v1/verify", headers=key, json=question)
        assert (answer.status_code, answer.json()["reason"]) == (401, "token_deactivated")


def test_every_process_refuses_a_signed_out_login(
    served: ServedInstallation, everyone: list[httpx.Client]
) -> None:
    client = served.sign_in()
    login = client.headers["Authorization"].removeprefix("Bearer ")
    question = {"token": login, "permission": "charges:get"}
    key = {"Authorization": f"Bearer {served.verifier_key}"}
    assert client.post("/v1/sign-out").status_code == 204
    for one in everyone:
        answer = one.post("/v1/verify", headers=key, json=question).json()
        assert answer["reason"] == "token_deactivated"
    assert client.get("/v1/me").status_code == 401


def test_every_process_refuses_a_deactivated_sign_in_at_once(
    served: ServedInstallation, everyone: list[httpx.Client]
) -> None:
    client = served.sign_in()
    for path in ("{id}/deactivate", "deactivate-others"):
        other = served.sign_in()
        login = other.headers["Authorization"].removeprefix("Bearer ")
        assert reasons(served, everyone, login) == {"allowed"}
        ended = client.post(f"/v1/authentications/{path.format(id=login[:21])}", json={})
        assert ended.status_code == 200
        assert reasons(served, everyone, login) == {"token_deactivated"}
        for one in everyone[:CONNECTIONS]:
            answer = one.get("/v1/me", headers={"Authorization": f"Bearer {login}"})
            assert (answer.status_code, answer.json()["reason"]) == (401, "token_deactivated")
    assert client.get("/v1/me").status_code == 200


def test_every_process_applies_an_allowlist_trial_at_once(
    served: ServedInstallation, everyone: list[httpx.Client]
) -> None:
    client = served.sign_in()
    made = new_token(client)
    path, office = "/v1/company/allowlist", [{"network": "203.0.113.0/24"}]
    assert client.put(path, json={"entries": office, "confirm": True}).status_code == 200
    key = {"Authorization": f"Bearer {served.verifier_key}"}
    question = {"token": made["token"], "permission": "charges:get"}
    for address, reason in (
        ("203.0.113.9", "allowed"),
        ("198.51.100.1", "company_address_not_allowed"),
    ):
        for one in everyone:
            answer = one.post("/v1/verify", headers=key, json={**question, "address": address})
            assert answer.json()["reason"] == reason
    for one in everyone[:CONNECTIONS]:
        login = {"Authorization": client.headers["Authorization"]}
        assert one.get("/v1/me", headers=login).status_code == 403
    inside = {"X-Forwarded-For": "203.0.113.9"}
    assert client.put(path, json={"entries": []}, headers=inside).status_code == 200
    assert reasons(served, everyone, made["token"]) == {"allowed"}


def test_last_used_has_time_and_address(served: ServedInstallation) -> None:
    client = served.sign_in()
    made = new_token(client)
    served.verify(made["token"], permission="charges:get", address="203.0.113.9")
    where = f"/v1/access-tokens/{made['id']}"
    last = until(lambda: client.get(where).json()["last_used"])
    assert last["address"] == "203.0.113.9"


def test_a_killed_worker_is_replaced_and_no_answer_is_wrong(
    served: ServedInstallation, everyone: list[httpx.Client]
) -> None:
    """Nor does a counter fall, which Prometheus would take for a restart."""
    made = new_token(served.sign_in(), permissions=["charges:get"])
    for _ in range(10):
        served.verify(made["token"], permission="charges:create")
    refused = 'gatepass_node_decisions_total{reason="permission_missing"}'
    before = until(lambda: (found := counters(served))[refused] >= 10 and found)
    assert before
    victims = served.workers()
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    served.wait_ready()
    fresh = [httpx.Client(base_url=client.base_url) for client in everyone]
    assert reasons(served, fresh, made["token"]) == {"allowed"}
    exits = 'gatepass_worker_exits_total{role="verify"}'
    until(lambda: counters(served)[exits] == before[exits] + 2)
    for _ in range(4):
        # Another worker each time, or the same.
        after = counters(served)
        assert [name for name, number in before.items() if after[name] < number] == []
        before = after


def counters(served: ServedInstallation) -> dict[str, float]:
    """The counters that one of the workers tells of, histograms included."""
    found = {}
    for line in served.metrics().splitlines():
        series, _, number = line.rpartition(" ")
        if re.fullmatch(r"\w+_(total|bucket|sum|count)(\{.*\})?", series):
            found[series] = float(number)
    return found


def test_no_secret_is_in_the_log_or_beside_the_database(served: ServedInstallation) -> None:
    made = new_token(served.sign_in())
    served.verify(made["token"], permission="charges:get")
    secret = made["token"][21:53].encode()
    data = Path(served.environ["GATEPASS_DATA_DIR"])
    files = [served.log, *(path for path in data.rglob("*") if path.is_file())]
    assert len(files) > 3
    for path in files:
        assert secret not in path.read_bytes(), path
