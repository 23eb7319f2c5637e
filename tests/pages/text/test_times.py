import pytest

from gatepass.web.pages.text.times import DAY, HOUR, MINUTE, relative, worded_time


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (0, "just now"),
        (-59_999, "just now"),
        (1, "in a moment"),
        (-2 * MINUTE, "2 min ago"),
        (-HOUR, "1 h ago"),
        (20 * HOUR, "in 20 h"),
        (DAY, "in 1 day"),
        (12 * DAY + 3 * HOUR, "in 12 days"),
        (30 * DAY - 1_000, "in 30 days"),
        (HOUR - 1_000, "in 1 h"),
        (-2 * HOUR + 1_000, "1 h ago"),
        (-59 * DAY, "59 days ago"),
        (-90 * DAY, "2 months ago"),
        (-800 * DAY, "2 years ago"),
    ],
)
def test_a_distance_is_worded_in_the_largest_unit_that_fits(distance: int, words: str) -> None:
    assert relative(distance) == words


def test_an_instant_is_worded_relative_exact_and_as_iso() -> None:
    seen = worded_time(1_798_122_600_000, 1_798_122_600_000 - 2 * DAY)
    assert seen.iso == "2026-12-24T14:30:00Z"
    assert seen.exact == "24 Dec 2026, 14:30 UTC"
    assert seen.relative == "in 2 days"
    assert seen.clock == "14:30"


@pytest.mark.parametrize(
    ("later", "name"),
    [(0, "Today"), (10 * HOUR, "Yesterday"), (33 * HOUR, "Yesterday"), (34 * HOUR, "Thursday")],
)
def test_a_day_is_named_by_its_distance_in_utc(later: int, name: str) -> None:
    at = 1_798_122_600_000
    assert worded_time(at, at + later).day == f"{name}, 24 December 2026"
