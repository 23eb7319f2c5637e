"""A grant file, and a verifier on it, opened as an application would."""

import pytest

from gatepass.embed import open_verifier
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_file_fixture import Grants


@pytest.fixture
def verifier(grants: Grants) -> Verifier:
    return open_verifier(grants.path)
