"""Databases for tests: the same tests run on SQLite and on PostgreSQL."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.registry.database import Database
from gatepass.registry.schema import create_schema
from postgresql import Cluster

_TEMPLATE = "gatepass_template"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A cluster with a database ``gatepass_template`` that has the schema."""
    with Cluster() as cluster:
        database = Database(cluster.create(_TEMPLATE))
        create_schema(database)
        database.close()
        yield cluster


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that has the schema; tests copy it."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    create_schema(database)
    database.close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh SQLite registry."""
    path = tmp_path / "gatepass.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgresql: Cluster) -> Iterator[str]:
    """A fresh PostgreSQL registry."""
    name = f"test_{uuid.uuid4().hex}"
    yield postgresql.create(name, template=_TEMPLATE)
    postgresql.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh registry on each engine in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh registry's database on each engine in turn."""
    database = Database(database_url)
    yield database
    database.close()
