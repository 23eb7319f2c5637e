"""Export and import: nothing is lost, on any pair of engines."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from gatepass.core.errors import Conflict, Misconfigured, Unavailable
from gatepass.registry.actor import Actor
from gatepass.registry.backup import export_file, export_import
from gatepass.registry.backup.contents import Contents, Progress
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.ended_log import EndedLog, Revocation
from gatepass.registry.storage.schema import schema_state
from gatepass.registry.tokens import access_tokens
from tests.support.database.full_registry import FullRegistry, measured
from tests.support.database.postgresql import Cluster
from tests.support.database.small_registry import NOW

QUIET = Progress()


@pytest.fixture
def registry(database: Database) -> FullRegistry:
    return FullRegistry(database)


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Iterator[FullRegistry]:
    database = Database(sqlite_url)
    yield FullRegistry(database)
    database.close()


@pytest.fixture
def exported(on_sqlite: FullRegistry, tmp_path: Path) -> Path:
    """An export of the registry on SQLite."""
    return export(on_sqlite.database, tmp_path / "exported")


@pytest.fixture(params=["sqlite", "postgresql", "postgresql with unusual defaults"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database on each engine in turn; once more on PostgreSQL with a database's own
    settings."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
        yield database
        database.close()
        return
    cluster: Cluster = request.getfixturevalue("postgresql")
    database = Database(cluster.create("import_target"))
    if request.param != "postgresql":
        cluster.set_unusual_defaults("import_target")
    yield database
    database.close()
    cluster.drop("import_target")


def export(database: Database, path: Path, progress: Progress = QUIET) -> Path:
    export_import.export(database, path, now=NOW, progress=progress)
    return path


def import_(database: Database, path: Path, progress: Progress = QUIET) -> Contents:
    log = EndedLog(path.with_name("ended.log"))
    with export_file.opened(path, progress) as file:
        return export_import.import_(database, file, log.read(), progress=progress)


def test_a_round_trip_through_either_engine_changes_nothing(
    registry: FullRegistry, empty: Database, tmp_path: Path
) -> None:
    before = measured(registry.database)
    assert [table for table, content in before.items() if not content.rows] == []
    import_(empty, export(registry.database, tmp_path / "there"))
    assert schema_state(empty) == "current"
    assert measured(empty) == before
    back = Database(f"sqlite:///{tmp_path / 'back.db'}")
    import_(back, export(empty, tmp_path / "back"))
    assert measured(back) == before
    back.close()
    assert measured(registry.database) == before


def test_an_imported_registry_continues_its_numbers(empty: Database, exported: Path) -> None:
    """Autoincrement numbers, too."""
    import_(empty, exported)
    with empty.read(NOW) as reading:
        number = reading.session.scalar(text("SELECT max(number) FROM audit_events"))
        token = reading.session.scalar(text("SELECT id FROM access_tokens"))
    assert token is not None
    with empty.write(NOW) as change:
        access_tokens.deactivate(change, Actor.command_line(), token)
    with empty.read(NOW) as reading:
        assert reading.session.scalar(text("SELECT max(number) FROM audit_events")) == number + 1


def test_the_export_is_one_complete_private_file(exported: Path) -> None:
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    names = {path.name for path in exported.parent.iterdir() if "exported" in path.name}
    assert names == {"exported"}
    # It is a registry of its own, and opens where nothing can be written.
    with sqlite3.connect(f"{exported.as_uri()}?mode=ro&immutable=1", uri=True) as connection:
        assert connection.execute("SELECT count(*) FROM access_tokens").fetchone() == (1,)


def test_the_export_contains_no_credential_text(on_sqlite: FullRegistry, exported: Path) -> None:
    assert on_sqlite.text[:21].encode() in exported.read_bytes()
    assert on_sqlite.text[21:].encode() not in exported.read_bytes()


def test_nothing_is_overwritten(registry: FullRegistry, tmp_path: Path) -> None:
    exported = export(registry.database, tmp_path / "exported")
    content = exported.read_bytes()
    with pytest.raises(Misconfigured, match="exists already"):
        export(registry.database, exported)
    assert exported.read_bytes() == content
    before = measured(registry.database)
    with pytest.raises(Conflict, match="isn't empty"):
        import_(registry.database, exported)
    assert measured(registry.database) == before


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    on_sqlite: FullRegistry, tmp_path: Path
) -> None:
    class Quicker(Progress):
        def begin(self, doing: str, rows: int) -> None:
            (tmp_path / "x").write_text("mine")

    with pytest.raises(Misconfigured, match="exists already"):
        export(on_sqlite.database, tmp_path / "x", Quicker())
    assert (tmp_path / "x").read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


def test_an_export_is_one_snapshot(registry: FullRegistry, tmp_path: Path) -> None:
    before = measured(registry.database)

    class Busy(Progress):
        def begin(self, doing: str, rows: int) -> None:
            registry.do(
                access_tokens.create,
                registry.signed,
                catalogue=registry.catalogue,
                label=doing,
                kind="api",
                permissions=["charges:get"],
            )

    found = export_import.export(registry.database, tmp_path / "x", now=NOW, progress=Busy())
    assert found == before
    assert measured(registry.database) != before


def test_an_unwritable_path_is_reported(on_sqlite: FullRegistry, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nowhere/x can't be written: No such file"):
        export(on_sqlite.database, tmp_path / "nowhere" / "x")


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


def test_an_export_with_an_older_schema_is_migrated(empty: Database, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.touch(mode=0o600)
    database = Database(f"sqlite:///{old}")
    with database.administrative_write() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "gatepass.registry.storage:migrations")
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO companies VALUES ('com_1', 'Acme', 'acme', 1, NULL, NULL, NULL)")
        )
    database.close()
    content = {
        table: export_file.contents.measured((batch for batch in rows), lambda rows: None)
        for table, rows in (_tables(old) | {"export": [[(5, "0.0.9")]]}).items()
    }
    with sqlite3.connect(old) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
        for statement in export_file._FACTS:
            raw.execute(statement)
        raw.execute("INSERT INTO export VALUES (5, '0.0.9')")
        raw.executemany(
            "INSERT INTO exported_tables VALUES (?, ?, ?)",
            [(table, one.rows, one.digest) for table, one in content.items()],
        )
        raw.execute(f"PRAGMA application_id = {export_file._APPLICATION_ID}")
    raw.close()
    before = old.read_bytes()
    import_(empty, old)
    assert schema_state(empty) == "current"
    with empty.read(NOW) as reading:
        assert reading.session.execute(
            text("SELECT name, second_factor_required FROM companies")
        ).one() == ("Acme", False)
    assert old.read_bytes() == before


def _tables(path: Path) -> dict[str, list[list[tuple[object, ...]]]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
            )
        ]
        found = {}
        for name in names:
            columns = sorted(row[1] for row in connection.execute(f"PRAGMA table_info({name})"))
            quoted = ", ".join(f'"{column}"' for column in columns)
            found[name] = [connection.execute(f"SELECT {quoted} FROM {name}").fetchall()]
    return found


def test_an_import_that_would_undo_revocations_is_refused(
    on_sqlite: FullRegistry, exported: Path, empty: Database
) -> None:
    """The error names gatepass restore."""
    log = EndedLog(exported.with_name("ended.log"))
    log.append([Revocation(NOW, "access_token", on_sqlite.made.id, 99)])
    with pytest.raises(Conflict, match="gatepass restore deactivates them"):
        import_(empty, exported)
    assert schema_state(empty) == "empty"


def test_revocations_that_the_export_has_are_accepted(
    on_sqlite: FullRegistry, empty: Database, tmp_path: Path
) -> None:
    log = EndedLog(tmp_path / "ended.log")
    database = Database(f"sqlite:///{on_sqlite.database.path}", revoked=log.append)
    with database.write(NOW) as change:
        access_tokens.deactivate(change, on_sqlite.signed, on_sqlite.made.id)
    import_(empty, export(database, tmp_path / "x"))
    assert len(list(log.read())) == 1


class Struck(Progress):
    """A failure after all is written, before it is verified."""

    def begin(self, doing: str, rows: int) -> None:
        if doing == "Checking":
            raise Unavailable("struck")


def test_a_failed_import_changes_nothing(empty: Database, exported: Path) -> None:
    with pytest.raises(Unavailable, match="struck"):
        import_(empty, exported, Struck())
    assert schema_state(empty) == "empty"
    import_(empty, exported)
    assert schema_state(empty) == "current"


_KILLED = """
import os, signal, sys
from pathlib import Path
from random import Random
from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.ended_log import EndedLog
from gatepass.registry.backup import export_file, export_import
from gatepass.registry.backup.contents import Progress
from gatepass.registry.backup.restore import restore

class Killed(Progress):
    def begin(self, doing, rows):
        if doing == "Checking":
            os.kill(os.getpid(), signal.SIGKILL)

what, url, path = sys.argv[1:]
database = Database(url)
log = EndedLog(Path(path).with_name("ended.log"))
if what == "export":
    export_import.export(database, Path(path), now=1_800_000_000_000, progress=Killed())
with export_file.opened(Path(path), Progress()) as file:
    if what == "import":
        export_import.import_(database, file, log.read(), progress=Killed())
    else:
        now, logs = 1_800_000_000_000, [log.read()]
        restore(database, file, logs, now=now, past_revision=0, progress=Killed())
"""


def killed(what: str, url: str, path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, what, url, path], timeout=60)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.processes
def test_a_killed_import_leaves_no_partial_contents(
    empty: Database, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url: str = request.getfixturevalue(f"{empty.dialect}_url")
    registry = FullRegistry(Database(url))
    killed("export", url, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    export(registry.database, tmp_path / "x")
    where = f"sqlite:///{empty.path}" if empty.path else url.rpartition("/")[0] + "/import_target"
    killed("import", where, tmp_path / "x")
    assert schema_state(empty) == "empty"
    registry.token(registry.signed)
    before = measured(registry.database)
    killed("restore", url, tmp_path / "x")
    assert measured(registry.database) == before
    registry.database.close()


@pytest.mark.parametrize("seed", range(8))
def test_any_damaged_file_is_refused_with_one_line(
    on_sqlite: FullRegistry, tmp_path: Path, seed: int
) -> None:
    """Unless the damage changed nothing relevant."""
    good = export(on_sqlite.database, tmp_path / "good").read_bytes()
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
