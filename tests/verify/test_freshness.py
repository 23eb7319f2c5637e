"""Until when a copy of the grants is believed."""

from pathlib import Path

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Unavailable
from gatepass.verify import freshness
from gatepass.verify.freshness import SIZE, SharedMap, boot_word
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import START_MS, Clocks, World, make_map

STALENESS_MS = 10_000


@pytest.fixture
def shared(tmp_path: Path) -> SharedMap:
    return make_map(tmp_path)


def vouched(shared: SharedMap, clocks: Clocks) -> bool:
    return shared.vouched(clocks.boot_ns, clocks.wall_ms)


def vouch(shared: SharedMap, clocks: Clocks) -> None:
    shared.vouch(clocks.boot_ns, clocks.wall_ms, STALENESS_MS)


def test_an_empty_map_vouches_for_nothing(shared: SharedMap, clocks: Clocks) -> None:
    """Not even at the beginning of time."""
    assert not vouched(shared, clocks)
    assert not shared.vouched(0, 0)


def test_a_stamp_lasts_as_long_as_it_says(shared: SharedMap, clocks: Clocks) -> None:
    """Up to its last moment, and not beyond."""
    vouch(shared, clocks)
    clocks.advance(9.999)
    assert vouched(shared, clocks)
    clocks.advance(0.001)
    assert not vouched(shared, clocks)


def test_a_stamp_ends_when_the_boot_clock_is_past_it(shared: SharedMap, clocks: Clocks) -> None:
    """A wall clock that was set back doesn't make a copy younger."""
    vouch(shared, clocks)
    clocks.boot_ns += STALENESS_MS * 1_000_000
    assert not vouched(shared, clocks)
    clocks.wall_ms -= 3_600_000
    assert not vouched(shared, clocks)


def test_a_stamp_ends_when_the_wall_clock_is_past_it(shared: SharedMap, clocks: Clocks) -> None:
    """A machine that was frozen and resumed has a boot clock that stood still."""
    vouch(shared, clocks)
    clocks.wall_ms += STALENESS_MS
    assert not vouched(shared, clocks)


def test_a_stamp_outlives_no_boot(
    shared: SharedMap, clocks: Clocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart of the machine the boot clock begins anew, and every old stamp would seem
    to last; it belongs to another boot."""
    vouch(shared, clocks)
    monkeypatch.setattr(freshness, "boot_word", lambda: boot_word() ^ 1)
    after = make_map(tmp_path)
    clocks.boot_ns = 0
    assert not vouched(after, clocks)
    vouch(after, clocks)
    assert vouched(after, clocks)
    assert not vouched(shared, clocks)


def test_a_stamp_that_ran_out_before_this_boot_is_none(shared: SharedMap, clocks: Clocks) -> None:
    """What was asked before the machine was started: not a number that a word can't hold."""
    vouch(shared, clocks)
    shared.vouch(-20_000_000_000, -20_000, 10_000)
    assert not vouched(shared, clocks)


def test_each_boot_has_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same all through one boot; never zero, which is an empty map's."""
    assert boot_word() == boot_word() != 0

    def no_such_file(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", no_such_file)
    assert boot_word() != 0


def test_a_stamp_is_withdrawn_at_once(shared: SharedMap, clocks: Clocks) -> None:
    """Where the primary doesn't know this copy's history, nothing of it counts from now on."""
    vouch(shared, clocks)
    shared.withdraw()
    assert not vouched(shared, clocks)


def test_a_stamp_is_every_processs(shared: SharedMap, clocks: Clocks, tmp_path: Path) -> None:
    """One follows, all of them know."""
    other = make_map(tmp_path)
    vouch(shared, clocks)
    assert vouched(other, clocks)
    other.withdraw()
    assert not vouched(shared, clocks)


def test_words_survive_each_other(shared: SharedMap, clocks: Clocks) -> None:
    """Each has its own eight bytes."""
    shared.move()
    generation = shared.generation
    shared.saw(START_MS)
    shared.reached(2**40, "00000000deadbeef")
    vouch(shared, clocks)
    assert (shared.generation, shared.latest_ms) == (generation, START_MS)
    assert shared.position == (2**40, "00000000deadbeef")
    assert vouched(shared, clocks)
    assert shared.path.stat().st_size == SIZE


# --- a verifier on a copy -------------------------------------------------------------------------


@pytest.fixture
def copy_verifier(world: World, clocks: Clocks) -> Verifier:
    return world.verifier(clocks.clock(), copy=True)


NAMES = ("good", "deactivated", "unknown", "wrong secret", "bad checksum", "empty", "login")


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_that_nobody_vouches_for_decides_nothing(
    world: World, copy_verifier: Verifier, name: str
) -> None:
    """Neither "allowed" nor a denial: it says "stale", whatever was asked."""
    with pytest.raises(Unavailable) as refused:
        copy_verifier.check(world.texts[name], permission="charges:get")
    assert refused.value.reason == "stale"
    assert not copy_verifier.fresh()
    with pytest.raises(Unavailable, match="vouched"):
        copy_verifier.verifier_key(world.texts["verifier"])
    with pytest.raises(Unavailable, match="vouched"):
        copy_verifier.admit(world.texts["login"], address=None, origin=None)


def test_a_copy_decides_while_it_is_vouched_for(
    world: World, copy_verifier: Verifier, clocks: Clocks
) -> None:
    """On its own, also with what is cached; past it it doesn't, until it is vouched for again."""
    text = world.texts["good"]
    for _ in range(2):
        vouch(world.file.shared, clocks)
        for _ in range(10):
            assert copy_verifier.check(text, permission="charges:get").reason is Reason.allowed
            clocks.advance(0.999)
        assert copy_verifier.fresh()
        clocks.advance(0.01)
        with pytest.raises(Unavailable):
            copy_verifier.check(text, permission="charges:get")
        assert not copy_verifier.fresh()


def test_freshness_is_looked_at_after_the_decision(
    world: World, copy_verifier: Verifier, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is suspended between its rows and its answer doesn't answer by them."""
    vouch(world.file.shared, clocks)
    record = copy_verifier.file.record

    def slow(table: str, key: str) -> bytes | None:
        clocks.advance(11)
        return record(table, key)

    monkeypatch.setattr(copy_verifier.file, "record", slow)
    with pytest.raises(Unavailable):
        copy_verifier.check(world.texts["good"], permission="charges:get")


def test_the_database_itself_needs_nobody_to_vouch_for_it(world: World, verifier: Verifier) -> None:
    """On one machine it is always fresh."""
    assert verifier.fresh()
    assert verifier.check(world.texts["good"], permission="charges:get").allowed
