"""An export while the installation is served, and a restore while it isn't."""

import json
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from gatepass import Verifier
from gatepass.core.decision import Reason
from gatepass.core.errors import Unavailable
from gatepass.registry.storage.ended_log import EndedLog
from tests.support.database.postgresql import Cluster
from tests.support.processes.served_installation import ServedInstallation, new_token
from tests.support.waiting import until


@pytest.fixture
def served(postgresql: Cluster, tmp_path: Path) -> ServedInstallation:
    """An installation on PostgreSQL; the registry's tests restore on both engines."""
    url = postgresql.create("backup")
    return ServedInstallation(
        tmp_path, database_url=url, GATEPASS_MAX_STALENESS="2", GATEPASS_WORKERS="1"
    )


def reason(served: ServedInstallation, token: str) -> str:
    said: str = served.verify(token, permission="charges:get")["reason"]
    return said


def becomes(embedded: Verifier, token: str, expected: Reason) -> None:
    """Wait until an embedded verifier gives that reason; it may be stale or behind at first."""

    def does() -> bool:
        with suppress(Unavailable):
            return embedded.check(token, permission="charges:get").reason == expected
        return False

    until(does)


def test_deactivations_over_rest_survive_a_restore(
    served: ServedInstallation, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    backup = str(tmp_path / "backup")
    with served:
        client = served.sign_in()
        ended, kept = new_token(client), new_token(client)
        served.command("export", backup)
        late = new_token(client)
        answer = client.post(f"/v1/access-tokens/{ended['id']}/deactivate", json={})
        # Durable before it was acknowledged.
        assert ended["id"] in {ending.id for ending in EndedLog(data / "ended.log").read()}
        assert answer.status_code == 200
        refused = served.command("restore", backup, check=False)
        assert refused.returncode == 1
        assert refused.stderr == "gatepass: Gatepass is running here: stop gatepass serve first.\n"
        assert reason(served, late["token"]) == "allowed"
        embedded = Verifier.follow(
            served.url, key=served.verifier_key, directory=tmp_path / "embedded"
        )
        becomes(embedded, late["token"], Reason.allowed)
    if "GATEPASS_DATABASE_URL" not in served.environ:
        # The database is lost; the files beside it remain.
        for path in data.glob("gatepass.db*"):
            if path.is_file() and not path.name.endswith(("-map", "-lock")):
                path.unlink()
    refused = served.command("restore", backup, check=False)
    if refused.returncode:
        # The node's last heartbeat is recent, so the database takes it for running.
        assert "sent a heartbeat a moment ago" in refused.stderr
        _forget_nodes(served)
        refused = served.command("restore", backup)
    assert "Revoked since then, and revoked again: 1 access token." in refused.stderr
    with served:
        assert reason(served, ended["token"]) == "token_deactivated"
        assert reason(served, kept["token"]) == "allowed"
        assert reason(served, late["token"]) == "token_invalid"
        # An embedded verifier rebuilds its copy.
        becomes(embedded, late["token"], Reason.token_invalid)
        becomes(embedded, ended["token"], Reason.token_deactivated)
        becomes(embedded, kept["token"], Reason.allowed)
        embedded.close()
        # A restore ends all sign-ins.
        assert client.get("/v1/me").status_code == 401
        again = served.sign_in()
        assert again.get("/v1/me").json()["user"]["email"] == "ada@example.com"
        events = again.get("/v1/audit-events", params={"action": "company.restored"}).json()
        assert len(events["items"]) == 1
    told = json.loads(served.command("export", f"{backup}-2", "--json").stdout)
    assert told["tables"]["access_tokens"]["rows"] == 2


def _forget_nodes(served: ServedInstallation) -> None:
    with psycopg.connect(served.environ["GATEPASS_DATABASE_URL"]) as connection:
        connection.execute("UPDATE nodes SET seen_at = seen_at - 60000")


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    served, backup = ServedInstallation(tmp_path), tmp_path / "backup"
    served.command("export", str(backup))
    path = tmp_path / "data" / "gatepass.db"
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    path.write_bytes(b"Dear reader, " * 1000)
    refused = served.command("restore", str(backup), check=False)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "is damaged: move it away" in refused.stderr
    path.unlink()
    served.command("restore", str(backup))
