"""The bounded cache."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gatepass.verify.recent import RecentCache


@settings(deadline=None)
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
            found = cache.get(key)
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
