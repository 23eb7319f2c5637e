"""The experiments of ``make faults`` with small numbers: same code, same promises."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.__main__ import REGISTERED_BY
from faults.experiments import Finding, Lab, experiments
from tests.support.database.postgresql import Cluster

for module in REGISTERED_BY:
    importlib.import_module(f"faults.{module}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of their own, that they stop, freeze and start again."""
    with Cluster() as cluster:
        yield cluster


#: What it finds is a matter of time alone, which a short run beside others doesn't judge.
NOT_HERE = {"crowds"}


@pytest.mark.parametrize("name", sorted(experiments().keys() - NOT_HERE))
def test_what_is_promised_is_so_under_faults(name: str, tmp_path: Path, cluster: Cluster) -> None:
    lab = Lab(tmp_path, short=True, say=print, shared=cluster)
    found = list(experiments()[name].run(lab))
    assert found
    assert [each for each in found if isinstance(each, Finding) and each.met is False] == []
