"""Fixtures: clients, feeds, and an installation that a file's tests share."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.networks import parse_network
from gatepass.node.node import open_node
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import create_schema
from gatepass.settings import Settings
from tests.support.apps.installation import CATALOGUE, Installation
from tests.support.database.postgresql import Cluster
from tests.support.feed.asgi_feed import Feed, Loop, OpenFeed


@pytest.fixture
def tolerant_of_clock_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test move the node's clock although a database server's stays."""
    monkeypatch.setattr("gatepass.verify.clock.TOLERANCE_MS", 10**12)
    monkeypatch.setattr("gatepass.node.node.TOLERANCE_MS", 10**12)


@pytest.fixture
def ada(installation: Installation) -> httpx.Client:
    """A client signed in as Ada."""
    return installation.signed_in()


@pytest.fixture
def loop() -> Iterator[Loop]:
    """An event loop for feeds."""
    with Loop() as loop:
        yield loop


@pytest.fixture
def open_feed(loop: Loop, any_installation: Installation) -> OpenFeed:
    """Opens feeds of an installation on each engine in turn."""
    key = any_installation.verifier_key()

    def open_(**options: Any) -> Feed:
        return Feed(loop, any_installation.app, options.pop("key", key), **options)

    return open_


@pytest.fixture(scope="module")
def postgresql_installation(
    postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation on PostgreSQL that the tests of a file share."""
    directory = tmp_path_factory.mktemp("installation")
    url = postgresql.create(f"installation_{secrets.token_hex(8)}")
    database = Database(url)
    create_schema(database)
    database.close()
    settings = Settings(
        data_dir=directory,
        database_url=url,
        trusted_proxies=(parse_network("127.0.0.0/8"),),
    )
    node = open_node(settings, parse_catalogue(CATALOGUE))
    node.start()
    yield Installation(node)
    node.stop()
