"""The pytest plugin of Gatepass: the fixture ``gatepass_verifier``.

A module of its own, which pytest loads in every run: it imports ``gatepass`` only for a test that
asks for the fixture.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gatepass.testing import FakeVerifier


@pytest.fixture
def gatepass_verifier() -> "FakeVerifier":
    """A verifier of this test's own, without a server: ``gatepass.testing.FakeVerifier``."""
    from gatepass.testing import FakeVerifier

    return FakeVerifier()
