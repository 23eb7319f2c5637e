"""The copy's files: replaced when removed, and refused when unusable."""

import logging
import os
import resource
import shutil
import time
from pathlib import Path

import pytest

from gatepass import Misconfigured, Verifier
from gatepass.verify.freshness import SharedMap
from tests.support.feed.following import Follow, allowed_while_fresh
from tests.support.feed.scripted_feed import KEY, ScriptedFeed
from tests.support.grants.grant_fixtures import Samples, reason, until_decided
from tests.support.processes.children import finished, in_child
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "what",
    [".", *(f"followed.db{end}" for end in ("", "-map", "-lock", "-wal", "-shm"))],
)
def test_removed_files_are_replaced_without_a_restart(
    samples: Samples,
    feed: ScriptedFeed,
    follow: Follow,
    directory: Path,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    verifier = follow()
    if what == ".":
        shutil.rmtree(directory)
    else:
        (directory / what).unlink()
    feed.commit(samples.changed("good", deactivated=True))
    until_decided(verifier, samples.texts["good"], "token_deactivated")
    until(lambda: "removed" in caplog.text)
    until(lambda: (directory / what).exists() and verifier.file.shared.in_place())
    feed.commit(samples.grants["good"])
    until_decided(verifier, samples.texts["good"], "allowed")


def test_a_directory_that_cant_be_created_is_logged_once(
    samples: Samples,
    follow: Follow,
    directory: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    verifier = follow()
    shutil.rmtree(directory)
    directory.write_text("in the way")
    until(lambda: "must be a directory" in caplog.text)
    time.sleep(0.5)
    assert caplog.text.count("must be a directory") == 1
    directory.unlink()
    until(lambda: verifier.file.shared.in_place())
    until_decided(verifier, samples.texts["good"], "allowed")


def test_a_full_disk_stops_no_answers_while_the_lease_runs(
    samples: Samples, directory: Path
) -> None:
    """The service recovers without a restart. (A process limit simulates the full disk.)"""

    def service() -> None:
        logged: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: logged.append(record.getMessage())
        logging.getLogger("gatepass.follower").addHandler(handler)
        with ScriptedFeed(staleness_ms=1_500) as feed:
            feed.commit(*samples.records)
            verifier = Verifier.follow(feed.url, key=KEY.text, directory=directory, wait=10)
            full = max(path.stat().st_size for path in directory.iterdir() if path.is_file())
            resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
            feed.commit(samples.changed("good", label="x" * 500_000))
            allowed_while_fresh(verifier, samples.texts["good"])
            assert reason(verifier, samples.texts["good"]) == "stale"
            assert any("can't be written" in line for line in logged), logged
            no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
            until_decided(verifier, samples.texts["good"], "allowed")

    assert finished(in_child(service))


def test_unusable_directories_are_refused(
    feed: ScriptedFeed, tmp_path: Path, directory: Path
) -> None:
    def follow(path: Path) -> None:
        Verifier.follow(feed.url, key=KEY.text, directory=path, wait=0)

    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="must be a directory"):
        follow(tmp_path / "file")
    with pytest.raises(Misconfigured, match="can't be created"):
        follow(tmp_path / "file" / "below")
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(Misconfigured, match="everybody"):
        follow(directory)
    directory.chmod(0o700)
    (directory / "followed.db").write_text("Dear diary, " * 100)
    with pytest.raises(Misconfigured, match=r"followed\.db"):
        follow(directory)
    shutil.rmtree(directory)
    directory.mkdir()
    os.chown(directory, 12345, 12345)
    with pytest.raises(Misconfigured, match="another user"):
        follow(directory)


def test_a_clock_behind_the_latest_time_seen_stops_the_start(
    follow: Follow, directory: Path
) -> None:
    follow().close()
    SharedMap(directory / "followed.db-map").record_time(time.time_ns() // 1_000_000 + 60_000)
    with pytest.raises(Misconfigured, match="clock"):
        follow()
