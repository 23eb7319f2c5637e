"""An installation to call, and a directory to run clients in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import NODE_MODULES, PYTHON_TOOLS
from tests.support.processes.served_installation import ServedInstallation


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedInstallation]:
    with ServedInstallation(tmp_path / "installation") as served:
        yield served


@pytest.fixture(scope="module")
def shared_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedInstallation]:
    """One for all tests of a module, each of which makes what it needs."""
    with ServedInstallation(tmp_path_factory.mktemp("shared") / "installation") as served:
        yield served


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An empty directory with the pinned packages of npm."""
    if not (NODE_MODULES.exists() and PYTHON_TOOLS.exists()):
        pytest.fail("needs the generators: make tools-env")
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "node_modules").symlink_to(NODE_MODULES)
    return directory
