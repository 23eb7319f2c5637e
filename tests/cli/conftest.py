"""Fixtures: an installation in the test's directory, and the ``gatepass`` command on it."""

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gatepass.cli import main
from gatepass.cli.installation import opened
from gatepass.node.node import Node
from tests.support.apps.installation import PASSWORD
from tests.support.weak_hashing import weaken


@dataclass(frozen=True)
class Said:
    """The output of a command, and its exit code."""

    code: int
    out: str
    err: str


Gatepass = Callable[..., Said]
INIT = ("init", "--company", "Acme", "--email", "ada@acme.example", "--password-stdin")


def prepare(patch: pytest.MonkeyPatch, data: Path) -> None:
    """Set the data directory, and no other setting; hash passwords cheaply."""
    for name in ("CATALOGUE", "DATABASE_URL", "PORT", "VERIFY_PORT"):
        patch.delenv(f"GATEPASS_{name}", raising=False)
    patch.setenv("GATEPASS_DATA_DIR", str(data))
    weaken(patch)


def command(patch: pytest.MonkeyPatch, *arguments: str, stdin: str = "") -> int:
    """Run ``gatepass`` in this process; the exit code."""
    patch.setattr(sys, "argv", ["gatepass", *arguments])
    patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
    return main()


@pytest.fixture
def gatepass(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Gatepass:
    """Runs ``gatepass`` with the given arguments in this process."""
    prepare(monkeypatch, tmp_path / "data")

    def run(*arguments: str, stdin: str = "") -> Said:
        code = command(monkeypatch, *arguments, stdin=stdin)
        said = Said(code, *capfd.readouterr())
        assert "Traceback" not in said.err
        return said

    return run


@pytest.fixture(scope="session")
def initialized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory after ``gatepass init``; tests copy it."""
    data = tmp_path_factory.mktemp("init") / "data"
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch, data)
        assert command(patch, *INIT, stdin=PASSWORD) == 0
    return data


@pytest.fixture
def installed(gatepass: Gatepass, initialized: Path, tmp_path: Path) -> Gatepass:
    """The same after ``gatepass init``."""
    shutil.copytree(initialized, tmp_path / "data")
    return gatepass


@contextmanager
def the_node() -> Iterator[Node]:
    """The installation's node, as its own processes open it."""
    with opened() as node:
        yield node
