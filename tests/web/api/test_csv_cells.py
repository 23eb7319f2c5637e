"""CSV cells: no formulas, and no text that reorders its line."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.display_text import isolated
from gatepass.web.api.csv_cells import csv_cell

SIGNS = [*"=+-@", *"＝＋－＠", *"﹦﹢﹣﹫", *"⁼⁺⁻", "\u2212"]
BEFORE = ["", " ", "\u00a0", "\u3000", "\ufeff", "\u200b", "\u200f", "\u2060", "\x00", " \ufeff "]
hostile = st.text(st.sampled_from([*SIGNS, *"\t\r\n a1", *BEFORE[2:8], "\u202e", "\u2068", "א"]))


@pytest.mark.parametrize("before", BEFORE, ids=ascii)
@pytest.mark.parametrize("sign", SIGNS, ids=ascii)
def test_formulas_are_quoted(sign: str, before: str) -> None:
    assert csv_cell(f"{before}{sign}1+1") == f"'{before}{sign}1+1"


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1", "\r\nx", "\tx"])
def test_cells_that_begin_with_white_space_are_quoted(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a;=cmd|'/C calc'!A0;b", "a;'=cmd|'/C calc'!A0;b"),
        ("=1; -1;+1", "'=1;' -1;'+1"),
        (";@x", ";'@x"),
        ("a;b; c=1", "a;b; c=1"),
    ],
)
def test_formulas_behind_a_semicolon_are_quoted(text: str, cell: str) -> None:
    """Where the comma is the decimal sign, spreadsheets begin a cell there."""
    assert csv_cell(text) == cell


@pytest.mark.parametrize(
    "text", ["", "a=b", "Ada", "1+1", "'=1", "(=1)", "לילה", "結算", "·=", "a\t="]
)
def test_other_cells_are_unchanged(text: str) -> None:
    assert csv_cell(text) == text


@given(hostile)
def test_no_cell_is_a_formula_or_reorders_its_line(text: str) -> None:
    cell = csv_cell(text)
    seen = unicodedata.normalize("NFKC", cell).lstrip("".join(BEFORE[1:]) + "\t\r\n\u2068\u2069")
    assert not seen.startswith(tuple("=+-@\u2212"))
    rest = re.sub("\u2068[^\u202a-\u202e\u2066-\u2069]*\u2069", "", cell)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", rest)


def test_isolated_names_stay_isolated() -> None:
    sentence = f"{isolated('לילה')} created the access token {isolated('x')}"
    assert csv_cell(sentence) == "\u2068לילה\u2069 created the access token x"
