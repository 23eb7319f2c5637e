"""Use is counted, spooled, and folded exactly once."""

import errno
import fcntl
import gc
import json
import os
import signal
import stat
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from gatepass.core.decision import Call, Decision, Reason
from gatepass.core.grants import Grant
from gatepass.core.networks import parse_address
from gatepass.core.observed_call import ObservedCall
from gatepass.core.reason import STATUS
from gatepass.verify import spools as spools_module
from gatepass.verify import usage as usage_module
from gatepass.verify.spools import (
    FLUSHED_WITHIN_MS,
    Batch,
    Spool,
    by_kind,
    spools,
    unreported_ms,
)
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import START_MS, Clocks, Samples
from tests.support.processes.children import finished, in_child


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "gatepass.db-use"


@pytest.fixture
def usage(directory: Path) -> Usage:
    return Usage(directory)


@pytest.fixture
def counting(samples: Samples, clocks: Clocks, usage: Usage) -> Verifier:
    """A verifier whose decisions are counted."""
    return samples.verifier(clocks.clock(), usage=usage)


class Folder:
    """Folds spools as ``registry.tokens.usage`` does: up to where, and what each said."""

    def __init__(self) -> None:
        self.folded_to: dict[str, int] = {}
        self.tokens: Counter[str] = Counter()
        self.calls: Counter[tuple[str, bool, ObservedCall | None]] = Counter()
        self.decisions: Counter[str] = Counter()
        self.last: dict[str, tuple[int, str | None, str]] = {}

    def fold(self, directory: Path) -> None:
        for spool in spools(directory):
            start = self.folded_to.get(spool.name, 0)
            batches, calls = by_kind(spool.lines(start))
            for batch in batches:
                self.take(batch)
            for call in calls:
                self.calls[call.token, call.allowed, call.call] += call.count
            self.folded_to[spool.name] = spool.size
            if spool.finished:
                spool.remove()

    def take(self, batch: Batch) -> None:
        for token, (count, at, address, permission) in batch.tokens.items():
            self.tokens[token] += count
            self.last[token] = (at, address, permission)
        self.decisions.update(batch.decisions)


def folded(directory: Path) -> Folder:
    """What one fold of the spools counts."""
    folder = Folder()
    folder.fold(directory)
    return folder


def lines(directory: Path) -> list[dict[str, Any]]:
    """All spooled lines, decoded."""
    return [
        json.loads(line)
        for path in sorted(directory.glob("*.spool"))
        for line in path.read_text().splitlines()
    ]


def test_a_use_is_a_line_of_a_spool(
    samples: Samples, counting: Verifier, usage: Usage, directory: Path, clocks: Clocks
) -> None:
    """How often, when last, from where, for what; and how every call was decided."""
    for number in range(3):
        clocks.advance(1)
        address = f"203.0.113.{number}"
        counting.check(samples.texts["good"], permission="charges:get", address=address)
    counting.check(samples.texts["good"], method="POST", path="/v1/charges", address="2001:DB8::1")
    counting.check(samples.texts["lasting"], permission="charges:get")
    counting.check(samples.texts["deactivated"], permission="charges:get")
    counting.check(samples.texts["unknown"], permission="charges:get")
    counting.check(None, permission="charges:get")
    usage.flush()
    use, calls = lines(directory)
    assert use == {
        "tokens": {
            samples.grants["good"].id: [4, START_MS + 3_000, "2001:db8::1", "charges:create"],
            samples.grants["lasting"].id: [1, START_MS + 3_000, None, "charges:get"],
        },
        "decisions": {
            "allowed": 5,
            "token_deactivated": 1,
            "token_invalid": 1,
            "token_missing": 1,
        },
    }
    good, lasting, deactivated = (
        samples.grants[name].id for name in ("good", "lasting", "deactivated")
    )
    get = ["allowed", ["charges:get"], None, None]
    create = ["allowed", ["charges:create"], "/v1/charges", "POST", "2001:db8::1", None]
    last = START_MS + 3_000
    assert sorted(calls["calls"], key=str) == sorted(
        [
            *(
                [good, True, [*get, f"203.0.113.{number}", None], 1, at, at]
                for number in range(3)
                for at in [START_MS + 1_000 * (number + 1)]
            ),
            [good, True, create, 1, last, last],
            [lasting, True, [*get, None, None], 1, last, last],
            [
                deactivated,
                False,
                ["token_deactivated", ["charges:get"], None, None, None, None],
                *(1, last, last),
            ],
        ],
        key=str,
    )


def test_no_secret_is_spooled(
    samples: Samples, counting: Verifier, usage: Usage, directory: Path
) -> None:
    """Only ids, with which a reader of the spools can't call anything."""
    for text in samples.texts.values():
        counting.check(text, permission="charges:get", origin="https://shop.example.com")
    counting.verifier_key(samples.texts["verifier"])
    usage.flush()
    content = b"".join(path.read_bytes() for path in directory.iterdir())
    assert samples.grants["good"].id.encode() in content
    for name, text in samples.texts.items():
        if text:
            assert text[21:].encode() not in content, name


def test_a_login_is_counted_but_not_by_its_id(
    samples: Samples, counting: Verifier, usage: Usage, directory: Path
) -> None:
    """Last use is a record of access tokens; of logins only that there was a decision."""
    counting.check(samples.texts["login"], permission="charges:get")
    usage.flush()
    assert lines(directory) == [{"tokens": {}, "decisions": {"allowed": 1}}]


def test_nothing_counted_is_nothing_written(usage: Usage, directory: Path) -> None:
    """A quiet process leaves no file behind."""
    usage.flush()
    usage.close()
    assert not directory.exists()


def test_every_reason_can_be_counted(usage: Usage, directory: Path) -> None:
    """By its word."""
    for reason in STATUS:
        usage.note(Decision(reason, None, frozenset(), Call(Reason.token_missing)), START_MS)
    usage.flush()
    assert lines(directory) == [{"tokens": {}, "decisions": {r.value: 1 for r in STATUS}}]


def test_spools_are_for_their_owner_alone(usage: Usage, directory: Path) -> None:
    """Who called from where is nobody else's business."""
    before = os.umask(0)
    try:
        note(usage, 1)
        usage.flush()
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()] == [0o600]


# --- folding --------------------------------------------------------------------------------------

TOKEN = "gpat_0123456789ABCDEF"


def note(usage: Usage, count: int, token: str = TOKEN) -> None:
    """Count some uses of one token."""
    grant = Grant(token, b"", "api", "cmp_1", "usr_1", "", frozenset(), None, (), None, False)
    call = Call(Reason.token_missing, "charges:get", None, parse_address("203.0.113.9"))
    for _ in range(count):
        usage.note(Decision(Reason.allowed, grant, frozenset(), call), START_MS)


def test_each_line_is_folded_once(usage: Usage, directory: Path) -> None:
    """However often someone folds: from the offset it was folded to, to the last whole line."""
    folder = Folder()
    for count in range(1, 6):
        note(usage, count)
        usage.flush()
        folder.fold(directory)
        folder.fold(directory)
    assert folder.tokens == {TOKEN: 15}
    assert folder.decisions == {"allowed": 15}
    assert folder.last == {TOKEN: (START_MS, "203.0.113.9", "charges:get")}


def test_a_living_processs_spool_is_not_finished(usage: Usage, directory: Path) -> None:
    """It is folded, but not removed, until its process gives it up."""
    note(usage, 1)
    usage.flush()
    assert [spool.finished for spool in spools(directory)] == [False]
    note(usage, 2)
    usage.close()
    assert [spool.finished for spool in spools(directory)] == [True]
    assert folded(directory).tokens == {TOKEN: 3}
    assert not list(directory.iterdir())


def test_looking_at_a_living_spool_takes_nothing_from_its_owner(
    usage: Usage, directory: Path
) -> None:
    """Others may look as often as they like; what is counted later is written all the same."""
    folder = Folder()
    for _ in range(20):
        note(usage, 1)
        usage.flush()
        assert [spool.finished for spool in spools(directory)] == [False]
        folder.fold(directory)
    assert folder.tokens == {TOKEN: 20}
    assert len(list(directory.iterdir())) == 1


@pytest.mark.parametrize("flushed", [0, 3])
def test_a_killed_processs_spool_is_finished_by_others(directory: Path, flushed: int) -> None:
    """What it had spooled is folded and removed; what it had not is lost, and nothing else."""

    def count_and_die() -> None:
        own = Usage(directory)
        for _ in range(flushed):
            note(own, 2)
            own.flush()
        note(own, 100)
        os.kill(os.getpid(), signal.SIGKILL)

    assert not finished(in_child(count_and_die))
    folder = Folder()
    assert all(spool.finished for spool in spools(directory))
    folder.fold(directory)
    assert folder.tokens[TOKEN] == 2 * flushed
    assert not directory.exists() or not list(directory.iterdir())


def test_a_torn_last_line_is_not_read(usage: Usage, directory: Path) -> None:
    """A process that was killed within a write leaves half a line: it never counts, and what is
    whole does."""
    note(usage, 4)
    usage.close()
    (path,) = directory.iterdir()
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(path.read_bytes().splitlines()[0])
    (spool,) = spools(directory)
    assert (spool.size, spool.finished) == (whole, True)
    assert folded(directory).tokens == {TOKEN: 4}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"nonsense",
        b"{}",
        b'{"tokens": {"a": [1]}, "decisions": {}}',
        b'{"tokens": {}, "decisions": {}, "more": 1}',
        b"\xff\xfe",
        b'{"tokens": {}, "decisions": {"\xff": 1}}',
        b'{"tokens": {}, "decisions": {"allowed": "many"}}',
        b"[" * 10_000,
    ],
)
def test_a_damaged_line_is_skipped(usage: Usage, directory: Path, damage: bytes) -> None:
    """It stops nobody from folding what comes before and after it."""
    note(usage, 1)
    usage.flush()
    (path,) = directory.iterdir()
    with path.open("ab") as file:
        file.write(damage + b"\n")
    note(usage, 2)
    usage.close()
    assert folded(directory).tokens == {TOKEN: 3}


def test_a_long_spool_is_finished_and_another_begun(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that spools of processes that live for months are removed too; no name comes twice."""
    monkeypatch.setattr(spools_module, "ROTATE_BYTES", 300)
    folder = Folder()
    names = set()
    for _ in range(30):
        note(usage, 1)
        usage.flush()
        names.update(spool.name for spool in spools(directory))
        folder.fold(directory)
    assert folder.tokens == {TOKEN: 30}
    assert len(names) > 5
    assert len(list(directory.iterdir())) <= 1


def full_disk(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def half_a_line(descriptor: int, line: bytes, write=os.write) -> int:  # type: ignore[no-untyped-def] # bound to the real one
    return int(write(descriptor, line[: len(line) // 2]))


@pytest.mark.parametrize("failing", [full_disk, half_a_line])
def test_a_full_disk_keeps_the_counts(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch, failing: object
) -> None:
    """They are written once there is room again: none lost, none twice, no half line in between."""
    note(usage, 1)
    usage.flush()
    monkeypatch.setattr(os, "write", failing)
    for _ in range(3):
        note(usage, 10)
        note(usage, 1, "gpat_another000000000")
        usage.flush()
    monkeypatch.undo()
    folder = folded(directory)
    assert folder.tokens == {TOKEN: 1}
    note(usage, 100)
    usage.flush()
    folder.fold(directory)
    assert folder.tokens == {TOKEN: 131, "gpat_another000000000": 3}
    assert folder.decisions == {"allowed": 134}


@pytest.mark.parametrize("where", ["mkdir", "open", "flock"])
def test_a_spool_that_cant_be_made_keeps_the_counts(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Whatever the system says, counting never raises, and leaves no descriptor open."""
    # What earlier tests left to the collector must not be closed in between.
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    target = {"mkdir": (Path, "mkdir"), "open": (os, "open"), "flock": (fcntl, "flock")}[where]
    with monkeypatch.context() as patched:
        patched.setattr(*target, full_disk)
        for _ in range(3):
            note(usage, 1)
            usage.flush()
    assert len(os.listdir("/proc/self/fd")) <= before
    usage.flush()
    usage.close()
    assert folded(directory).tokens == {TOKEN: 3}


def test_a_spool_has_its_name_only_once_it_is_locked(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its lock it would look like a dead process's, and be removed while it is in use."""
    lock = fcntl.flock

    def locking(descriptor: int, how: int) -> None:
        assert not list(directory.glob("*.spool"))
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", locking)
    note(usage, 1)
    usage.flush()
    assert len(list(directory.glob("*.spool"))) == 1


def test_a_removed_spool_is_replaced(usage: Usage, directory: Path) -> None:
    """Nobody would ever read what is written to a file without a name."""
    note(usage, 1)
    usage.flush()
    for path in directory.iterdir():
        path.unlink()
    note(usage, 5)
    usage.close()
    assert folded(directory).tokens == {TOKEN: 5}


def test_a_child_of_a_fork_spools_to_a_file_of_its_own(usage: Usage, directory: Path) -> None:
    """Two processes never write to one spool."""
    note(usage, 1)
    usage.flush()

    def count() -> None:
        note(usage, 10)
        usage.close()

    assert finished(in_child(count))
    note(usage, 100)
    usage.flush()
    assert sorted(spool.finished for spool in spools(directory)) == [False, True]
    assert folded(directory).tokens == {TOKEN: 111}


def test_counting_while_it_is_flushed_makes_nothing_up(usage: Usage, directory: Path) -> None:
    """Many threads count while another flushes: nothing is raised, nothing counted twice, and
    most of it is there."""
    threads, each = 4, 15_000
    counters = [threading.Thread(target=note, args=(usage, each)) for _ in range(threads)]
    busy = threading.Event()

    def flushing() -> None:
        while not busy.is_set():
            usage.flush()

    flusher = threading.Thread(target=flushing)
    failures: list[object] = []
    hook, threading.excepthook = threading.excepthook, failures.append
    try:
        for thread in (*counters, flusher):
            thread.start()
        for thread in counters:
            thread.join()
        busy.set()
        flusher.join()
    finally:
        threading.excepthook = hook
    usage.close()
    assert not failures
    folder = folded(directory)
    assert threads * each * 0.5 < folder.tokens[TOKEN] <= threads * each
    assert folder.decisions["allowed"] <= threads * each


def test_a_count_that_comes_in_the_midst_of_a_flush_stops_nothing(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that took the dictionary just before a flush may still write to it."""
    note(usage, 1)
    note(usage, 1, "gpat_another000000000")
    parts, format_address = usage._counts.parts, usage_module.format_address
    (known,) = (part[TOKEN] for part in parts if TOKEN in part)
    late = [structs.replace(known, token="gpat_late000000000000") for _ in range(2)]

    def counting(address: bytes) -> str:
        for use in late[:1]:
            parts[hash(use.token) % usage_module.PARTS][use.token] = use
        del late[:1]
        return format_address(address)

    monkeypatch.setattr(usage_module, "format_address", counting)
    usage.flush()
    assert not late
    found = folded(directory)
    assert found.tokens[TOKEN] == found.tokens["gpat_another000000000"] == 1
    assert found.decisions["allowed"] == found.tokens.total() <= 3


def test_a_flush_is_written_in_parts(usage: Usage, directory: Path) -> None:
    """No decision waits for all of it; and the parts say what the whole says."""
    for number in range(1_000):
        note(usage, 1 + number % 3, f"gpat_{number:016d}")
    usage.note(Decision(Reason.token_missing, None, frozenset(), Call(Reason.token_missing)), 1)
    usage.flush()
    assert max(len(batch.get("tokens", batch.get("calls"))) for batch in lines(directory)) <= 128
    found = folded(directory)
    assert found.tokens == {f"gpat_{number:016d}": 1 + number % 3 for number in range(1_000)}
    assert found.decisions == {"allowed": 1_999, "token_missing": 1}


def test_a_disk_that_fills_up_in_a_flush_loses_and_repeats_nothing(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before counts once, and so does the rest, later."""
    write, written = os.write, []

    def filling(descriptor: int, line: bytes) -> int:
        if len(written) == 2:
            # Other threads go on.
            note(usage, 1, f"gpat_{0:016d}")
            note(usage, 1, f"gpat_{999:016d}")
            return full_disk()
        written.append(line)
        return write(descriptor, line)

    for number in range(1_000):
        note(usage, 2, f"gpat_{number:016d}")
    usage.note(Decision(Reason.token_missing, None, frozenset(), Call(Reason.token_missing)), 1)
    monkeypatch.setattr(os, "write", filling)
    usage.flush()
    monkeypatch.undo()
    assert 0 < sum(folded(directory).tokens.values()) < 2_000
    for number in range(1, 999):
        note(usage, 1, f"gpat_{number:016d}")
    usage.flush()
    found = folded(directory)
    assert found.tokens == {f"gpat_{number:016d}": 3 for number in range(1_000)}
    assert found.decisions == {"allowed": 3_000, "token_missing": 1}


def test_a_count_is_not_carried_over_a_flush(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush in the midst of counting one use: what was counted before isn't written twice."""
    note(usage, 7)
    original = usage._counts.parts

    class Interrupting(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            found = super().get(key, default)
            usage.flush()
            return found

    usage._counts.parts = tuple(map(Interrupting, original))  # as the real ones, but slow
    note(usage, 1)
    usage.flush()
    assert folded(directory).tokens[TOKEN] in (7, 8)


def test_tokens_past_the_most_are_not_kept(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded; the decision is counted all the same."""
    monkeypatch.setattr(usage_module, "MOST_IN_PART", 2)
    for number in range(1_000):
        note(usage, 1, f"gpat_{number:016d}")
    usage.flush()
    folder = folded(directory)
    assert len(folder.tokens) == 2 * usage_module.PARTS
    assert folder.decisions == {"allowed": 1_000}


def test_where_nothing_was_ever_spooled_there_is_nothing(tmp_path: Path) -> None:
    """A directory that isn't there, or files that are no spools."""
    assert list(spools(tmp_path / "nowhere")) == []
    (tmp_path / "notes.txt").write_text("{}")
    (tmp_path / "1-ab.new").write_text("{}\n")
    assert list(spools(tmp_path)) == []


def test_a_spool_that_vanishes_while_it_is_looked_for_is_passed_over(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder may have removed it."""
    note(usage, 1)
    usage.close()
    monkeypatch.setattr(Path, "glob", lambda *_: [directory / "gone.spool"])
    assert list(spools(directory)) == []
    Spool(directory / "gone.spool", "gone", 0, True, 0).remove()


# --- observed calls -------------------------------------------------------------------------------


def decided(
    number: int = 0,
    reason: Reason = Reason.allowed,
    *,
    token: str = TOKEN,
    permission: str | None = "charges:get",
) -> Decision:
    """A decision about a call from the address with that number."""
    grant = Grant(token, b"", "api", "cmp_1", "usr_1", "", frozenset(), None, (), None, False)
    address = number.to_bytes(4, "big")
    return Decision(
        reason, grant, frozenset(), Call(Reason.token_missing, permission, None, address)
    )


def addresses(folder: Folder) -> set[str | None]:
    """The addresses of the calls that are told apart."""
    return {call.address for _, _, call in folder.calls if call is not None}


def test_calls_of_a_token_are_bounded(usage: Usage, directory: Path) -> None:
    """All count; what tells them apart is kept of the first hundred. The last use is the last."""
    refused = [Reason.address_not_allowed, Reason.token_expired]
    for number in range(300):
        reason = Reason.allowed if number % 3 else refused[number % 2]
        for _ in range(2):
            usage.note(decided(number, reason), START_MS + number)
    usage.note(decided(token="gpat_another000000000"), START_MS)
    (kept,) = (part[TOKEN] for part in usage._counts.parts if TOKEN in part)
    assert len(kept.others or ()) == usage_module.MOST_CALLS_OF_TOKEN - 1 + 2
    usage.flush()
    folder = folded(directory)
    own = {key: count for key, count in folder.calls.items() if key[0] == TOKEN}
    assert sum(count for (_, allowed, _), count in own.items() if allowed) == 400
    assert sum(own.values()) == 600
    assert len(own) == usage_module.MOST_CALLS_OF_TOKEN + 2
    assert addresses(folder) == {f"0.0.0.{number}" for number in range(100)}
    assert folder.tokens[TOKEN] == 400
    assert folder.last[TOKEN] == (START_MS + 299, "0.0.1.43", "charges:get")
    assert folder.decisions == {
        "allowed": 401,
        "address_not_allowed": 100,
        "token_expired": 100,
    }


def test_calls_of_a_process_are_bounded(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_module, "MOST_CALLS", 20)
    for token in range(10):
        for number in range(5):
            usage.note(decided(number, token=f"gpat_{token:016d}"), START_MS)
    usage.flush()
    folder = folded(directory)
    assert len([call for _, _, call in folder.calls if call is not None]) == 20
    assert folder.calls.total() == 50
    assert folder.tokens == {f"gpat_{token:016d}": 5 for token in range(10)}


def test_a_decoy_is_told_apart_however_many_calls_there_are(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise other tokens' calls, perhaps of the same intruder, would silence its alarm."""
    monkeypatch.setattr(usage_module, "MOST_CALLS", 20)
    monkeypatch.setattr(usage_module, "MOST_IN_PART", 1)
    for token in range(1_000):
        usage.note(decided(token=f"gpat_{token:016d}"), START_MS)
    found = decided(reason=Reason.token_invalid, token=f"gpat_{1_000:016d}")
    decoy = structs.replace(found, grant=None, decoy=found.grant)
    for _ in range(2):
        usage.note(decoy, START_MS)
    usage.flush()
    (call,) = (call for token, _, call in folded(directory).calls if token == f"gpat_{1_000:016d}")
    assert call is not None
    assert (call.reason, call.address) == ("token_invalid", "0.0.0.0")


def test_remembered_calls_are_bounded_as_well(
    samples: Samples, counting: Verifier, usage: Usage, directory: Path
) -> None:
    for _ in range(3):
        for number in range(150):
            text, address = samples.texts["networked"], f"192.0.2.{number}"
            counting.check(text, permission="charges:get", address=address)
    usage.flush()
    folder = folded(directory)
    assert len(addresses(folder)) == usage_module.MOST_CALLS_OF_TOKEN
    assert folder.calls.total() == 450 == folder.decisions["address_not_allowed"]


def test_what_a_caller_sends_is_not_kept(
    samples: Samples, counting: Verifier, usage: Usage, directory: Path
) -> None:
    """The route's text, not the path; an origin, not the page; nothing that is malformed."""
    text = samples.texts["good"]
    for call in (
        {"method": "GET", "path": "/v1/charges/secret?secret"},
        {"method": "GET", "path": "/secret"},
        {"method": "SECRET", "path": "/v1/charges"},
        {"method": "GET", "path": "//secret"},
        {"permission": "secret"},
        {"permission": "secret:get" + "x" * 200},
    ):
        for origin, referer in (("secret", None), (None, "https://shop.example.com/secret")):
            for _ in range(2):
                counting.check(text, origin=origin, referer=referer, **call)
    usage.flush()
    assert b"secret" not in b"".join(path.read_bytes() for path in directory.iterdir())
    calls = {(call.route, call.origin) for _, _, call in folded(directory).calls if call}
    assert calls == {
        (route, origin)
        for route in ("/v1/charges/{id}", None)
        for origin in ("https://shop.example.com", None)
    }


def test_times_are_of_the_first_and_the_last_call(
    samples: Samples, counting: Verifier, usage: Usage, directory: Path, clocks: Clocks
) -> None:
    """Since the last flush, whether a decision is remembered or not."""
    start = START_MS
    for _ in range(2):
        times = set[tuple[int, int]]()
        for _ in range(4):
            counting.check(samples.texts["good"], permission="charges:get")
            counting.judge(samples.texts["lasting"], "charges:get")
            clocks.advance(1)
        usage.flush()
        for line in lines(directory):
            times |= {(first, last) for *_, first, last in line.get("calls", ()) if last >= start}
        assert min(first for first, _ in times) == start
        assert max(last for _, last in times) == start + 3_000
        start += 4_000


def test_a_full_disk_keeps_the_calls(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their reasons, those over a bound too; none twice."""
    monkeypatch.setattr(usage_module, "MOST_CALLS_OF_TOKEN", 3)
    monkeypatch.setattr(os, "write", full_disk)
    for _ in range(3):
        for number in range(10):
            reason = Reason.allowed if number % 2 else Reason.token_expired
            usage.note(decided(number, reason), START_MS + number)
            usage.note(decided(number, reason, token="gpat_another000000000"), START_MS)
        usage.flush()
    monkeypatch.undo()
    usage.flush()
    folder = folded(directory)
    assert folder.decisions == {"allowed": 30, "token_expired": 30}
    assert folder.tokens == {TOKEN: 15, "gpat_another000000000": 15}
    assert folder.calls.total() == 60
    assert folder.last[TOKEN] == (START_MS + 9, "0.0.0.9", "charges:get")


class FormerBatch(msgspec.Struct, forbid_unknown_fields=True):
    """A line, as a release read it that knew no calls."""

    tokens: dict[str, tuple[int, int, str | None, str]]
    decisions: dict[str, int]


def test_a_former_release_counts_the_use(usage: Usage, directory: Path) -> None:
    """It skips the calls' lines as damaged; on one node both may fold, during an upgrade."""
    for number in range(200):
        usage.note(decided(number), START_MS)
    usage.close()
    (path,) = directory.iterdir()
    uses, skipped = 0, 0
    for line in path.read_bytes().splitlines():
        try:
            batch = msgspec.json.decode(line, type=FormerBatch)
        except msgspec.DecodeError:
            skipped += 1
        else:
            uses += batch.tokens[TOKEN][0]
    assert (uses, skipped > 0) == (200, True)


# --- up to when all decisions are in the spools ---------------------------------------------------


def age_ms(directory: Path, at_s: float) -> int:
    """``unreported_ms`` by a wall clock at *at_s*, without its margin."""
    return unreported_ms(list(spools(directory)), int(at_s * 1e9)) - FLUSHED_WITHIN_MS


def test_a_spool_says_when_its_process_flushed_last(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    note(usage, 1)
    usage.flush()
    assert age_ms(directory, began + 60) >= 59_000
    # A flush without any counts says so, too.
    monkeypatch.setattr(time, "time_ns", lambda: int((began + 60) * 1e9))
    usage.flush()
    assert age_ms(directory, began + 60) == 0
    assert age_ms(directory, began + 62) == 2_000


def test_counts_that_were_not_spooled_keep_it_from_saying_so(
    usage: Usage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    note(usage, 1)
    usage.flush()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    note(usage, 2)
    monkeypatch.setattr(time, "time_ns", lambda: int((began + 60) * 1e9))
    monkeypatch.setattr(os, "write", full)
    usage.flush()
    assert age_ms(directory, began + 60) >= 59_000


def test_the_oldest_spool_in_use_counts_and_those_of_ended_processes_do_not(
    usage: Usage, directory: Path
) -> None:
    ended, other = Usage(directory), Usage(directory)
    for each in (ended, usage, other):
        note(each, 1)
        each.flush()
    ended.close()
    for spool in spools(directory):
        since_s = 10 if spool.finished else 40
        os.utime(spool.path, (1_000 - since_s, 1_000 - since_s))
    os.utime(next(each.path for each in spools(directory) if not each.finished), (900, 900))
    assert age_ms(directory, 1_000) == 100_000
    assert unreported_ms([], 10**18) == FLUSHED_WITHIN_MS, "nobody has counted anything"
