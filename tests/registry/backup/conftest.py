"""Fixtures: a full registry on SQLite with its export, and empty databases."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from copy import copy
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from gatepass.registry.backup import export_file
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import state_of, upgrade
from tests.support.database.exports import export
from tests.support.database.full_registry import FullRegistry
from tests.support.database.postgresql import Cluster

#: The empty database on PostgreSQL.
IMPORT_TARGET = "import_target"


@pytest.fixture(scope="module", autouse=True)
def copied_schema(sqlite_template: Path) -> Iterator[None]:
    """New exports copy their schema, which takes less time than all migrations."""
    with closing(sqlite3.connect(sqlite_template)) as template:
        statements = list(template.iterdump())[1:-1]

    def create_or_migrate(connection: Connection) -> None:
        if state_of(connection) != "empty":
            upgrade(connection)
            return
        for statement in statements:
            connection.exec_driver_sql(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_file, "upgrade", create_or_migrate)
        yield


@pytest.fixture(scope="session")
def full_template(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> FullRegistry:
    """A full registry on SQLite, and an export beside it; tests copy both."""
    path = tmp_path_factory.mktemp("full") / "gatepass.db"
    shutil.copy(sqlite_template, path)
    registry = FullRegistry(Database(f"sqlite:///{path}"))
    export(registry.database, path.with_name("exported"))
    registry.database.close()
    return registry


@pytest.fixture
def sqlite_url(full_template: FullRegistry, tmp_path: Path) -> str:
    """A full registry on SQLite."""
    path = tmp_path / "gatepass.db"
    shutil.copy(full_template.database.path or "", path)
    return f"sqlite:///{path}"


@pytest.fixture
def full(full_template: FullRegistry) -> Callable[[Database], FullRegistry]:
    """Fills a new database; that of ``sqlite_url`` is full already."""

    def fill(database: Database) -> FullRegistry:
        if database.dialect != "sqlite":
            return FullRegistry(database)
        registry = copy(full_template)
        registry.database = database
        return registry

    return fill


@pytest.fixture
def registry(database: Database, full: Callable[[Database], FullRegistry]) -> FullRegistry:
    """A full registry on each engine in turn."""
    return full(database)


@pytest.fixture
def on_sqlite(sqlite_url: str, full: Callable[[Database], FullRegistry]) -> Iterator[FullRegistry]:
    """A full registry on SQLite."""
    registry = full(Database(sqlite_url))
    yield registry
    registry.database.close()


@pytest.fixture
def exported(full_template: FullRegistry, tmp_path: Path) -> Path:
    """An export of the registry on SQLite."""
    template = Path(full_template.database.path or "").with_name("exported")
    return Path(shutil.copy(template, tmp_path / "exported"))


@pytest.fixture
def new_database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[str], Database]]:
    """Creates an empty database on an engine, which may be PostgreSQL with unusual defaults."""
    with ExitStack() as made:

        def create(engine: str) -> Database:
            if engine == "sqlite":
                url = f"sqlite:///{tmp_path / 'empty.db'}"
            else:
                cluster: Cluster = request.getfixturevalue("postgresql")
                url = cluster.create(IMPORT_TARGET)
                made.callback(cluster.drop, IMPORT_TARGET)
                if engine != "postgresql":
                    cluster.set_unusual_defaults(IMPORT_TARGET)
            database = Database(url)
            made.callback(database.close)
            return database

        yield create
