"""A grant file and two clocks for each test."""

import pytest

from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import Clocks, Samples


@pytest.fixture
def verifier(samples: Samples, clocks: Clocks) -> Verifier:
    """A verifier as another process than the writer would have it."""
    return samples.verifier(clocks.clock())
