"""Fixtures: an installation in the test's directory, and the ``gatepass`` command on it."""

import io
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


@dataclass(frozen=True)
class Said:
    """The output of a command, and its exit code."""

    code: int
    out: str
    err: str


Gatepass = Callable[..., Said]


@pytest.fixture
def gatepass(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Gatepass:
    """Runs ``gatepass`` with the given arguments in this process."""
    for name in ("CATALOGUE", "DATABASE_URL", "PORT", "VERIFY_PORT"):
        monkeypatch.delenv(f"GATEPASS_{name}", raising=False)
    monkeypatch.setenv("GATEPASS_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str, stdin: str = "") -> Said:
        monkeypatch.setattr(sys, "argv", ["gatepass", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
        code = main()
        said = Said(code, *capfd.readouterr())
        assert "Traceback" not in said.err
        return said

    return run


@pytest.fixture
def installed(gatepass: Gatepass) -> Gatepass:
    """The same after ``gatepass init``."""
    said = gatepass(
        *("init", "--company", "Acme", "--email", "ada@acme.example", "--password-stdin"),
        stdin=PASSWORD,
    )
    assert said.code == 0, said.err
    return gatepass


@contextmanager
def the_node() -> Iterator[Node]:
    """The installation's node, as its own processes open it."""
    with opened() as node:
        yield node
