"""Installations on SQLite, and people who look at their pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.networks import parse_network
from gatepass.node.node import open_node
from gatepass.settings import Settings
from tests.support.apps.installation import CATALOGUE, Installation
from tests.support.browser.page_reader import Visit


@pytest.fixture
def installation(sqlite_url: str, tmp_path: Path) -> Iterator[Installation]:
    """A fresh one; its clock can be moved by ``installation.node.clock``."""
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=sqlite_url,
        trusted_proxies=(parse_network("127.0.0.0/8"),),
    )
    node = open_node(settings, parse_catalogue(CATALOGUE))
    yield Installation(node)
    node.stop()


@pytest.fixture
def stranger(installation: Installation) -> Visit:
    """Somebody who isn't signed in."""
    return Visit(installation.client())


@pytest.fixture
def ada(installation: Installation) -> Visit:
    """An Admin, signed in at the form."""
    visit = Visit(installation.client())
    visit.sign_in()
    return visit


@pytest.fixture
def rita(installation: Installation) -> Visit:
    """Somebody of the same company with the role Reporting."""
    installation.new_user("rita@example.com", "Rita Reporting", role="reporting")
    visit = Visit(installation.client())
    visit.sign_in("rita@example.com")
    return visit
