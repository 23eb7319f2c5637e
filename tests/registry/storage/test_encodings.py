"""PostgreSQL databases and environments that were set up otherwise than ours: text is UTF-8, or
it is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import Misconfigured
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies, users
from gatepass.registry.replication.postgresql_feed import DatabaseFeed
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import create_schema, migrate, require_utf8
from tests.support.database.pooler import Pooler
from tests.support.database.postgresql import Cluster

NOW = 1_800_000_000_000
# Beyond Latin-1, beyond the basic plane, and two spellings of one letter.
NAME = "Ελλάδα Złoty 🜲 é e\u0301 İıß"


def write_and_read(url: str) -> None:
    """A company, by the registry's connections, and by the follower's."""
    database = Database(url)
    try:
        with database.write(NOW) as change:
            made = companies.create(
                change, Actor.command_line(), catalogue=parse_catalogue(""), name=NAME
            )
            users.create(
                change,
                Actor.command_line(),
                company=made.id,
                email="ἀδά@acme.example",
                name=NAME,
                role="admin",
                password_hash="x",
                operator=False,
            )
        with database.read(NOW) as reading:
            found = companies.by_name(reading, NAME)
            assert found is not None
            assert found.name == NAME
    finally:
        database.close()
    feed = DatabaseFeed(url)
    try:
        assert feed.heartbeat()
        _, rows = feed.snapshot()
        assert list(rows)
    finally:
        feed.close()


Encoded = Callable[[str], str]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "SJIS", "WIN1252", "EUC_JP"])
@pytest.mark.parametrize("where", ["environment", "url", "options", "PGOPTIONS", "role", "service"])
def test_connections_use_utf_8_whatever_is_configured(
    postgresql: Cluster,
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    encoding: str,
    where: str,
) -> None:
    url = postgresql_url
    if where == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", encoding)
    elif where == "PGOPTIONS":
        monkeypatch.setenv("PGOPTIONS", f"-c client_encoding={encoding}")
    elif where == "url":
        url += f"?client_encoding={encoding}"
    elif where == "options":
        url += f"?options=-c%20client_encoding%3D{encoding}"
    elif where == "service":
        services = tmp_path / "pg_service.conf"
        services.write_text(f"[gatepass]\nclient_encoding={encoding}\n")
        monkeypatch.setenv("PGSERVICEFILE", str(services))
        url += "?service=gatepass"
    else:
        postgresql.execute(f"ALTER ROLE postgres SET client_encoding = '{encoding}'")
    try:
        write_and_read(url)
    finally:
        postgresql.execute("ALTER ROLE postgres RESET client_encoding")


def test_other_settings_of_a_database_have_no_effect(postgresql: Cluster) -> None:
    url = postgresql.create("set_otherwise")
    postgresql.set_unusual_defaults("set_otherwise")
    database = Database(url)
    create_schema(database)
    database.close()
    write_and_read(url)
    postgresql.drop("set_otherwise")


@pytest.mark.parametrize("where", ["environment", "database"])
def test_connections_through_a_pooler_use_utf_8(
    postgresql: Cluster, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """In transaction mode, other clients have left a server connection with another encoding."""
    import psycopg

    name = postgresql_url.rpartition("/")[2]
    with Pooler(postgresql, connections=1) as pooler:
        if where == "environment":
            monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
        else:
            postgresql.execute(f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'")
        try:
            url = pooler.url(name)
            with psycopg.connect(url, autocommit=True, client_encoding="LATIN1") as other:
                other.execute("SELECT 1")
                write_and_read(url)
                assert other.execute("SELECT 'é'").fetchone() == ("é",)
        finally:
            postgresql.execute(f"ALTER DATABASE {name} RESET client_encoding")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_a_database_of_another_encoding_is_refused(postgresql: Cluster, encoding: str) -> None:
    """With one line that says how to create one. It couldn't hold what people type, or wouldn't
    know what it holds."""
    name = f"encoded_{encoding.lower()}"
    url = postgresql.create(name, f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    database = Database(url)
    try:
        for ask in (require_utf8, create_schema, migrate):
            with pytest.raises(Misconfigured) as refusal:
                ask(database)
            message = refusal.value.message
            assert encoding in message
            assert message.isprintable()
            assert "ENCODING 'UTF8'" in message
    finally:
        database.close()
        postgresql.drop(name)


def test_the_suggested_command_creates_an_accepted_database(postgresql: Cluster) -> None:
    """The command in the error message creates a database that is accepted."""
    latin = Database(postgresql.create("advised_latin1", "ENCODING 'LATIN1' LOCALE 'C'"))
    with pytest.raises(Misconfigured) as refusal:
        require_utf8(latin)
    latin.close()
    statement = refusal.value.message[refusal.value.message.index("CREATE DATABASE") :]
    postgresql.execute(statement.replace(" NAME ", " advised_utf8 "))
    database = Database(postgresql.url("advised_utf8"))
    require_utf8(database)
    create_schema(database)
    database.close()


def test_sqlite_always_uses_utf_8(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    require_utf8(database)
    database.close()
