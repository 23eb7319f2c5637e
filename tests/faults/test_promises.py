"""docs/explanation/promises.md names only tests and experiments that exist."""

import ast
import importlib
import re
from pathlib import Path

from faults.__main__ import REGISTERED_BY
from faults.experiments import experiment

_ROOT = Path(__file__).parents[2]
_TEXT = (_ROOT / "docs/explanation/promises.md").read_text()


def test_every_test_named_exists() -> None:
    named = re.findall(r"`(tests/[^`]*)`", _TEXT)
    assert len(named) > 20
    for each in named:
        path, _, name = each.partition("::")
        functions = ast.parse((_ROOT / path).read_text()).body
        found = {node.name for node in functions if isinstance(node, ast.FunctionDef)}
        assert name in found, each


def test_every_experiment_is_named_and_exists() -> None:
    for module in REGISTERED_BY:
        importlib.import_module(f"faults.{module}")
    lines = re.findall(r"experiments? (`[a-z]+`(?: and `[a-z]+`)*)", _TEXT)
    named = {name for line in lines for name in re.findall("[a-z]+", line.replace("and", ""))}
    assert named == experiment.by_name().keys()


def test_every_sentence_is_proved() -> None:
    rows = [line for line in _TEXT.splitlines() if line.startswith("| ") and "---" not in line]
    for row in rows:
        if row != "| sentence | proved by |":
            assert re.search(r"experiment|`tests/", row), row
