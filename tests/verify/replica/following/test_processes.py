"""Real processes: one follows for all, and another takes over."""

import os
import select
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from gatepass import Verifier
from gatepass.verify.replica.database_follower import NodeLock
from gatepass.verify.replica.frames import Reached, pack
from tests.support.feed.following import Follow
from tests.support.feed.scripted_feed import KEY, Connection, ScriptedFeed, boot_ns
from tests.support.grants.grant_fixtures import Samples, reason, until_decided
from tests.support.processes.children import finished, in_child, killed_in_the_end
from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.slow


class Said:
    """What a child process says: one line after the other, through a pipe."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._buffer = b""

    def say(self, line: str) -> None:
        os.write(self._write, line.encode() + b"\n")

    def hear(self, seconds: float = LIMIT_S) -> str:
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            assert select.select([self._read], [], [], max(0, deadline - time.monotonic()))[0]
            self._buffer += os.read(self._read, 1000)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()


def service(feed: ScriptedFeed, directory: Path, text: str, said: Said) -> None:
    """A process of the service: follows, or is ready to, and says what becomes of a token."""
    tell(Verifier.follow(feed.url, key=KEY.text, directory=directory), text, said)


def tell(verifier: Verifier, text: str, said: Said) -> None:
    former = ""
    while True:
        now = reason(verifier, text)
        if now != former:
            said.say(f"{os.getpid()} {now}")
        former = now
        time.sleep(0.005)


def test_one_process_follows_for_all_and_another_takes_over_when_it_is_killed(
    samples: Samples, feed: ScriptedFeed, directory: Path
) -> None:
    """Within two seconds, and nothing is stale meanwhile."""
    said = Said()
    text = samples.texts["good"]

    def process() -> None:
        service(feed, directory, text, said)

    with killed_in_the_end(process) as first:
        assert said.hear() == f"{first} allowed"
        with killed_in_the_end(process) as second:
            assert said.hear() == f"{second} allowed"
            assert len(feed.asked) == 1
            feed.commit(samples.changed("good", deactivated=True))
            assert {said.hear(1), said.hear(1)} == {
                f"{first} token_deactivated",
                f"{second} token_deactivated",
            }
            os.kill(first, signal.SIGKILL)
            until(lambda: len(feed.asked) == 2)
            feed.commit(samples.grants["good"])
            assert said.hear(2) == f"{second} allowed"
            assert feed.asked[1].position is not None


@pytest.mark.parametrize("survivors", [1, 2])
def test_with_preloading_one_process_follows_whichever_dies(
    samples: Samples, feed: ScriptedFeed, directory: Path, survivors: int
) -> None:
    """As gunicorn's ``preload_app`` does. A child that kept the lock it inherited would hold it
    without following; one that kept the connection would have the server think it is still read."""
    said = Said()
    text = samples.texts["good"]

    def parent() -> None:
        verifier = Verifier.follow(feed.url, key=KEY.text, directory=directory, wait=10)
        for _ in range(2):
            said.say(f"child {in_child(lambda: tell(verifier, text, said))}")
        tell(verifier, text, said)

    with killed_in_the_end(parent) as parent_id:
        lines = [said.hear() for _ in range(5)]
        children = [int(line.split()[1]) for line in lines if line.startswith("child")]
        everyone = {*children, parent_id}
        try:
            assert {line for line in lines if "allowed" in line} == {
                f"{each} allowed" for each in everyone
            }
            assert len(feed.asked) == 1
            dying = [parent_id, children[0]][: 3 - survivors]
            for number, each in enumerate(dying, start=1):
                os.kill(each, signal.SIGKILL)
                everyone.discard(each)
                if number == 1:
                    until(lambda: len(feed.asked) == 2)
            until(lambda: feed.asked[-1].position is not None and feed.serving == 1)
            feed.commit(samples.changed("good", deactivated=True))
            heard = {said.hear(2) for _ in everyone}
            assert heard == {f"{each} token_deactivated" for each in everyone}
        finally:
            for each in children:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)


def test_a_fork_that_ends_disturbs_no_other_process(
    samples: Samples, feed: ScriptedFeed, follow: Follow, directory: Path
) -> None:
    """Neither the lock nor the stream of its parent ends with it; and it could decide."""
    verifier = follow()
    for _ in range(5):
        assert finished(
            in_child(lambda: reason(verifier, samples.texts["good"]) == "allowed" or os._exit(2))
        )
    other = NodeLock(directory / "followed.db-lock")
    assert not other.acquire()
    other.close()
    assert len(feed.asked) == 1
    feed.commit(samples.changed("good", deactivated=True))
    until_decided(verifier, samples.texts["good"], "token_deactivated")


def test_a_fork_in_the_midst_of_a_snapshot_only_delays_it(
    samples: Samples, feed: ScriptedFeed, follow: Follow
) -> None:
    """What was begun is undone before the fork, and asked for again."""
    half_sent, forked = threading.Event(), threading.Event()
    good = feed.script

    def slowly(connection: Connection) -> None:
        feed.script = good
        connection.begin()
        connection.frame(feed.opening(full=True))
        connection.frame(pack(feed.since(-1)[:5]))
        half_sent.set()
        forked.wait(LIMIT_S)
        connection.frame(pack(feed.since(-1)[5:]))
        connection.frame(Reached(*feed.position, boot_ns()))
        time.sleep(1)

    feed.script = slowly
    verifier = follow(wait=0)
    assert half_sent.wait(LIMIT_S)
    time.sleep(0.1)
    assert finished(in_child(lambda: None))
    forked.set()
    until_decided(verifier, samples.texts["good"], "allowed")
    assert len(feed.asked) == 2
