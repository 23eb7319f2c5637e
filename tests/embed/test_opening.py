"""Opening a grant file in an application's own process."""

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.embed import open_verifier
from gatepass.verify.grant_file import GrantFile, ddl
from tests.support.grants.grant_file_fixture import Grants
from tests.support.waiting import LIMIT_S


def test_a_file_that_is_missing_or_something_else_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("Dear diary, " * 100)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE recipes (id)")
    for name in ("missing.db", "text.db", "other.db", "no/directory.db"):
        with pytest.raises(Misconfigured, match=name):
            open_verifier(tmp_path / name)
    assert not (tmp_path / "missing.db").exists()


def test_a_copy_decides_only_while_its_lease_runs(tmp_path: Path) -> None:
    """A follower's file that nobody keeps current must not be believed for ever."""
    path = tmp_path / "grants.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in ddl("sqlite"):
            connection.execute(statement)
    verifier = open_verifier(path)
    with pytest.raises(Unavailable) as caught:
        verifier.check("gpat_x", permission="charges:get")
    assert caught.value.reason == "stale"
    GrantFile(path).shared.renew_lease(verifier.clock.boot_ns(), verifier.clock.wall_ms(), 10_000)
    assert verifier.check("gpat_x", permission="charges:get").reason == "token_invalid"


def test_a_catalogue_lets_one_ask_by_method_and_path(grants: Grants, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text('permissions:\n  charges:get: {routes: ["GET /charges/{id}"]}\n')
    verifier = open_verifier(grants.path, catalogue=catalogue)
    assert verifier.check(grants.token(), method="GET", path="/charges/1").allowed
    with pytest.raises(Misconfigured, match="nowhere"):
        open_verifier(grants.path, catalogue=tmp_path / "nowhere.yaml")


PROGRAM = """
import json, os, sys, time
from pathlib import Path
from gatepass.embed import open_verifier
verifier = open_verifier(sys.argv[1])
def use(times):
    for _ in range(times):
        assert verifier.check(sys.argv[2], permission="charges:get", address="203.0.113.9").allowed
def spooled(spool):
    lines = map(json.loads, spool.read_text().splitlines())
    return sum(count for line in lines for count, *_ in line.get("tokens", {}).values())
use(3)
child = os.fork()
if child == 0:
    use(4)
    # All of them: a flush may come between two.
    while sum(map(spooled, Path(sys.argv[3]).glob(f"{os.getpid()}-*.spool"))) < 4:
        time.sleep(0.01)
    os._exit(0)
os.waitpid(child, 0)
use(2)
"""


@pytest.mark.processes
def test_use_is_spooled_by_the_process_and_by_its_forks_each_for_itself(grants: Grants) -> None:
    token = grants.token()
    spooled = GrantFile(grants.path).use_directory
    subprocess.run(
        [sys.executable, "-c", PROGRAM, grants.path, token, spooled], check=True, timeout=LIMIT_S
    )
    uses = [
        [
            batch["tokens"][token[:21]]
            for batch in map(json.loads, spool.read_text().splitlines())
            # Its calls are on lines of their own.
            if "tokens" in batch
        ]
        for spool in spooled.glob("*.spool")
    ]
    assert sorted(sum(count for count, *_ in lines) for lines in uses) == [4, 5]
    assert uses[0][0][2:] == ["203.0.113.9", "charges:get"]


def test_a_garbage_collected_verifier_stops_its_thread(grants: Grants) -> None:
    before = set(threading.enumerate())
    verifier = open_verifier(grants.path)
    (thread,) = set(threading.enumerate()) - before
    del verifier
    thread.join(LIMIT_S)
    assert not thread.is_alive()
