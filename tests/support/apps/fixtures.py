"""Fixtures: installations in this process, on SQLite or on each engine in turn."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.networks import parse_network
from gatepass.log_limit import LogLimit
from gatepass.node.node import Node, open_node
from gatepass.settings import Settings
from gatepass.web import unhandled
from tests.support.apps.installation import CATALOGUE, Installation, Open
from tests.support.weak_hashing import weaken


@pytest.fixture
def open_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens installations with given settings."""
    weaken(monkeypatch)
    opened: list[Node] = []

    def open_(database_url: str, **settings: Any) -> Installation:
        chosen = Settings(
            data_dir=tmp_path / "data",
            database_url=database_url,
            trusted_proxies=(parse_network("127.0.0.0/8"), parse_network("::1/128")),
        )
        node = open_node(replace(chosen, **settings), parse_catalogue(CATALOGUE))
        opened.append(node)
        if not node.settings.is_sqlite:
            node.start()
        return Installation(node)

    yield open_
    for node in opened:
        node.stop()


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """More settings; test files override this fixture."""
    return {}


@pytest.fixture
def installation(
    open_installation: Open, sqlite_url: str, more_settings: dict[str, Any]
) -> Installation:
    """A new installation on SQLite; ``installation.node.clock`` moves its clock."""
    return open_installation(sqlite_url, **more_settings)


@pytest.fixture
def any_installation(
    open_installation: Open, database_url: str, more_settings: dict[str, Any]
) -> Installation:
    """A new installation on each engine in turn."""
    return open_installation(database_url, **more_settings)


@pytest.fixture(autouse=True)
def unhandled_exceptions_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tests before logged within the last minute."""
    monkeypatch.setattr(unhandled, "_limit", LogLimit())
