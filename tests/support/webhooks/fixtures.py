"""Fixtures: certificates, and a receiver of webhooks."""

from collections.abc import Iterator

import pytest

from tests.support.webhooks.certificates import Certificates, make_certificates
from tests.support.webhooks.receiver import Receiver


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority of our own, and a server's certificate."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def receiver(certificates: Certificates) -> Iterator[Receiver]:
    """A receiver on loopback."""
    with Receiver(certificates) as receiver:
        yield receiver
