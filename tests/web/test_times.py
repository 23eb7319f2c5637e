"""Times: RFC 3339 outside, milliseconds inside."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.web.times import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-24T00:00:00Z", "2026-12-24T00:00:00.000Z"),
        ("2026-12-24t00:00:00z", "2026-12-24T00:00:00.000Z"),
        ("2026-12-24T01:00:00+01:00", "2026-12-24T00:00:00.000Z"),
        ("2026-12-23T18:30:00.25-05:30", "2026-12-24T00:00:00.250Z"),
        ("2026-12-24T00:00:00-00:00", "2026-12-24T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("1969-12-31T23:59:59.9996Z", "1969-12-31T23:59:59.999Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999Z"),
        ("2017-01-01T00:59:60.75+01:00", "2016-12-31T23:59:59.999Z"),
    ],
)
def test_any_offset_is_read_and_utc_is_sent(text: str, utc: str) -> None:
    assert format_time(parse_time(text)) == utc


@pytest.mark.parametrize("digits", ["9999", "999999999", "9995", "9" * 5000])
def test_digits_past_the_millisecond_are_truncated(digits: str) -> None:
    assert format_time(parse_time(f"2026-12-24T00:00:00.{digits}Z")) == "2026-12-24T00:00:00.999Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-12-24",
        "2026-12-24T00:00:00",
        "2026-12-24T00:00Z",
        "2026-12-24 00:00:00Z",
        "2026-12-24T00:00:00.Z",
        "2026-12-24T00:00:00,5Z",
        "2026-12-24T00:00:00+0100",
        "2026-12-24T00:00:00+24:00",
        "2026-12-24T00:00:00+01:60",
        "2026-12-24T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-12-24T00:00:61Z",
        "2026-12-24T12:30:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "٢٠٢٦-12-24T00:00:00Z",
        " 2026-12-24T00:00:00Z",
        "2026-12-24T00:00:00Z\n",
        "+2026-12-24T00:00:00Z",
        "1798070400",
        "\ud800",
    ],
)
def test_invalid_times_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"[.]$") as refused:
        parse_time(text)
    assert str(refused.value).isprintable()


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999), st.integers(-1439, 1439))
def test_times_round_trip(milliseconds: int, offset: int) -> None:
    text = format_time(milliseconds)
    assert parse_time(text) == milliseconds
    moment = datetime.fromisoformat(text) + timedelta(minutes=0)
    assert moment.tzinfo == UTC
    try:
        local = moment + timedelta(minutes=offset)
    except OverflowError:
        return
    sign = "-" if offset < 0 else "+"
    hours, minutes = divmod(abs(offset), 60)
    written = local.isoformat(timespec="milliseconds")[:-6] + f"{sign}{hours:02}:{minutes:02}"
    assert parse_time(written) == milliseconds


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(ValueError):
        parse_time(text)
