"""Fixture: a mail server for each test."""

from collections.abc import Iterator

import pytest

from tests.support.mail.mailbox import Mailbox


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as server:
        yield server
