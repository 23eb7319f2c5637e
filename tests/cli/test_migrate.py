"""``gatepass migrate --plan``: what an upgrade does to the schema, and whether nodes must stop."""

import json
import sqlite3
from pathlib import Path

import pytest

from gatepass.registry.storage.schema import VERSIONS
from tests.cli.conftest import INIT, Gatepass
from tests.support.apps.installation import PASSWORD

pytestmark = pytest.mark.installation


@pytest.fixture
def at_version(gatepass: Gatepass, tmp_path: Path) -> "AtVersion":
    assert gatepass(*INIT, stdin=PASSWORD).code == 0
    return AtVersion(tmp_path / "data/gatepass.db")


class AtVersion:
    """Says another version of the schema than it has."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, version: str) -> None:
        with sqlite3.connect(self._path) as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (version,))
        database.close()


def test_the_plan_is_shown(gatepass: Gatepass, at_version: AtVersion) -> None:
    said = gatepass("migrate", "--plan")
    assert (said.code, said.out, said.err) == (0, "", "Nothing to do.\n")
    at_version("0019")
    said = gatepass("migrate", "--plan")
    assert said.code == 0
    assert "0020" in said.out
    assert "expand" in said.out
    assert "contract" not in said.out
    assert said.err == "Nodes of the former version go on meanwhile.\n"
    at_version("0006")
    said = gatepass("migrate", "--plan")
    assert "contract" in said.out
    assert said.err == "Stop every node before you migrate.\n"
    # Nothing was changed.
    assert gatepass("migrate", "--plan").out == said.out


def test_the_plan_for_scripts(gatepass: Gatepass, at_version: AtVersion) -> None:
    at_version("0006")
    plan = json.loads(gatepass("migrate", "--plan", "--json").out)
    assert plan["stop_nodes"] is True
    assert [step["version"] for step in plan["steps"]] == list(VERSIONS[6:])
    assert plan["steps"][0]["contract"] is True
    said = gatepass("migrate", "--json")
    assert said.code == 2
    assert "--plan" in said.err
