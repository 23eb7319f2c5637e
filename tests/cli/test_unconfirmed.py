"""Commands on a node whose copy lags behind their changes (PostgreSQL)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.verify.replica.database_follower import NodeLock
from tests.cli.conftest import INIT, PASSWORD, Gatepass

WARNING = "gatepass: warning: the change was made, but this node's copy doesn't include it yet\n"


@pytest.fixture
def lagging(
    gatepass: Gatepass, postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gatepass]:
    """``gatepass`` beside a process that holds the node's lock without following."""
    monkeypatch.setenv("GATEPASS_DATABASE_URL", postgresql_url)
    monkeypatch.setattr("gatepass.node.copying.CONFIRM_SECONDS", 0.1)
    (tmp_path / "data").mkdir(mode=0o700)
    stuck = NodeLock(tmp_path / "data" / "grants.db-lock")
    assert stuck.acquire()
    yield gatepass
    stuck.close()


def test_unconfirmed_records_are_printed_with_a_warning(lagging: Gatepass) -> None:
    """A key's text exists nowhere else, so its creator must get it."""
    said = lagging(*INIT, stdin=PASSWORD)
    assert (said.code, WARNING in said.err) == (0, True)
    said = lagging("verifier", "create", "--label", "gateway")
    assert (said.code, said.out[:5], WARNING in said.err) == (0, "gpvk_", True)
    said = lagging("verifier", "create", "--label", "another", "--json")
    assert json.loads(said.out)["key"].startswith("gpvk_")
    assert (said.code, said.err) == (0, WARNING)
    (other, _) = json.loads(lagging("verifier", "list", "--json").out)["items"]
    said = lagging("verifier", "deactivate", other["id"])
    assert (said.code, said.err.startswith(WARNING)) == (0, True)
    said = lagging("allowlist", "clear", "--company", "Acme")
    assert (said.code, WARNING in said.err) == (0, True)


def test_without_a_running_node_there_is_no_warning(
    gatepass: Gatepass, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEPASS_DATABASE_URL", postgresql_url)
    monkeypatch.setattr("gatepass.node.copying.CONFIRM_SECONDS", 0.1)
    assert "warning" not in gatepass(*INIT, stdin=PASSWORD).err
    assert "warning" not in gatepass("verifier", "create", "--label", "gateway").err
