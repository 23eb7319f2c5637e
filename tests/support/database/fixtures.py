"""Fixtures: databases, so that the same tests run on SQLite and on PostgreSQL."""

import secrets
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine

from gatepass.registry.storage import engines
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import create_schema
from tests.support.database.postgresql import Cluster
from tests.support.database.small_registry import SmallRegistry

_Connection = psycopg.Connection[Any]

_REGISTRY = "gatepass_test"
_SHARED = "gatepass_shared"
_KEPT = "kept"
_WITHOUT_TRIGGERS = sql.SQL("SET LOCAL session_replication_role = replica")
_IDLE_LIMIT = "SET LOCAL idle_in_transaction_session_timeout = '2s'; "
_BEGIN = engines._begin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the PostgreSQL servers logged beside a failure that may be theirs."""
    report = yield
    if report.failed:
        report.sections += [("PostgreSQL's log", each.log()) for each in Cluster.running]
    return report


@pytest.fixture(autouse=True, scope="session")
def shared_compilations() -> Iterator[None]:
    """The engines of a kind share a dialect: each statement is compiled once for all tests."""
    first: dict[str, Engine] = {}

    def create(url: str, **options: Any) -> Engine:
        engine = create_engine(url, **options)
        shared = first.setdefault(url, engine)
        engine.dialect = engine.pool._dialect = shared.dialect
        engine._compiled_cache = shared._compiled_cache
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "create_engine", create)
        yield


@pytest.fixture(autouse=True)
def long_idle_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL waits long for a test within a transaction: a busy machine may stop it for two
    seconds."""
    monkeypatch.setattr(engines, "_begin", _begin_without_limit)


@pytest.fixture
def idle_limit(long_idle_limit: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases opened after this have the product's limit. A test whose registry needn't have it
    names this fixture last."""
    monkeypatch.setattr(engines, "_begin", _BEGIN)


def _begin_without_limit(connection: Connection) -> None:
    begin: str = connection.get_execution_options().get("gatepass_begin", "BEGIN")
    connection.exec_driver_sql(begin.replace(_IDLE_LIMIT, ""))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A cluster with a database that has the schema."""
    with Cluster() as cluster:
        database = Database(cluster.create(_REGISTRY))
        create_schema(database)
        database.close()
        yield cluster


@pytest.fixture(scope="session")
def postgresql_connection(postgresql: Cluster) -> Iterator[_Connection]:
    """Prepares the registry for each test: a connection for each would take longer than that."""
    with psycopg.connect(postgresql.url(_REGISTRY)) as connection:
        yield connection


@pytest.fixture
def postgresql_url(postgresql: Cluster, postgresql_connection: _Connection) -> str:
    """An empty PostgreSQL registry: always the same database, which is faster than new ones."""
    _empty(postgresql_connection)
    return postgresql.url(_REGISTRY)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema; tests copy it."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    create_schema(database)
    database.close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A new SQLite registry."""
    path = tmp_path / "gatepass.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A new registry on each engine in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A new registry's database on each engine in turn."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def created_on_sqlite(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> SmallRegistry:
    """Two companies in a SQLite file; tests copy it."""
    path = tmp_path_factory.mktemp("registry") / "gatepass.db"
    shutil.copy(sqlite_template, path)
    registry = SmallRegistry(Database(f"sqlite:///{path}"))
    registry.database.close()
    return registry


@pytest.fixture(scope="session")
def created_on_postgresql(postgresql: Cluster, postgresql_connection: _Connection) -> SmallRegistry:
    """The same on PostgreSQL, with its rows in a schema of their own; tests copy them."""
    _empty(postgresql_connection)
    registry = SmallRegistry(Database(postgresql.url(_REGISTRY)))
    registry.database.close()
    _keep_rows(postgresql_connection)
    _empty(postgresql_connection)
    return registry


@pytest.fixture
def registry(request: pytest.FixtureRequest, database: Database) -> SmallRegistry:
    """Two companies, an administrator each, on each engine in turn."""
    like: SmallRegistry
    if database.path is None:
        like = request.getfixturevalue("created_on_postgresql")
        _copy_kept_rows(request.getfixturevalue("postgresql_connection"))
    else:
        like = request.getfixturevalue("created_on_sqlite")
        shutil.copy(like.database.path or "", database.path)
    return SmallRegistry(database, like)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_registry(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SmallRegistry]:
    """A registry for tests that read what one fixture of their module wrote; on each engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "_begin", _begin_without_limit)
        if request.param == "postgresql":
            cluster: Cluster = request.getfixturevalue("postgresql")
            database = Database(cluster.create(_SHARED))
            create_schema(database)
        else:
            path = tmp_path_factory.mktemp("shared") / "gatepass.db"
            shutil.copy(sqlite_template, path)
            database = Database(f"sqlite:///{path}")
        yield SmallRegistry(database)
        database.close()
        if request.param == "postgresql":
            cluster.drop(_SHARED)


def empty_postgresql(url: str) -> None:
    """Empty the registry at *url*: the schema stays, and a new history begins."""
    with psycopg.connect(url) as connection:
        _empty(connection)


def _empty(connection: _Connection) -> None:
    with connection.transaction():
        # Connections that an earlier test left open.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        tables = _tables(connection, "public")
        tag = sql.Literal(secrets.token_hex(8))
        connection.execute(
            sql.SQL(";").join(
                [
                    _WITHOUT_TRIGGERS,
                    # TRUNCATE creates new files, which is slower for small tables.
                    *(
                        sql.SQL(
                            "TRUNCATE {} CASCADE" if size > 1_000_000 else "DELETE FROM {}"
                        ).format(sql.Identifier(name))
                        for name, size in tables
                    ),
                    sql.SQL("INSERT INTO revision VALUES (1, 0, {})").format(tag),
                    sql.SQL("INSERT INTO revisions VALUES (0, {}, 0)").format(tag),
                ]
            )
        )


def _keep_rows(connection: _Connection) -> None:
    """Keep the registry's rows in a schema of their own."""
    copied = sql.SQL("CREATE TABLE {} AS SELECT * FROM {}")
    with connection.transaction():
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(_KEPT)))
        for name, _ in _tables(connection, "public"):
            kept = sql.Identifier(_KEPT, name)
            connection.execute(copied.format(kept, sql.Identifier("public", name)))


def _copy_kept_rows(connection: _Connection) -> None:
    """Fill the empty registry with them."""
    copied = sql.SQL("INSERT INTO {} SELECT * FROM {}")
    with connection.transaction():
        connection.execute(
            sql.SQL(";").join(
                [
                    _WITHOUT_TRIGGERS,
                    sql.SQL("DELETE FROM revision; DELETE FROM revisions"),
                    *(
                        copied.format(sql.Identifier("public", name), sql.Identifier(_KEPT, name))
                        for name, _ in _tables(connection, _KEPT)
                    ),
                ]
            )
        )


def _tables(connection: _Connection, schema: str) -> list[tuple[str, int]]:
    """The tables that ever had a row, with their sizes."""
    return connection.execute(
        "SELECT relname, pg_relation_size(oid) AS size FROM pg_class WHERE relkind = 'r' "
        "AND relnamespace = %s::regnamespace AND relname <> 'alembic_version' "
        "AND pg_relation_size(oid) > 0",
        (schema,),
    ).fetchall()
