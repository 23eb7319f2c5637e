"""The experiments of ``make faults`` with small numbers: same code, same promises."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.__main__ import REGISTERED_BY
from faults.experiments import Finding, Lab, experiment
from tests.support.database.postgresql import Cluster

pytestmark = [pytest.mark.postgresql, pytest.mark.processes]

for module in REGISTERED_BY:
    importlib.import_module(f"faults.{module}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL that the experiments share; they stop, freeze and restart it."""
    with Cluster() as cluster:
        yield cluster


#: Its findings are all latencies, which say nothing while other tests run.
LATENCY_ONLY = {"crowds"}
#: They wait for leases and retries, most of a minute; tests/node/test_webhooks.py and
#: tests/registry/notifications/test_expiry_warnings.py move the clock.
WAITING = {"webhooks", "warnings"}
#: Its operations are transactions like any other; tests/registry/tokens/test_self_rotation.py has
#: the rules.
LIKE_OTHERS = {"rotation"}
#: A second is short while other tests run; tests/embed/test_ended_connections.py ends answers of
#: real servers.
STREAMING = {"streams"}


@pytest.mark.parametrize(
    "name", sorted(experiment.by_name().keys() - LATENCY_ONLY - WAITING - LIKE_OTHERS - STREAMING)
)
def test_the_promises_hold_under_faults(name: str, tmp_path: Path, cluster: Cluster) -> None:
    lab = Lab(tmp_path, short=True, say=print, shared=cluster)
    found = list(experiment.by_name()[name].run(lab))
    assert found
    findings = [each for each in found if isinstance(each, Finding)]
    assert [each for each in findings if each.met is False and not each.only_slow] == []
