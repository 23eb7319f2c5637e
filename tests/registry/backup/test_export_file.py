"""The export file: private, without credentials, and checked before it is imported."""

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from gatepass.core.errors import Misconfigured
from gatepass.registry.backup import export_file
from gatepass.registry.storage.database import Database
from tests.support.database.exports import QUIET, export, import_
from tests.support.database.full_registry import FullRegistry


def test_the_export_is_one_complete_private_file(on_sqlite: FullRegistry, tmp_path: Path) -> None:
    exported = export(on_sqlite.database, tmp_path / "exported")
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    names = {path.name for path in exported.parent.iterdir() if "exported" in path.name}
    assert names == {"exported"}
    # It is a registry of its own, and opens where nothing can be written.
    with sqlite3.connect(f"{exported.as_uri()}?mode=ro&immutable=1", uri=True) as connection:
        assert connection.execute("SELECT count(*) FROM access_tokens").fetchone() == (3,)


def test_the_export_contains_no_credential_text(on_sqlite: FullRegistry, exported: Path) -> None:
    assert on_sqlite.text[:21].encode() in exported.read_bytes()
    assert on_sqlite.text[21:].encode() not in exported.read_bytes()


def _flip(path: Path) -> None:
    """One bit of a grant's digest: the file stays a valid database."""
    with sqlite3.connect(path) as connection:
        record = bytearray(connection.execute("SELECT record FROM grants").fetchone()[0])
        record[40] ^= 1
        connection.execute(
            "UPDATE grants SET record = ? WHERE id = (SELECT min(id) FROM grants)", (bytes(record),)
        )
    connection.close()


def _sql(statement: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return run


def _pages(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(3, size // 4096):
            file.seek(page * 4096 + 8)
            file.write(b"\xff" * 64)


def _in_place_of(table: str, *statements: str) -> Callable[[Path], None]:
    """Another object under a table's name."""

    def replace(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(f"DROP TABLE {table}")
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return replace


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT"


def _endless_pages(path: Path) -> None:
    """A page of a table that refers to itself."""
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO sign_in_failures (key, at) VALUES (?, 1)", [("x" * 900,)] * 200
        )
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sign_in_failures'"
        ).fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096 + 8)
        file.write(root.to_bytes(4))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_sql("INSERT INTO exported_tables VALUES ('nothing', 0, 'x')"), "is damaged"),
        (_sql("INSERT INTO exported_tables VALUES ('(SELECT 1 AS id)', 1, 'x')"), "is damaged"),
        (_sql("CREATE TABLE more (id INTEGER)"), "is damaged"),
        (_sql("ALTER TABLE users ADD COLUMN more TEXT"), "is damaged"),
        (_sql(f"CREATE VIEW more AS {ENDLESS} x FROM n"), "isn't an export, or it is damaged"),
        (
            _in_place_of("token_use", f"CREATE VIEW token_use AS {ENDLESS} x AS id FROM n"),
            "isn't an export, or it is damaged",
        ),
        (
            _in_place_of(
                "export", f"CREATE VIEW export AS {ENDLESS} 1 AS at, '' AS version FROM n"
            ),
            "isn't an export, or it is damaged",
        ),
        (
            _in_place_of(
                "alembic_version",
                f"CREATE VIEW alembic_version AS {ENDLESS} x AS version_num FROM n",
            ),
            "isn't an export, or it is damaged",
        ),
        (
            _sql("CREATE TRIGGER t AFTER DELETE ON users BEGIN DELETE FROM grants; END"),
            "isn't an export, or it is damaged",
        ),
        (
            _in_place_of("export", "CREATE VIRTUAL TABLE export USING fts5(at, version)"),
            "isn't an export, or it is damaged",
        ),
        (
            _in_place_of(
                "export",
                "CREATE TABLE export (at INTEGER, version TEXT AS (printf('%.*c', 900000000, '')))",
            ),
            "isn't an export, or it is damaged",
        ),
        (
            _in_place_of("export", "CREATE TABLE export (at INTEGER, version TEXT)"),
            "isn't an export, or it is damaged",
        ),
        (_sql("UPDATE export SET version = char(27) || '[2J'"), "is damaged"),
        (_sql("UPDATE exported_tables SET rows = 'x'"), "is damaged"),
        (_endless_pages, "is damaged"),
        (_flip, "is damaged"),
        (_pages, "isn't an export, or it is damaged|is damaged"),
        (_sql("DELETE FROM audit_events WHERE number = 1"), "is damaged"),
        (_sql("DROP TABLE token_use"), "is damaged"),
        (_sql("DELETE FROM exported_tables"), "is damaged"),
        (_sql("DROP TABLE export"), "isn't an export, or it is damaged"),
        (_sql("DELETE FROM exported_tables WHERE name = 'export'"), "is damaged"),
        (_sql("UPDATE export SET at = at + 1099511627776"), "is damaged"),
        (_sql("UPDATE export SET at = 9000000000000000000"), "is damaged"),
        (_sql("UPDATE export SET at = -1"), "is damaged"),
        (_sql("UPDATE export SET version = '99.0'"), "is damaged"),
        (_sql("PRAGMA application_id = 0"), "isn't an export: gatepass export writes them"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "isn't an export, or"),
        (lambda path: os.truncate(path, 0), "isn't an export"),
        (lambda path: path.write_text("Dear reader, " * 400), "isn't an export"),
        (lambda path: path.unlink(), "can't be read: No such file"),
        (lambda path: path.unlink() or path.mkdir(), "isn't an export"),
        (
            _sql("UPDATE alembic_version SET version_num = '9999'"),
            "written by a newer version .*0.1",
        ),
    ],
)
def test_an_invalid_export_is_refused_before_anything_is_written(
    exported: Path, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(exported)
    target = Database(f"sqlite:///{tmp_path / 'target.db'}")
    with pytest.raises(Misconfigured, match=said):
        import_(target, exported)
    assert not (tmp_path / "target.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_any_damaged_file_is_refused_with_one_line(
    exported: Path, tmp_path: Path, seed: int
) -> None:
    """Unless the damage changed nothing relevant."""
    good = exported.read_bytes()
    random = Random(seed)
    for _ in range(5):
        broken = bytearray(good)
        for _ in range(random.choice([1, 1, 4, 64])):
            broken[random.randrange(len(broken))] = random.randrange(256)
        path = tmp_path / "broken"
        path.write_bytes(broken)
        said = ""
        try:
            with export_file.opened(path, QUIET) as file:
                assert file.rows
        except Misconfigured as error:
            said = error.message
        assert "\n" not in said
