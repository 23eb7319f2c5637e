"""Installations on SQLite, or on both engines in turn."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from feeding import Feed, Loop, OpenFeed
from gatepass.core.catalogue import parse_catalogue
from gatepass.core.networks import parse_network
from gatepass.node.node import Node, open_node
from gatepass.settings import Settings
from installation import CATALOGUE, Installation

Open = Callable[..., Installation]


@pytest.fixture
def open_installation(tmp_path: Path) -> Iterator[Open]:
    """Opens installations, with settings of one's own where wanted."""
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
def time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node's time is moved by hand, and a database server's isn't: both have to bear it."""
    monkeypatch.setattr("gatepass.verify.clock.TOLERANCE_MS", 10**12)
    monkeypatch.setattr("gatepass.node.node.TOLERANCE_MS", 10**12)


@pytest.fixture
def installation(open_installation: Open, sqlite_url: str) -> Installation:
    """A fresh one on SQLite."""
    return open_installation(sqlite_url)


@pytest.fixture
def any_installation(open_installation: Open, database_url: str) -> Installation:
    """A fresh one on each engine in turn."""
    return open_installation(database_url)


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
