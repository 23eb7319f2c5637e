"""A grant file, and a verifier on it, opened as an application would."""

from pathlib import Path

import pytest

from gatepass.embed import open_verifier
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_file_fixture import Issued, new_grant_file


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return new_grant_file(tmp_path / "gatepass.db")


@pytest.fixture
def verifier(issued: Issued) -> Verifier:
    return open_verifier(issued.path)
