"""The lines in which two texts differ."""

from gatepass.web.pages.widgets.text_diff import DiffLine, text_diff

GAP = DiffLine("gap", "")


def test_texts_of_many_equal_lines_are_not_compared_which_would_take_a_minute() -> None:
    before = "\n".join(f"# {at % 150}" for at in range(9_000))
    after = "\n".join(f"# {at * 7 % 150}" for at in range(9_000))
    assert text_diff(before, after) == [GAP]


def test_lines_that_every_entry_repeats_do_not_count() -> None:
    entries = [f"  r{at}:get:\n    routes:\n      - GET /r{at}" for at in range(3_000)]
    changed = [*entries[:-1], "  last:get:"]
    found = text_diff("\n".join(entries), "\n".join(changed))
    assert DiffLine("added", "  last:get:") in found
    assert len(found) < 10
