"""Pytest markers for what a test needs besides Python, and the check that none is missing.

Collection adds the markers that follow from fixtures and directories; other tests are marked by
hand. Code that starts a server or a browser calls :func:`require`, which fails a test without the
marker.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Marker: its meaning.
MARKERS = {
    "browser": "drives the system's Chromium",
    "nginx": "drives the system's nginx, or another gateway",
    "node": "runs what tests/tools/install.py installs on Node.js",
    "postgresql": "starts PostgreSQL servers, or pgbouncer in front of one",
    "processes": "starts servers or commands as processes of their own",
    "installation": "opens a whole installation: registry, node, REST API and pages",
    "slow": "takes long: builds, generated requests, experiments",
}
#: Fixture: the marker of the tests that use it.
_BY_FIXTURE = {
    "browser": "browser",
    "main_port": "processes",
    "open_installation": "installation",
    "postgresql": "postgresql",
    "verify_port": "processes",
}
#: Parameter with which a fixture selects another: the marker of the tests that have it.
_BY_PARAMETER = {
    "main port": "processes",
    "postgresql": "postgresql",
    "postgresql with unusual defaults": "postgresql",
    "verify port": "processes",
}
#: Directory below tests/: the marker of its tests.
_BY_DIRECTORY = {"clients": "node", "e2e": "processes", "faults": "slow", "packaging": "slow"}
_TESTS = Path(__file__).parents[1]

_declared: frozenset[str] | None = None


def mark(item: pytest.Item) -> None:
    """Add the markers that follow from a test's directory, fixtures and parameters."""
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    found = {_BY_DIRECTORY.get(item.path.relative_to(_TESTS).parts[0])}
    found |= {_BY_FIXTURE.get(fixture) for fixture in item.fixturenames}
    found |= {_BY_PARAMETER.get(value) for value in parameters if isinstance(value, str)}
    for marker in sorted(filter(None, found)):
        item.add_marker(marker)


@contextmanager
def declared_by(item: pytest.Item) -> Iterator[None]:
    """Within the block, ``require`` accepts only the markers of *item*."""
    global _declared
    _declared = frozenset(each.name for each in item.iter_markers())
    try:
        yield
    finally:
        _declared = None


def require(marker: str) -> None:
    """Fail the running test unless it has *marker*; outside of tests, do nothing."""
    if _declared is not None and marker not in _declared:
        pytest.fail(f"needs @pytest.mark.{marker}: {MARKERS[marker]}")
