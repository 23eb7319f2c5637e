"""Use is reported once, whichever process reports it."""

from pathlib import Path

import pytest

from gatepass.verify.replica import reporting
from tests.support.feed.following import Follow
from tests.support.feed.scripted_feed import Connection, ScriptedFeed
from tests.support.grants.grant_fixtures import Samples
from tests.support.waiting import until

pytestmark = pytest.mark.slow

SPOOL = "1-00000000000000ff"
LINE = b'{"tokens":{},"decisions":{"allowed":1}}\n'


@pytest.fixture
def use(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of spools, which are reported ten times a second."""
    monkeypatch.setattr(reporting, "USE_SECONDS", 0.1)
    path = directory / "followed.db-use"
    path.mkdir(parents=True, mode=0o700)
    return path


def test_use_is_counted_once_and_its_spool_removed(
    samples: Samples, feed: ScriptedFeed, follow: Follow, use: Path
) -> None:
    verifier = follow()
    for _ in range(5):
        verifier.check(samples.texts["good"], permission="charges:get", address="203.0.113.9")
    verifier.close()
    later = follow()
    token = samples.grants["good"].id
    until(lambda: [said for what, said in feed.told if what == "use" and said["finished"]])
    counted = [
        batch["tokens"][token][::2]
        for what, said in feed.told
        if what == "use"
        for batch in said["batches"]
    ]
    assert counted == [[5, "203.0.113.9"]]
    assert list(use.glob("*.spool")) == []
    later.close()


def test_what_was_folded_before_is_not_sent_again(
    samples: Samples, feed: ScriptedFeed, follow: Follow, use: Path
) -> None:
    """The next follower asks the server for the offset: a killed one may have sent more."""
    (use / f"{SPOOL}.spool").write_bytes(LINE * 3)
    feed.folded[SPOOL] = 2 * len(LINE)
    follow()
    until(lambda: feed.folded[SPOOL] == 3 * len(LINE))
    sent = [said for what, said in feed.told if what == "use" and said["batches"]]
    assert [(said["start"], len(said["batches"])) for said in sent] == [(2 * len(LINE), 1)]


def test_counts_that_the_server_refuses_dont_block_later_ones(
    feed: ScriptedFeed, follow: Follow, use: Path
) -> None:
    (use / f"{SPOOL}.spool").write_bytes(LINE)
    take = feed.post

    def picky(connection: Connection, what: str, body: bytes) -> None:
        if b'"allowed"' in body:
            connection.answer("422 Unprocessable Content", b'{"reason": "invalid"}')
        else:
            take(connection, what, body)

    feed.post = picky
    follow()
    until(lambda: not list(use.glob("*.spool")))
