"""Commands on PostgreSQL databases with unusable settings."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gatepass.registry.storage import schema
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import create_schema
from tests.cli.conftest import PASSWORD, Gatepass, Said
from tests.support.database.postgresql import Cluster

INIT = ("init", "--company", "Zażółć", "--email", "ada@acme.example", "--password-stdin")


@pytest.fixture
def created(postgresql: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Creates a database for the commands; its URL."""
    made: list[str] = []

    def create(options: str = "") -> str:
        made.append(f"gatepass_cli_{len(made)}")
        url = postgresql.create(made[-1], options)
        monkeypatch.setenv("GATEPASS_DATABASE_URL", url)
        return url

    yield create
    for name in made:
        postgresql.drop(name)


def refused(said: Said) -> str:
    assert said.code == 1
    assert said.out == ""
    [line] = said.err.splitlines()
    assert line.startswith("gatepass: ")
    return line


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_is_not_utf_8_is_refused(
    created: Callable[..., str],
    gatepass: Gatepass,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoding: str,
) -> None:
    """One line names the remedy. An installation of an earlier version can still be exported."""
    options = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    export = str(tmp_path / "export")
    url = created(options)
    for arguments in (INIT, ("import", export)):
        assert encoding in refused(gatepass(*arguments, stdin=PASSWORD))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "require_utf8", lambda database: None)
        database = Database(url)
        create_schema(database)
        database.close()
    assert gatepass("export", export).code == 0
    for arguments in (INIT, ("migrate",), ("serve",), ("import", export), ("restore", export)):
        line = refused(gatepass(*arguments, stdin=PASSWORD))
        assert f"encoding is {encoding} and must be UTF8" in line
        assert "CREATE DATABASE" in line
    assert gatepass("token", "list", "--json").code == 0
    created()
    assert gatepass("import", export).code == 0


def test_a_role_without_create_privilege_is_reported(
    postgresql: Cluster,
    created: Callable[..., str],
    gatepass: Gatepass,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Since PostgreSQL 15 only its owner can create tables in the schema "public"."""
    url = created()
    postgresql.execute("CREATE ROLE nobody_much LOGIN")
    try:
        theirs = url.replace("postgres@", "nobody_much@")
        monkeypatch.setenv("GATEPASS_DATABASE_URL", theirs)
        line = refused(gatepass(*INIT, stdin=PASSWORD))
        assert "permission denied for schema public" in line
        # A role that can read but not write.
        monkeypatch.setenv("GATEPASS_DATABASE_URL", url)
        assert gatepass(*INIT, stdin=PASSWORD).code == 0
        monkeypatch.setenv("GATEPASS_DATABASE_URL", theirs)
        for arguments in (("token", "list"), ("serve",), ("migrate",), INIT):
            assert "permission denied" in refused(gatepass(*arguments, stdin=PASSWORD))
    finally:
        name = url.rpartition("/")[2]
        postgresql.execute("DROP OWNED BY nobody_much", name)
        postgresql.execute("DROP ROLE nobody_much")


@pytest.mark.parametrize(
    "parameter",
    [
        "connect_timeout=abc",
        "connect_timeout=",
        "nonsense=1",
        "sslmode=x",
        "port=x",
        "keepalives=x",
    ],
)
def test_an_invalid_parameter_of_the_url_is_one_line(
    created: Callable[..., str],
    gatepass: Gatepass,
    monkeypatch: pytest.MonkeyPatch,
    parameter: str,
) -> None:
    url = created().replace("postgres@", "postgres:hunter2secret@")
    monkeypatch.setenv("GATEPASS_DATABASE_URL", f"{url}?{parameter}")
    line = refused(gatepass("token", "list"))
    assert "GATEPASS_DATABASE_URL" in line or "database" in line
    assert "hunter2secret" not in line


@pytest.mark.parametrize("setting", ["search_path=", "search_path=nowhere", "statement_timeout=1"])
def test_a_refused_connection_is_one_line(
    created: Callable[..., str], gatepass: Gatepass, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    option = f"-c {setting}".replace(" ", "%20").replace("=", "%3D")
    monkeypatch.setenv("GATEPASS_DATABASE_URL", f"{created()}?options={option}")
    line = refused(gatepass(*INIT, stdin=PASSWORD))
    assert "unexpected error" not in line
