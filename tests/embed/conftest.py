"""A grant file, and a verifier on it, opened as an application would."""

import pytest

from gatepass.embed import open_verifier
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_file_fixture import GrantFileFixture


@pytest.fixture
def verifier(grant_file: GrantFileFixture) -> Verifier:
    return open_verifier(grant_file.path)
