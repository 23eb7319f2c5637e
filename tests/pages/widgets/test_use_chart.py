"""The drawings of a token's calls per day and hour."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gatepass.web.pages.widgets.sparkline import days_until, sparkline
from gatepass.web.pages.widgets.use_chart import Part, use_chart

#: 1 March 2026, some hours after midnight (UTC).
NOW = 1_772_323_200_000 + 5_000_000


def share(length: str) -> float:
    assert length.endswith("%")
    return float(length[:-1])


def test_refused_calls_stand_on_allowed_ones() -> None:
    chart = use_chart(NOW, [0, 30, 10], [0, 10, 0])
    nothing, both, allowed = chart.columns
    assert (nothing.allowed, nothing.refused, allowed.refused) == (None, None, None)
    assert both.allowed == Part("25%", "75%")
    assert both.refused == Part("0%", "25%")
    assert allowed.allowed == Part("75%", "25%")
    assert chart.ticks == ("40", "20", "0")
    assert [column.date for column in chart.columns] == ["27 Feb", "28 Feb", "Today"]
    assert both.words == "28 Feb: 30 allowed, 10 refused"
    assert (chart.allowed, chart.refused) == (40, 10)
    assert chart.words == "40 allowed calls and 10 refused calls in 3 days, by day"


def test_the_axis_ends_at_a_round_number() -> None:
    tops = {
        most: use_chart(NOW, [most], [0]).ticks
        for most in (0, 1, 2, 3, 7, 9, 11, 12_431, 61_000, 999_999, 2**48)
    }
    assert tops == {
        0: ("1", "0"),
        1: ("1", "0"),
        2: ("2", "1", "0"),
        3: ("4", "2", "0"),
        7: ("8", "4", "0"),
        9: ("10", "5", "0"),
        11: ("20", "10", "0"),
        12_431: ("20k", "10k", "0"),
        61_000: ("80k", "40k", "0"),
        999_999: ("1M", "500k", "0"),
        2**48: ("400T", "200T", "0"),
    }


def test_dates_are_evenly_apart_and_within_the_plot() -> None:
    chart = use_chart(NOW, [1] * 30, [0] * 30)
    assert [(each.text, each.anchor) for each in chart.labels] == [
        ("31 Jan", "start"),
        ("10 Feb", "middle"),
        ("19 Feb", "middle"),
        ("Today", "end"),
    ]


def test_a_column_for_each_hour_says_which_in_utc() -> None:
    chart = use_chart(NOW, [0, 3, 1], [0, 1, 0], unit="hour")
    assert [column.date for column in chart.columns] == [
        *("28 Feb, 23:00", "1 Mar, 00:00"),
        "This hour",
    ]
    assert [column.words for column in chart.columns] == [
        "28 Feb, 23:00–00:00 UTC: 0 allowed, 0 refused",
        "1 Mar, 00:00–01:00 UTC: 3 allowed, 1 refused",
        "1 Mar, 01:00–02:00 UTC: 1 allowed, 0 refused",
    ]
    assert chart.words == "4 allowed calls and 1 refused call in 3 hours, by hour"


@given(st.integers(0, 23))
def test_every_sixth_hour_has_a_label_and_midnight_the_date(later: int) -> None:
    chart = use_chart(NOW + later * 3_600_000, [1] * 24, [0] * 24, unit="hour")
    texts = [label.text for label in chart.labels]
    assert len(texts) == 4
    assert {"06:00", "12:00", "18:00"} < set(texts)
    (midnight,) = set(texts) - {"06:00", "12:00", "18:00"}
    assert re.fullmatch("28 Feb|[12] Mar", midnight)
    for label in chart.labels:
        # A label is some 40 px wide, in a plot of 220 px on the narrowest screen.
        half = 0 if label.anchor != "middle" else 40 / 220 * 50
        assert (label.anchor == "start") <= (share(label.x) < 8)
        assert (label.anchor == "end") <= (share(label.x) == 100)
        assert half - 2 <= share(label.x) <= 102 - half
    # Each is below the column of its hour.
    for label, text in zip(chart.labels, texts, strict=True):
        column = next(
            each
            for each in chart.columns
            if f" {text}–" in each.words or each.words.startswith(f"{text}, 00:00")
        )
        if label.anchor != "end":
            assert 0 <= share(label.x) - share(column.left) <= share(column.place)


@given(st.lists(st.tuples(st.integers(0, 2**48), st.integers(0, 2**48)), min_size=1, max_size=90))
def test_every_call_is_seen_and_nothing_leaves_the_plot(days: list[tuple[int, int]]) -> None:
    allowed, refused = [each for each, _ in days], [each for _, each in days]
    chart = use_chart(NOW, allowed, refused)
    by_hour = use_chart(NOW, allowed, refused, unit="hour")
    assert [each.allowed for each in by_hour.columns] == [each.allowed for each in chart.columns]
    assert [each.refused for each in by_hour.columns] == [each.refused for each in chart.columns]
    for (made, denied), column in zip(days, chart.columns, strict=True):
        assert (column.allowed is not None, column.refused is not None) == (
            made > 0,
            denied > 0,
        )
        for part in (column.allowed, column.refused):
            if part is not None:
                assert share(part.height) >= 2
                assert share(part.y) >= 0
                assert share(part.y) + share(part.height) <= 100.02
        assert 0 <= share(column.x) <= share(column.x) + share(column.width) <= 100.02


def test_today_is_told_apart_in_a_sparkline() -> None:
    drawn = sparkline(days_until(NOW, [4, 0, 2]))
    assert [bar.today for bar in drawn.bars] == [False, False, True]
    assert [bar.height for bar in drawn.bars] == ["100%", "12%", "50%"]
    assert drawn.words == "6 calls in 3 days, at most 4 a day"
