"""Installations on SQLite, and people who look at their pages."""

import pytest

from gatepass.core.errors import Busy
from gatepass.web.hashing_pool import HashingQueue
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit


@pytest.fixture
def stranger(installation: Installation) -> Visit:
    """Somebody who isn't signed in."""
    return Visit(installation.client())


@pytest.fixture
def ada(installation: Installation) -> Visit:
    """An Admin, signed in at the form."""
    visit = Visit(installation.client())
    visit.sign_in()
    return visit


@pytest.fixture
def rita(installation: Installation) -> Visit:
    """Somebody of the same company with the role Reporting."""
    installation.new_user("rita@example.com", "Rita Reporting", role="reporting")
    visit = Visit(installation.client())
    visit.sign_in("rita@example.com")
    return visit


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch, ada: Visit) -> None:
    """Ada is signed in; from now on too many people wait for their passwords to be hashed."""

    def full(*_: object) -> None:
        raise Busy

    monkeypatch.setattr(HashingQueue, "submit", full)
