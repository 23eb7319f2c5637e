"""The lease of a copy of the grants: until when it is fresh."""

from pathlib import Path

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Unavailable
from gatepass.verify import freshness
from gatepass.verify.freshness import SIZE, SharedMap, boot_word
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import START_MS, Clocks, Samples, make_map

STALENESS_MS = 10_000


@pytest.fixture
def shared(tmp_path: Path) -> SharedMap:
    return make_map(tmp_path)


def is_fresh(shared: SharedMap, clocks: Clocks) -> bool:
    return shared.is_fresh(clocks.boot_ns, clocks.wall_ms)


def renew(shared: SharedMap, clocks: Clocks) -> None:
    shared.renew_lease(clocks.boot_ns, clocks.wall_ms, STALENESS_MS)


def test_an_empty_map_has_no_lease(shared: SharedMap, clocks: Clocks) -> None:
    """Not even by clocks at zero."""
    assert not is_fresh(shared, clocks)
    assert not shared.is_fresh(0, 0)


def test_a_lease_lasts_exactly_as_long_as_it_says(shared: SharedMap, clocks: Clocks) -> None:
    """To the millisecond."""
    renew(shared, clocks)
    clocks.advance(9.999)
    assert is_fresh(shared, clocks)
    clocks.advance(0.001)
    assert not is_fresh(shared, clocks)


def test_a_lease_ends_when_the_boot_clock_is_past_it(shared: SharedMap, clocks: Clocks) -> None:
    """A wall clock that was set back doesn't make a copy younger."""
    renew(shared, clocks)
    clocks.boot_ns += STALENESS_MS * 1_000_000
    assert not is_fresh(shared, clocks)
    clocks.wall_ms -= 3_600_000
    assert not is_fresh(shared, clocks)


def test_a_lease_ends_when_the_wall_clock_is_past_it(shared: SharedMap, clocks: Clocks) -> None:
    """The boot clock of a machine that was frozen and resumed has stopped meanwhile."""
    renew(shared, clocks)
    clocks.wall_ms += STALENESS_MS
    assert not is_fresh(shared, clocks)


def test_a_lease_outlives_no_boot(
    shared: SharedMap, clocks: Clocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart resets the boot clock, by which every old lease would seem to run. It belongs to
    another boot."""
    renew(shared, clocks)
    monkeypatch.setattr(freshness, "boot_word", lambda: boot_word() ^ 1)
    after = make_map(tmp_path)
    clocks.boot_ns = 0
    assert not is_fresh(after, clocks)
    renew(after, clocks)
    assert is_fresh(after, clocks)
    assert not is_fresh(shared, clocks)


def test_a_lease_that_ended_before_this_boot_is_none(shared: SharedMap, clocks: Clocks) -> None:
    """Its end is negative, which a word can't hold."""
    renew(shared, clocks)
    shared.renew_lease(-20_000_000_000, -20_000, 10_000)
    assert not is_fresh(shared, clocks)


def test_each_boot_has_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for one boot; never zero, as in an empty map."""
    assert boot_word() == boot_word() != 0

    def no_such_file(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", no_such_file)
    assert boot_word() != 0


def test_a_lease_can_be_ended_at_once(shared: SharedMap, clocks: Clocks) -> None:
    """For a copy whose history the primary doesn't know."""
    renew(shared, clocks)
    shared.end_lease()
    assert not is_fresh(shared, clocks)


def test_all_processes_share_a_lease(shared: SharedMap, clocks: Clocks, tmp_path: Path) -> None:
    """One process follows, all of them decide."""
    other = make_map(tmp_path)
    renew(shared, clocks)
    assert is_fresh(other, clocks)
    other.end_lease()
    assert not is_fresh(shared, clocks)


def test_each_value_has_its_own_word(shared: SharedMap, clocks: Clocks) -> None:
    """Writing one leaves the others unchanged."""
    shared.change_generation()
    generation = shared.generation
    shared.record_time(START_MS)
    shared.set_position(2**40, "00000000deadbeef")
    renew(shared, clocks)
    assert (shared.generation, shared.latest_ms) == (generation, START_MS)
    assert shared.position == (2**40, "00000000deadbeef")
    assert is_fresh(shared, clocks)
    assert shared.path.stat().st_size == SIZE


# --- a verifier on a copy -------------------------------------------------------------------------


@pytest.fixture
def copy_verifier(samples: Samples, clocks: Clocks) -> Verifier:
    return samples.verifier(clocks.clock(), copy=True)


NAMES = ("good", "deactivated", "unknown", "wrong secret", "bad checksum", "empty", "login")


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_without_a_lease_decides_nothing(
    samples: Samples, copy_verifier: Verifier, name: str
) -> None:
    """Neither "allowed" nor a denial: it raises "stale" for every call."""
    with pytest.raises(Unavailable) as refused:
        copy_verifier.check(samples.texts[name], permission="charges:get")
    assert refused.value.reason == "stale"
    assert not copy_verifier.fresh()
    with pytest.raises(Unavailable, match="lease"):
        copy_verifier.verifier_key(samples.texts["verifier"])
    with pytest.raises(Unavailable, match="lease"):
        copy_verifier.admit(samples.texts["login"], address=None, origin=None)


def test_a_copy_decides_while_its_lease_runs(
    samples: Samples, copy_verifier: Verifier, clocks: Clocks
) -> None:
    """Also from the cache. After the lease it doesn't, until the lease is renewed."""
    text = samples.texts["good"]
    for _ in range(2):
        renew(samples.file.shared, clocks)
        for _ in range(10):
            assert copy_verifier.check(text, permission="charges:get").reason is Reason.allowed
            clocks.advance(0.999)
        assert copy_verifier.fresh()
        clocks.advance(0.01)
        with pytest.raises(Unavailable):
            copy_verifier.check(text, permission="charges:get")
        assert not copy_verifier.fresh()


def test_freshness_is_checked_after_the_decision(
    samples: Samples, copy_verifier: Verifier, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is suspended after reading its rows doesn't answer by them."""
    renew(samples.file.shared, clocks)
    record = copy_verifier.file.record

    def slow(table: str, key: str) -> bytes | None:
        clocks.advance(11)
        return record(table, key)

    monkeypatch.setattr(copy_verifier.file, "record", slow)
    with pytest.raises(Unavailable):
        copy_verifier.check(samples.texts["good"], permission="charges:get")


def test_the_database_itself_needs_no_lease(samples: Samples, verifier: Verifier) -> None:
    """On one machine it is always fresh."""
    assert verifier.fresh()
    assert verifier.check(samples.texts["good"], permission="charges:get").allowed


# --- the public URL -------------------------------------------------------------------------------

URL = "https://gatepass.example.com"


def test_the_public_url_is_shared(shared: SharedMap) -> None:
    other = SharedMap(shared.path)
    assert (shared.public_url, other.public_url) == (None, None)
    for url in (URL, URL + ":8443", "http://a"):
        before = shared.generation
        shared.set_public_url(url)
        assert (shared.public_url, other.public_url) == (url, url)
        # What was remembered of it is void; writing the same changes nothing.
        changed = shared.generation
        assert changed != before
        other.set_public_url(url)
        assert shared.generation == changed
    assert SharedMap(shared.path).public_url == "http://a"


def test_a_text_that_is_no_url_is_left_out(shared: SharedMap) -> None:
    """A hostile server's may not end up in a header."""
    shared.set_public_url(URL)
    for text in ("", "x", "javascript:x", URL + "\r\nA: b", URL + " ", URL + "é", URL + "x" * 500):
        shared.set_public_url(text)
        assert shared.public_url == URL


def test_a_url_that_is_being_written_is_unknown(shared: SharedMap) -> None:
    """Its text is longer than what a machine writes at once."""
    shared.set_public_url(URL)
    other = SharedMap(shared.path)
    shared.words.cast("B")[1030:1040] = b"x" * 10
    assert other.public_url is None
    shared.set_public_url(URL + "/")
    assert other.public_url == URL + "/"
