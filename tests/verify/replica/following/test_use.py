"""Use is reported once, whichever process reports it."""

from hashlib import sha256
from pathlib import Path

import pytest

from gatepass.core.imported_keys import declaration, of_digest
from gatepass.verify.replica import reporting
from tests.support.feed.following import Follow
from tests.support.feed.scripted_feed import Connection, ScriptedFeed
from tests.support.grants.grant_fixtures import Samples, reason, until_decided
from tests.support.waiting import until

pytestmark = pytest.mark.slow

SPOOL = "1-00000000000000ff"
LINE = b'{"tokens":{},"decisions":{"allowed":1}}\n'
CALLS = b'{"calls":[["gpat_0123456789ABCDEF",false,null,2,1,1]]}\n'


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
    told = [said for what, said in feed.told if what == "use"]
    uses = [batch["tokens"][token] for said in told for batch in said["batches"]]
    assert {address for _, _, address, _ in uses} == {"203.0.113.9"}
    call = ["allowed", ["charges:get"], None, None, "203.0.113.9", None]
    calls = [each for said in told for each in said.get("calls", ())]
    assert {(each[0], each[1], str(each[2])) for each in calls} == {(token, True, str(call))}
    assert sum(use[0] for use in uses) == sum(each[3] for each in calls) == 5
    assert list(use.glob("*.spool")) == []
    later.close()


def test_decoys_and_imported_keys_are_known_and_reported(
    samples: Samples, feed: ScriptedFeed, follow: Follow, use: Path
) -> None:
    text = "acme_live_0123456789abcdefghijklmnop"
    found = of_digest(sha256(text.encode()).digest())
    key = samples.changed("good", id=found.id, digest=found.digest)
    decoy = samples.token("decoy", kind="decoy", permissions=frozenset())
    verifier = follow()
    assert reason(verifier, text) == "token_invalid"
    feed.commit(declaration("acme_live_", "cmp_1"), key, decoy)
    until_decided(verifier, text, "allowed")
    call = {"permission": "charges:get", "address": "203.0.113.9"}
    decision = verifier.check(samples.texts["decoy"], **call)
    assert (decision.reason, decision.grant) == ("token_invalid", None)
    verifier.close()
    follow()
    until(lambda: not list(use.glob("*.spool")))
    calls = [each for what, said in feed.told if what == "use" for each in said.get("calls", ())]
    reported = {(each[0], each[2][0]) for each in calls}
    assert reported == {(key.id, "allowed"), (decoy.id, "token_invalid")}
    tokens = {
        token
        for what, said in feed.told
        if what == "use"
        for batch in said["batches"]
        for token in batch["tokens"]
    }
    assert tokens == {key.id}


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


@pytest.mark.parametrize("status", ["422 Unprocessable Content", "413 Content Too Large"])
def test_a_former_server_counts_the_use_without_the_calls(
    feed: ScriptedFeed, follow: Follow, use: Path, status: str
) -> None:
    """It refuses reports with fields that it doesn't know."""
    (use / f"{SPOOL}.spool").write_bytes(CALLS + LINE + CALLS + LINE)
    take = feed.post

    def former(connection: Connection, what: str, body: bytes) -> None:
        if b'"calls"' in body:
            connection.answer(status, b'{"reason": "invalid"}')
        else:
            take(connection, what, body)

    feed.post = former
    follow()
    until(lambda: not list(use.glob("*.spool")))
    told = [said for what, said in feed.told if what == "use"]
    assert [len(said["batches"]) for said in told if said["batches"]] == [2]
    assert told[-1]["finished"]
