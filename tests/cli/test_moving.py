"""Effects of export, import and restore besides their output."""

import gc
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from gatepass.cli.backup import progress_bars
from gatepass.cli.installation import opened
from gatepass.cli.restore import _NAMES
from gatepass.registry.actor import Actor
from gatepass.registry.backup import export_import
from gatepass.registry.backup.revocation_state import KINDS
from gatepass.registry.directory.users import create
from gatepass.registry.membership import offboarding
from gatepass.registry.storage.tables import companies, users
from gatepass.verify.clock import Clock
from tests.support.apps.installation import PASSWORD
from tests.support.waiting import LIMIT_S

Gatepass = Callable[..., Any]


def test_caches_and_leases_are_void_after_a_restore(installed: Gatepass, tmp_path: Path) -> None:
    """The clock must not fall behind the backup either."""
    installed("export", str(tmp_path / "backup"))
    with opened() as node:
        shared, clock = node.file.shared, Clock()
        shared.renew_lease(clock.boot_ns(), clock.wall_ms(), 10_000)
        shared.words[5] = 0
        before = shared.generation
        assert shared.is_fresh(clock.boot_ns(), clock.wall_ms())
    said = installed("restore", str(tmp_path / "backup"), "--json")
    assert said.code == 0, said.err
    with opened() as node:
        shared = node.file.shared
        assert shared.generation != before
        assert not shared.is_fresh(clock.boot_ns(), clock.wall_ms())
        assert shared.latest_ms >= clock.wall_ms() - 60_000


@pytest.mark.parametrize(
    ("number", "ends"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_leaves_nothing_behind(
    installed: Gatepass,
    tmp_path: Path,
    number: signal.Signals,
    ends: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    former = signal.getsignal(number)
    with opened() as node, progress_bars() as progress:
        os.kill(os.getpid(), number)
        with pytest.raises(ends):
            export_import.export(
                node.database, tmp_path / "backup", now=node.clock.now(), progress=progress
            )
    gc.collect()
    assert not [path for path in tmp_path.rglob("*") if "backup" in path.name]
    assert signal.getsignal(number) == former
    assert caplog.records == []


def test_revocations_of_commands_are_in_ended_log(installed: Gatepass) -> None:
    key = json.loads(installed("verifier", "create", "--label", "x", "--json").out)["id"]
    installed("verifier", "deactivate", key)
    with opened() as node:
        (ending,) = node.ended_log.read()
    assert (ending.id, ending.by, ending.by_name) == (key, None, "the command line")


def test_as_json(installed: Gatepass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = str(tmp_path / "backup")
    exported = json.loads(installed("export", backup, "--json").out)
    assert exported["file"] == backup
    assert exported["tables"]["users"]["rows"] == 1
    restored = json.loads(installed("restore", backup, "--json").out)
    assert restored["tables"] == exported["tables"]
    assert restored["at"] == exported["at"]
    assert restored["kept_ended"]["access_token"] == 0
    assert restored["without_administrator"] == []
    monkeypatch.setenv("GATEPASS_DATABASE_URL", "sqlite:///other.db")
    imported = json.loads(installed("import", backup, "--json").out)
    assert imported["tables"] == exported["tables"]


def test_a_needed_encryption_key_is_named(installed: Gatepass, tmp_path: Path) -> None:
    backup = str(tmp_path / "backup")
    with opened() as node:
        node.encryption_key.create()
        with node.database.write(node.clock.now()) as change:
            sealed = node.encryption_key.encrypt(b"x", owner="ada")
            change.session.execute(update(users).values(totp_sealed=sealed))
        key = node.encryption_key.path
    said = installed("export", backup).err
    assert f"are encrypted with a key of their own: copy {key} too" in said
    assert "second factors" not in installed("restore", backup).err
    key.unlink()
    said = installed("restore", backup)
    assert said.code == 0
    assert f"put the sealing-key that goes with the backup back to {key}" in said.err


@pytest.mark.processes
def test_on_a_terminal_progress_is_shown(installed: Gatepass, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "gatepass.cli", "export", str(tmp_path / "backup")],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stderr=theirs,
        timeout=LIMIT_S,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):
        while part := os.read(ours, 65_536):
            said += part
    os.close(ours)
    assert done.returncode == 0
    for word in (b"Reading", b"Writing", b"Checking", b"100%"):
        assert word in said


def test_a_company_without_an_administrator_gets_one(installed: Gatepass, tmp_path: Path) -> None:
    """The backup's administrator has left; the later one isn't in the backup."""
    backup = str(tmp_path / "backup")
    init = ("init", "--company", "ACME", "--email", "eve@acme.example", "--password-stdin")
    installed("export", backup)
    assert "A company named ACME already exists" in installed(*init, stdin=PASSWORD).err
    with opened() as node, node.database.write(node.clock.now()) as change:
        ada = change.session.scalars(select(users.c.id)).one()
        with node.database.read(0) as reading:
            acme = reading.session.scalars(select(companies.c.id)).one()
        operator = Actor.command_line()
        create(
            change,
            operator,
            company=acme,
            email="bob@acme.example",
            name="Bob",
            role="admin",
            password_hash="-",
        )
        offboarding.deactivate(change, operator, ada)
    said = installed("restore", backup)
    assert "No active administrator is left in: Acme. Create one: gatepass init" in said.err
    said = installed(*init, stdin=PASSWORD)
    assert (said.code, said.out) == (0, "")
    assert "Acme is set up. eve@acme.example is its administrator." in said.err
    assert installed(*init, stdin=PASSWORD).code == 1


def test_every_kind_of_record_has_its_words() -> None:
    """A restore counts the records of each kind."""
    assert _NAMES.keys() >= KINDS.keys()
