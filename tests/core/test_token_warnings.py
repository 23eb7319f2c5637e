"""When the owner of an access token is warned that it ends."""

import pytest

from gatepass.core.token_policy import DAY_MS
from gatepass.core.token_warnings import days_left, due, next_moment, of_expiry, of_unused

E = 1_800_000_000_000
WARN_DAYS = (14, 7, 1)


@pytest.mark.parametrize(
    ("since_days", "now_days", "expected"),
    [
        (30, 15, False),
        (30, 14, True),
        # The most urgent alone, after an outage.
        (30, 0.5, True),
        (14, 13, False),
        (14, 7, True),
        # Made with exactly fourteen days of life, or fewer: no mail at its creation.
        (14, 14, False),
        (10, 9, False),
        (10, 7, True),
        (1, 0, True),
        (0.5, 0.25, False),
        (0.5, 0, True),
        (0.5, -3, True),
        (-1, -2, False),
    ],
)
def test_a_warning_is_due_when_a_moment_has_passed_since(
    since_days: float, now_days: float, expected: bool
) -> None:
    end = of_expiry(E, WARN_DAYS)
    since, now = (round(E - days * DAY_MS) for days in (since_days, now_days))
    assert due([end], since=since, now=now) == (end if expected else None)


def test_of_two_ends_the_first_is_named() -> None:
    expiry, unused = of_expiry(E, WARN_DAYS), of_unused(E - DAY_MS)
    assert due([expiry, unused], since=0, now=E - 7 * DAY_MS) == unused
    assert due([expiry, of_unused(E + DAY_MS)], since=0, now=E - 6 * DAY_MS) == expiry
    assert due([], since=0, now=E) is None


def test_a_token_that_nobody_can_use_in_time_is_no_warning() -> None:
    assert due([of_unused(E)], since=0, now=E - 1) is not None
    assert due([of_unused(E)], since=0, now=E) is None


def test_the_next_moment() -> None:
    ends = [of_expiry(E, WARN_DAYS)]
    moments = [E - 14 * DAY_MS, E - 7 * DAY_MS, E - DAY_MS, E]
    assert next_moment(ends, 0) == moments[0]
    for now, then in zip(moments, [*moments[1:], None], strict=True):
        assert next_moment(ends, now) == then
    assert next_moment([of_expiry(E, ()), of_unused(E - DAY_MS)], 0) == E - 8 * DAY_MS


@pytest.mark.parametrize(
    ("ms", "days"),
    [
        (7 * DAY_MS, 7),
        (7 * DAY_MS - 60_000, 7),
        (5 * DAY_MS + 7_200_000, 5),
        (DAY_MS // 3, 1),
        (1, 1),
        (0, 0),
        (-DAY_MS, 0),
    ],
)
def test_days_left_are_rounded(ms: int, days: int) -> None:
    assert days_left(E, E - ms) == days
