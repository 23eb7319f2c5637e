"""The drawings of a token's calls per day."""

from hypothesis import given, settings
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


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**48), st.integers(0, 2**48)), min_size=1, max_size=90))
def test_every_call_is_seen_and_nothing_leaves_the_plot(days: list[tuple[int, int]]) -> None:
    chart = use_chart(NOW, [each for each, _ in days], [each for _, each in days])
    for (allowed, refused), column in zip(days, chart.columns, strict=True):
        assert (column.allowed is not None, column.refused is not None) == (
            allowed > 0,
            refused > 0,
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
