"""Fixtures: visitors of an installation's pages, with and without a sign-in."""

import pytest

from gatepass.core.errors import Busy
from gatepass.registry.directory.users import User
from gatepass.web.hashing_pool import HashingQueue
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit


@pytest.fixture
def stranger(installation: Installation) -> Visit:
    """A visitor who isn't signed in."""
    return Visit(installation.client())


@pytest.fixture
def ada(installation: Installation) -> Visit:
    """An Admin, signed in at the form."""
    return Visit.signed_in(installation.client())


@pytest.fixture
def rita(installation: Installation) -> Visit:
    """A signed-in user of the same company with the role Reporting."""
    installation.new_user("rita@example.com", "Rita Reporting", role="reporting")
    return Visit.signed_in(installation.client(), "rita@example.com")


@pytest.fixture
def admin(installation: Installation) -> Visit:
    """A signed-in Admin who isn't an operator."""
    installation.new_user("cleo@example.com", "Cleo Admin")
    return Visit.signed_in(installation.client(), "cleo@example.com")


@pytest.fixture
def bob(installation: Installation) -> User:
    """A Manager of the same company, who isn't signed in."""
    return installation.new_user("bob@example.com", "Bob Manager", role="manager")


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch, ada: Visit) -> None:
    """Ada is signed in; from now on the hashing queue is full."""

    def full(*_: object) -> None:
        raise Busy

    monkeypatch.setattr(HashingQueue, "submit", full)
