"""The experiments of ``make faults`` with small numbers: same code, same promises."""

import importlib
from pathlib import Path

import pytest
from faults.__main__ import REGISTERED_BY
from faults.experiments import Finding, Lab, experiments

for module in REGISTERED_BY:
    importlib.import_module(f"faults.{module}")


@pytest.mark.parametrize("name", experiments())
def test_what_is_promised_is_so_under_faults(name: str, tmp_path: Path) -> None:
    found = list(experiments()[name].run(Lab(tmp_path, short=True, say=print)))
    assert found
    assert [each for each in found if isinstance(each, Finding) and each.met is False] == []
