import pytest

from gatepass.web.pages.text.local_times import written
from gatepass.web.pages.text.times import DAY, HOUR
from gatepass.web.pages.widgets.expiry import preset_of, read_expiry, read_written

NOW = 1_798_000_000_000  # 2026-12-23T04:26:40Z
CHRISTMAS_EVE = 1_798_122_600_000  # 2026-12-24T14:30:00Z


def test_presets_are_relative_to_now() -> None:
    assert read_expiry("1h", "", "", NOW) == NOW + HOUR
    assert read_expiry("1y", "ignored", "", NOW) == NOW + 365 * DAY


def test_never_and_blank_mean_no_expiry() -> None:
    assert read_expiry("never", "2026-12-24T14:30", "", NOW) is None
    assert read_expiry("at", "", "600", NOW) is None


@pytest.mark.parametrize(
    ("typed", "offset"),
    [
        ("2026-12-24T14:30", ""),
        ("2026-12-24T14:30:00", "0"),
        ("2026-12-25T01:30", "660"),
        ("2026-12-24T04:30", "-600"),
        ("2026-12-24T20:15", "345"),
    ],
)
def test_a_date_is_in_the_viewers_time_zone(typed: str, offset: str) -> None:
    assert read_expiry("at", typed, offset, NOW) == CHRISTMAS_EVE


@pytest.mark.parametrize(
    ("choice", "typed", "offset"),
    [
        ("at", "2026-02-30T10:00", ""),
        ("at", "tomorrow", ""),
        ("at", "2026-12-24", ""),
        ("at", "99999-01-01T00:00", ""),
        ("at", "2026-12-24T14:30", "east"),
        ("at", "2026-12-24T14:30", "9999"),
        ("at", "2026-12-24T14:30", "٦٠"),
        ("at", "2026-12-01T00:00", ""),
        ("at", "9999-12-31T23:59", "-60"),
        ("forever", "", ""),
        ("", "", ""),
    ],
)
def test_an_invalid_date_is_refused(choice: str, typed: str, offset: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        read_expiry(choice, typed, offset, NOW)


def test_dates_are_formatted_for_datetime_inputs() -> None:
    assert written(CHRISTMAS_EVE + 29_999) == "2026-12-24T14:30"


def test_a_lifetime_has_its_preset() -> None:
    assert preset_of(DAY + 5_000) == "1d"
    assert preset_of(2 * DAY) is None


@pytest.mark.parametrize(
    ("text", "choice", "at"),
    [
        ("30", "30d", ""),
        ("365", "1y", ""),
        ("1h", "1h", ""),
        ("never", "never", ""),
        ("45", "at", "2027-02-06T04:26"),
        ("2026-12-24", "at", "2026-12-24T23:59"),
        ("2026-12-24T14:30", "at", "2026-12-24T14:30"),
        ("2026-12-24T14:30:05Z", "at", "2026-12-24T14:30:05"),
        # The field says what is wrong with it.
        ("2026-13-40", "at", "2026-13-40T23:59"),
    ],
)
def test_an_expiry_written_in_a_link(text: str, choice: str, at: str) -> None:
    assert read_written(text, NOW) == (choice, at)


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "1.5", "soon", "at", "٣", "2026-12-24T14:30+11:00", "30 "],
)
def test_an_expiry_that_no_link_can_have(text: str) -> None:
    with pytest.raises(ValueError, match="Must be days, such as 30, or a date"):
        read_written(text, NOW)


@pytest.mark.parametrize("text", ["100000", "9" * 9, "9" * 5_000])
def test_a_link_has_a_most_of_days(text: str) -> None:
    with pytest.raises(ValueError, match="Must be at most 99,999 days"):
        read_written(text, NOW)
