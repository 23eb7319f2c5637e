"""Following through outages: the lease ends, and the copy catches up."""

import logging
import threading
import time

import pytest

from gatepass.verify.replica import following
from gatepass.verify.replica.frames import Reached, encode
from tests.support.feed.following import Follow, allowed_while_fresh
from tests.support.feed.scripted_feed import KEY, Connection, ScriptedFeed, boot_ns
from tests.support.grants.grant_fixtures import Samples, reason, until_decided
from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.slow


def test_without_a_server_the_wait_ends_and_nothing_is_decided_until_there_is_one(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    good, feed.script = feed.script, lambda connection: connection.answer("503 Stale", b"{}")
    verifier = follow(wait=0.2)
    assert reason(verifier, samples.texts["good"]) == "stale"
    feed.script = good
    until_decided(verifier, samples.texts["good"], "allowed")


def test_a_lost_connection_is_replaced_before_the_lease_ends(
    samples: Samples,
    feed: ScriptedFeed,
    follow: Follow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After pauses that aren't those of an outage: those grow, here until nobody can wait."""
    monkeypatch.setattr(following, "_LONGEST_PAUSE_SECONDS", 1_000)
    verifier = follow()
    for _ in range(10):
        feed.cut()
        feed.commit(samples.changed("good", deactivated=True))
        assert reason(verifier, samples.texts["good"]) != "stale"
        until(lambda: verifier.file.shared.position == feed.position)
    assert all(connection.position is not None for connection in feed.asked[1:])


@pytest.mark.parametrize("how", ["silent", "half a frame", "refused", "the key is deactivated"])
def test_a_copy_is_stale_once_its_lease_ends(
    samples: Samples, feed: ScriptedFeed, follow: Follow, how: str
) -> None:
    """Whatever fails: a second (in this test) after the last heartbeat."""
    feed.staleness_ms = 1_000
    verifier = follow()
    good = feed.script

    def bad(connection: Connection) -> None:
        if how == "refused":
            return
        if how == "the key is deactivated":
            connection.answer("401 Unauthorized", b"{}")
            return
        connection.begin()
        if how == "half a frame":
            connection.send(b"\x00\x00\x01\x00half")
        time.sleep(1.2)

    feed.script = bad
    feed.cut()
    allowed_while_fresh(verifier, samples.texts["good"])
    assert reason(verifier, samples.texts["good"]) == "stale"
    feed.commit(samples.changed("good", deactivated=True))
    feed.script = good
    feed.cut()
    until_decided(verifier, samples.texts["good"], "token_deactivated")


def test_late_heartbeats_renew_the_lease_no_longer_than_is_true(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    """A frozen server or a full buffer releases old heartbeats."""
    feed.staleness_ms = 1_000
    verifier = follow()
    held: list[bytes] = []
    begun = threading.Event()

    def late(connection: Connection) -> None:
        connection.begin()
        connection.frame(feed.opening(full=False))
        for _ in range(5):
            held.append(encode(Reached(*feed.position, boot_ns())))
            time.sleep(0.01)
        begun.set()
        time.sleep(1)
        for frame in held:
            connection.send(frame)
        time.sleep(0.3)

    feed.script = late
    feed.cut()
    assert begun.wait(LIMIT_S)
    asked_last = time.monotonic()
    while time.monotonic() < asked_last + 1.25:
        now = time.monotonic()
        assert reason(verifier, samples.texts["good"]) == "stale" or now < asked_last + 1
        time.sleep(0.002)


def test_a_copy_of_another_history_is_rebuilt(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    """A restored registry: tokens that it lost are deleted here, too."""
    verifier = follow()
    feed.part()
    del feed.rows["grants", samples.grants["login"].id]
    feed.cut()
    until_decided(verifier, samples.texts["login"], "token_invalid")
    assert reason(verifier, samples.texts["good"]) == "allowed"


def test_a_stale_server_is_left_for_another(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    """Its heartbeats arrive, but with an old time of its last request to the primary."""
    feed.staleness_ms = 300
    verifier = follow()
    good = feed.script
    asked = feed.opening(full=False)

    def cut_off(connection: Connection) -> None:
        connection.begin()
        connection.frame(feed.opening(full=False))
        while True:
            connection.frame(Reached(*feed.position, asked.boot_ns))
            time.sleep(0.1)

    feed.script = cut_off
    feed.cut()
    until_decided(verifier, samples.texts["good"], "stale")
    feed.script = good
    until_decided(verifier, samples.texts["good"], "allowed")


def test_an_outage_is_logged_once_and_never_with_the_key(
    samples: Samples,
    feed: ScriptedFeed,
    follow: Follow,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    verifier = follow()
    good, feed.script = feed.script, lambda connection: connection.answer("401 No", b"{}")
    before = len(feed.asked)
    feed.cut()
    until(lambda: len(feed.asked) > before + 2)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert [line for line in said if "not accepted" in line] == [
        f"following {feed.url} is interrupted: the verifier key {KEY.id} is not accepted: it was "
        "deactivated, or is another installation's"
    ]
    feed.script = good
    until(lambda: "again" in caplog.text)
    assert KEY.text not in caplog.text
    assert KEY.text[21:] not in caplog.text
    verifier.close()
