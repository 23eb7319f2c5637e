"""The bounded cache."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gatepass.verify.recent import RecentCache


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from(["put", "get"]), st.integers(0, 20)), max_size=200),
)
def test_it_has_what_was_used_last_and_never_another_value(
    size: int, steps: list[tuple[str, int]]
) -> None:
    cache: RecentCache[int, str] = RecentCache(size)
    model: dict[int, str] = {}  # in the order of their last use
    for number, (step, key) in enumerate(steps):
        if step == "put":
            cache.put(key, f"{number}")
            model.pop(key, None)
            model[key] = f"{number}"
        else:
            found = cache.recent.get(key) or cache.revive(key)
            if key in list(model)[-size:]:
                assert found == model[key]
            assert found in (None, model.get(key))
            if found is not None:
                model[key] = model.pop(key)
        assert len(cache) <= 2 * size
        assert len(cache._forgotten) <= size


def test_forgetting_is_spread_over_the_entries_that_come() -> None:
    """No single call frees more than two entries."""
    cache: RecentCache[int, int] = RecentCache(100)
    for number in range(1_000):
        held = len(cache) + len(cache._forgotten)
        cache.put(number, number)
        assert held - (len(cache) + len(cache._forgotten)) <= 1


def test_a_full_cache_accepts_a_key_at_its_second_sight() -> None:
    cache: RecentCache[int, str] = RecentCache(2)
    for key in (1, 2, 3):
        assert cache.accepts(key)
        cache.put(key, "")
    asked = (70_000, 70_000, 140_000, 70_000, 140_000)
    assert [cache.accepts(key) for key in asked] == [False, True, False, True, True]


def test_a_crowd_of_keys_that_come_once_displaces_nothing() -> None:
    """Few of them are taken for keys that were seen, whatever their hashes."""
    cache: RecentCache[int, str] = RecentCache(1_000)
    for key in range(1_001):
        cache.put(key, "")
    numbers = Random(1)
    accepted = sum(cache.accepts(numbers.getrandbits(62) - (1 << 61)) for _ in range(50_000))
    assert accepted < 50_000 / 100
