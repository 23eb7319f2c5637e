"""A follower in the background follows by itself, and survives outages."""

import sqlite3
import time
from pathlib import Path

import pytest

from gatepass.core.decision import Reason
from gatepass.core.routes import Routes
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica import database_follower as follower_module
from gatepass.verify.replica.grant_copy import open_copy
from gatepass.verify.verifier import Verifier
from tests.support.feed.followed_copy import FollowedCopy
from tests.support.feed.scripted_primary import Outage, ScriptedPrimary, SyncedCopy
from tests.support.grants.grant_fixtures import Samples, reason
from tests.support.waiting import until


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_RETRY_SECONDS", "_LONGEST_RETRY_SECONDS"):
        monkeypatch.setattr(follower_module, name, 0.05)


def followed(primary: ScriptedPrimary, directory: Path) -> FollowedCopy:
    """A copy with a lease of a second, whose primary has the machine's clock."""
    primary.now_ms = lambda: time.time_ns() // 1_000_000
    return FollowedCopy(directory / "grants.db", primary, 1_000)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_a_copy_that_lost_a_side_file_is_rebuilt(
    samples: Samples, primary: ScriptedPrimary, tmp_path: Path, end: str
) -> None:
    """Without it the file has another state, which a process that opens it now reads."""
    with followed(primary, tmp_path) as following:
        following.until_decided(samples.texts["good"], Reason.allowed)
        Path(f"{following.file.path}{end}").unlink()
        primary.commit(samples.changed("good", deactivated=True))
        newcomer = Verifier(GrantFile(following.file.path), Clock(), Routes([]), copy=True)
        for verifier in (following.verifier, newcomer):

            def ended(verifier: Verifier = verifier) -> bool:
                # As every process does about once a second.
                verifier.file.watch()
                return reason(verifier, samples.texts["good"]) == Reason.token_deactivated

            until(ended)


@pytest.mark.usefixtures("quick_retries")
def test_a_change_is_followed_in_the_background(
    samples: Samples, primary: ScriptedPrimary, tmp_path: Path
) -> None:
    """Over one connection, without another snapshot."""
    with followed(primary, tmp_path) as following:
        following.until_decided(samples.texts["good"], "allowed")
        primary.commit(samples.changed("good", deactivated=True))
        following.until_decided(samples.texts["good"], "token_deactivated")
    assert primary.asked.count("snapshot") == primary.asked.count("close") == 1
    assert primary.asked[-1] == "close"


@pytest.mark.slow
@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("fault", ["heartbeat", "changes", "wait", "close"])
def test_the_follower_retries_during_an_outage(
    samples: Samples, primary: ScriptedPrimary, tmp_path: Path, fault: str
) -> None:
    """Whatever fails, the follower closes its connections and retries, even if closing fails."""
    with followed(primary, tmp_path) as following:
        following.until_decided(samples.texts["good"], "allowed")
        primary.faults |= {fault, "heartbeat"}
        primary.asked.clear()
        following.until_decided(samples.texts["good"], "stale")
        assert primary.asked.count("close") > 5
        primary.commit(samples.changed("good", deactivated=True))
        primary.faults.clear()
        following.until_decided(samples.texts["good"], "token_deactivated")


def test_a_lasting_outage_is_retried_with_growing_pauses_and_logged_once(
    copy: SyncedCopy,
    primary: ScriptedPrimary,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each attempt may cost the primary a full snapshot."""
    pauses: list[float] = []
    monkeypatch.setattr(follower_module, "_sleep", lambda seconds, _: pauses.append(seconds))
    primary.faults.add("snapshot")
    copy.follower.follow(primary, lambda: len(pauses) < 5)
    assert pauses == [0.5, 1.0, 2.0, 2.0, 2.0]
    # Begun again, as after the copy's file was replaced.
    copy.follower.follow(primary, lambda: len(pauses) < 9)
    assert [record.getMessage() for record in caplog.records] == [
        "loading a full snapshot of the grants",
        "following is interrupted: Outage",
    ]


@pytest.mark.usefixtures("quick_retries")
def test_opening_the_copy_is_retried(
    samples: Samples, primary: ScriptedPrimary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the start, or an error that a connection keeps, doesn't stop the follower."""
    opened = []

    def failing_at_first(path: Path) -> sqlite3.Connection:
        opened.append(path)
        if len(opened) < 4:
            raise sqlite3.OperationalError("disk I/O error")
        return open_copy(path)

    monkeypatch.setattr(follower_module, "open_copy", failing_at_first)
    with followed(primary, tmp_path) as following:
        following.until_decided(samples.texts["good"], "allowed")
    assert len(opened) == 4


@pytest.mark.usefixtures("quick_retries")
def test_a_broken_connection_to_the_copy_is_replaced(
    samples: Samples, primary: ScriptedPrimary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[sqlite3.Connection] = []

    def remembered(path: Path) -> sqlite3.Connection:
        connections.append(open_copy(path))
        return connections[-1]

    monkeypatch.setattr(follower_module, "open_copy", remembered)
    with followed(primary, tmp_path) as following:
        following.until_decided(samples.texts["good"], "allowed")
        connections[0].close()
        primary.commit(samples.changed("good", deactivated=True))
        following.until_decided(samples.texts["good"], "token_deactivated")


@pytest.mark.usefixtures("quick_retries")
def test_no_secret_is_logged_by_an_outage(
    samples: Samples, primary: ScriptedPrimary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver's message may quote the URL with its password, so only its type is logged."""

    def quoting(_: str) -> None:
        raise Outage("postgresql://gatepass:hunter2@primary/gatepass")

    primary.during = quoting
    with followed(primary, tmp_path):
        until(lambda: "Outage" in caplog.text)
    assert "Outage" in caplog.text
    assert "hunter2" not in caplog.text
