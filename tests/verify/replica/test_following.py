"""A service's copy of the grants, followed by one of its processes: real ones, forked, killed."""

import gc
import logging
import os
import resource
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gatepass import Misconfigured, Verifier
from gatepass.core.credentials import make
from gatepass.verify.freshness import SharedMap
from gatepass.verify.replica import following, reporting
from gatepass.verify.replica.database_follower import NodeLock
from gatepass.verify.replica.frames import Reached, encode, pack
from tests.support.feed.scripted_feed import KEY, Connection, ScriptedFeed, boot_ns
from tests.support.grants.grant_fixtures import Samples, reason
from tests.support.processes.children import finished, in_child, killed_in_the_end
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "copy"


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """No test leaves anybody following."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    until(lambda: not at_work(before))


def at_work(before: set[threading.Thread]) -> list[threading.Thread]:
    now = set(threading.enumerate()) - before
    return [thread for thread in now if thread.name.startswith("gatepass_")]


@pytest.fixture
def follow(feed: ScriptedFeed, directory: Path) -> Iterator[Callable[..., Verifier]]:
    made: list[Verifier] = []

    def following(**other: Any) -> Verifier:
        known = {"key": KEY.text, "directory": directory, "wait": 10} | other
        made.append(Verifier.follow(known.pop("url", feed.url), **known))
        return made[-1]

    yield following
    for verifier in made:
        verifier.close()
    made.clear()


def until_decided(verifier: Verifier, text: str, expected: str) -> None:
    until(lambda: reason(verifier, text) == expected, lambda: reason(verifier, text))


# --- one process ----------------------------------------------------------------------------------


def test_a_service_decides_by_its_own_copy_and_a_deactivation_comes_over_the_feed(
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
) -> None:
    verifier = follow()
    assert reason(verifier, samples.texts["good"]) == "allowed"
    feed.commit(samples.changed("good", deactivated=True), removed=[samples.grants["login"].id])
    until_decided(verifier, samples.texts["good"], "token_deactivated")
    assert reason(verifier, samples.texts["login"]) == "token_invalid"
    # It needed no other connection.
    assert len(feed.asked) == 1


def test_it_acknowledges_the_position_it_has_reached(
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
) -> None:
    verifier = follow()
    for _ in range(20):
        feed.commit(samples.changed("good", deactivated=True))
    node = dict(feed.asked[0].query)["node"]
    latest = {"node": node, "revision": feed.position[0], "tag": feed.position[1]}
    until(lambda: ("acknowledgement", latest) in feed.told)
    assert reason(verifier, samples.texts["good"]) == "token_deactivated"
    # In quick succession, they are told as one.
    assert len([what for what, _ in feed.told if what == "acknowledgement"]) < 10


def test_use_is_counted_once_and_its_spool_removed(
    samples: Samples,
    feed: ScriptedFeed,
    follow: Callable[..., Verifier],
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "USE_SECONDS", 0.1)
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
    assert list((directory / "followed.db-use").glob("*.spool")) == []
    later.close()


def test_what_was_folded_before_is_not_sent_again(
    samples: Samples,
    feed: ScriptedFeed,
    follow: Callable[..., Verifier],
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next follower asks the server for the offset: a killed one may have sent more."""
    monkeypatch.setattr(reporting, "USE_SECONDS", 0.1)
    use = directory / "followed.db-use"
    use.mkdir(parents=True, mode=0o700)
    line = b'{"tokens":{},"decisions":{"allowed":1}}\n'
    (use / "1-00000000000000ff.spool").write_bytes(line * 3)
    feed.folded["1-00000000000000ff"] = 2 * len(line)
    follow()
    until(lambda: feed.folded["1-00000000000000ff"] == 3 * len(line))
    sent = [said for what, said in feed.told if what == "use" and said["batches"]]
    assert [(said["start"], len(said["batches"])) for said in sent] == [(2 * len(line), 1)]


def test_counts_that_the_server_refuses_dont_block_later_ones(
    feed: ScriptedFeed,
    follow: Callable[..., Verifier],
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "USE_SECONDS", 0.1)
    use = directory / "followed.db-use"
    use.mkdir(parents=True, mode=0o700)
    (use / "1-00000000000000ff.spool").write_bytes(b'{"tokens":{},"decisions":{"allowed":1}}\n')
    take = feed.post

    def picky(connection: Connection, what: str, body: bytes) -> None:
        if b'"allowed"' in body:
            connection.answer("422 Unprocessable Content", b'{"reason": "invalid"}')
        else:
            take(connection, what, body)

    feed.post = picky
    follow()
    until(lambda: not list(use.glob("*.spool")))


def test_limits_are_requested_and_other_limits_start_over(
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
) -> None:
    limits = {"companies": ["cmp_2", "cmp_1"], "permissions": {"charges:get"}}
    follow(**limits).close()
    follow(**limits).close()
    follow(companies=["cmp_1"]).close()
    asked = [connection.query[3:] for connection in feed.asked]
    limited = [("company", "cmp_1"), ("company", "cmp_2"), ("permission", "charges:get")]
    assert asked[0] == limited
    assert [name for name, _ in asked[1]] == ["revision", "tag", *(name for name, _ in limited)]
    assert asked[2] == [("company", "cmp_1")]


def test_a_copy_with_other_limits_decides_nothing(
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
) -> None:
    """Neither a copy that was left with other limits, nor one that another process follows now."""
    follow().close()
    serve, feed.script = feed.script, lambda connection: connection.answer("503 Stale", b"{}")
    narrow = follow(companies=["cmp_1"], wait=0.2)
    assert reason(narrow, samples.texts["good"]) in ("stale", "unavailable")
    narrow.close()
    feed.script = serve
    for limits in ({"companies": ["cmp_1"]}, {"companies": ["cmp_2"]}, {}):
        # Where it returns in time, it decides.
        verifier = follow(**limits)
        assert reason(verifier, samples.texts["good"]) == "allowed"
        verifier.close()
    leading = follow()
    assert reason(leading, samples.texts["good"]) == "allowed"
    narrow = follow(companies=["cmp_1"], wait=0.2)
    assert reason(narrow, samples.texts["good"]) == "unavailable"


def test_a_refused_process_lets_another_follow(
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
) -> None:
    """A key that was replaced in one process of a service must not stop the others."""
    serve, newer = feed.script, make("gpvk")

    def ended(connection: Connection) -> None:
        if newer.text in connection.headers["authorization"]:
            serve(connection)
        else:
            connection.answer("401 Unauthorized", b"{}")

    leading, ready = follow(), follow(key=newer.text)
    feed.script = ended
    feed.cut()
    feed.commit(samples.changed("good", deactivated=True))
    until_decided(ready, samples.texts["good"], "token_deactivated")
    assert reason(leading, samples.texts["good"]) == "token_deactivated"


def test_a_catalogue_lets_one_ask_by_method_and_path(
    samples: Samples, follow: Callable[..., Verifier], tmp_path: Path
) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text('permissions:\n  charges:get: {routes: ["GET /charges/{id}"]}\n')
    verifier = follow(catalogue=catalogue)
    assert verifier.check(samples.texts["good"], method="GET", path="/charges/1").allowed


def test_a_closed_verifier_lets_another_process_follow(
    follow: Callable[..., Verifier], directory: Path
) -> None:
    before = set(threading.enumerate())
    verifier = follow()
    verifier.close()
    assert not at_work(before)
    lock = NodeLock(directory / "followed.db-lock")
    assert lock.acquire()
    lock.close()


def test_a_garbage_collected_verifier_stops_its_threads(
    feed: ScriptedFeed, directory: Path
) -> None:
    verifier = Verifier.follow(feed.url, key=KEY.text, directory=directory)
    del verifier


# --- outages --------------------------------------------------------------------------------------


def test_without_a_server_the_wait_ends_and_nothing_is_decided_until_there_is_one(
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
) -> None:
    good, feed.script = feed.script, lambda connection: connection.answer("503 Stale", b"{}")
    verifier = follow(wait=0.2)
    assert reason(verifier, samples.texts["good"]) == "stale"
    feed.script = good
    until_decided(verifier, samples.texts["good"], "allowed")


def test_a_lost_connection_is_replaced_before_the_lease_ends(
    samples: Samples,
    feed: ScriptedFeed,
    follow: Callable[..., Verifier],
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
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier], how: str
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
    assert reason(verifier, samples.texts["good"]) == "allowed"
    until_decided(verifier, samples.texts["good"], "stale")
    feed.commit(samples.changed("good", deactivated=True))
    feed.script = good
    feed.cut()
    until_decided(verifier, samples.texts["good"], "token_deactivated")


def test_late_heartbeats_renew_the_lease_no_longer_than_is_true(
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
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
    begun.wait(5)
    asked_last = time.monotonic()
    while time.monotonic() < asked_last + 1.25:
        now = time.monotonic()
        assert reason(verifier, samples.texts["good"]) == "stale" or now < asked_last + 1
        time.sleep(0.002)


def test_a_copy_of_another_history_is_rebuilt(
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
) -> None:
    """A restored registry: tokens that it lost are deleted here, too."""
    verifier = follow()
    feed.part()
    del feed.rows["grants", samples.grants["login"].id]
    feed.cut()
    until_decided(verifier, samples.texts["login"], "token_invalid")
    assert reason(verifier, samples.texts["good"]) == "allowed"


def test_a_stale_server_is_left_for_another(
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
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
    follow: Callable[..., Verifier],
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


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    [".", *(f"followed.db{end}" for end in ("", "-map", "-lock", "-wal", "-shm"))],
)
def test_removed_files_are_replaced_without_a_restart(
    samples: Samples,
    feed: ScriptedFeed,
    follow: Callable[..., Verifier],
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
    follow: Callable[..., Verifier],
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
            began = time.monotonic()
            while time.monotonic() < began + 1:
                assert reason(verifier, samples.texts["good"]) == "allowed"
                time.sleep(0.01)
            until_decided(verifier, samples.texts["good"], "stale")
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


@pytest.mark.parametrize(
    "limits",
    [
        {"companies": "cmp_1"},
        {"companies": [""]},
        {"companies": ["a&b"]},
        {"permissions": "charges:get"},
        {"permissions": ["charges"]},
        {"permissions": ["*"]},
        {"companies": [f"cmp_{number}" for number in range(201)]},
    ],
)
def test_invalid_limits_are_refused(follow: Callable[..., Verifier], limits: Any) -> None:
    """A text is no list: its characters would be the companies."""
    with pytest.raises(Misconfigured):
        follow(**limits)


def test_a_clock_behind_the_latest_time_seen_stops_the_start(
    follow: Callable[..., Verifier], directory: Path
) -> None:
    follow().close()
    SharedMap(directory / "followed.db-map").record_time(time.time_ns() // 1_000_000 + 60_000)
    with pytest.raises(Misconfigured, match="clock"):
        follow()


# --- processes ------------------------------------------------------------------------------------


class Said:
    """What a child process says: one line after the other, through a pipe."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._buffer = b""

    def say(self, line: str) -> None:
        os.write(self._write, line.encode() + b"\n")

    def hear(self, seconds: float = 10) -> str:
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
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier], directory: Path
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
    samples: Samples, feed: ScriptedFeed, follow: Callable[..., Verifier]
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
        forked.wait(5)
        connection.frame(pack(feed.since(-1)[5:]))
        connection.frame(Reached(*feed.position, boot_ns()))
        time.sleep(1)

    feed.script = slowly
    verifier = follow(wait=0)
    half_sent.wait(5)
    time.sleep(0.1)
    assert finished(in_child(lambda: None))
    forked.set()
    until_decided(verifier, samples.texts["good"], "allowed")
    assert len(feed.asked) == 2
