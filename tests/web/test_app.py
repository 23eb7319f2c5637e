"""The main port's application as an object."""

import gc
import weakref
from pathlib import Path

from gatepass.core.catalogue import parse_catalogue
from gatepass.node.node import open_node
from gatepass.settings import Settings
from gatepass.web.app import create_app
from tests.support.apps.installation import CATALOGUE


def test_nothing_keeps_a_node_whose_application_is_gone(tmp_path: Path, sqlite_url: str) -> None:
    """With it, its file's connections would stay open."""
    settings = Settings(data_dir=tmp_path, database_url=sqlite_url)
    node = open_node(settings, parse_catalogue(CATALOGUE))
    create_app(node)
    node.stop()
    kept = weakref.ref(node)
    del node
    gc.collect()
    assert kept() is None
