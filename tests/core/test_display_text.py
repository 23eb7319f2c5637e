"""Other people's text: what counts as visible, and that no name reorders a sentence."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.display_text import (
    END_ISOLATE,
    ISOLATE,
    has_bidi_control,
    has_visible,
    isolated,
    readable,
    without_bidi_controls,
)
from tests.support.vector_files import cases

CONTROLS = [chr(at) for at in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))]
anything = st.text(st.characters(), max_size=40)
hostile = st.text(st.sampled_from([*CONTROLS, "a", "א", "ع", " ", "\u200f", "\u3164"]), max_size=20)


@pytest.mark.parametrize("case", cases("names.yaml", "visible"))
def test_names_with_something_to_see(case: dict[str, str]) -> None:
    assert has_visible(case["text"])
    assert readable(case["text"]) == case["text"]


@pytest.mark.parametrize("case", cases("names.yaml", "invisible"))
def test_names_with_nothing_to_see(case: dict[str, str]) -> None:
    assert not has_visible(case["text"])
    assert readable(case["text"]) == "(no name)"
    assert isolated(case["text"], "(no label)") == "(no label)"


@given(anything)
def test_what_is_visible_has_a_character_that_is(text: str) -> None:
    assert has_visible(text) == any(has_visible(sign) for sign in text)
    blank = [s for s in text if unicodedata.category(s)[0] in "ZCM"]
    assert not has_visible("".join(s for s in blank if unicodedata.category(s) != "Cn"))


@given(st.characters(categories=["Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Mn", "Me"]))
def test_no_separator_control_format_or_lone_mark_is_visible(sign: str) -> None:
    assert not has_visible(sign * 3)


@pytest.mark.parametrize("control", CONTROLS)
def test_bidirectional_controls_are_known(control: str) -> None:
    assert has_bidi_control(f"a{control}b")
    assert without_bidi_controls(f"a{control}b") == "a\ufffdb"


@pytest.mark.parametrize("harmless", ["\u200e", "\u200f", "\u061c", "\u200d", "עברית", "a"])
def test_marks_and_letters_are_no_controls(harmless: str) -> None:
    assert not has_bidi_control(harmless)


@given(anything | hostile)
def test_nothing_of_a_name_reaches_beyond_it(text: str) -> None:
    """Either nothing in it has a direction against the sentence's, or it is isolated as a whole,
    and cannot close the isolate from within."""
    shown = isolated(text)
    inner = shown
    if shown.startswith(ISOLATE):
        assert shown.endswith(END_ISOLATE)
        inner = shown[1:-1]
    else:
        assert not {unicodedata.bidirectional(sign) for sign in shown} & {"R", "AL", "AN"}
    assert not has_bidi_control(inner)
    assert has_visible(inner)


def test_plain_names_stay_as_they_are() -> None:
    for name in ("Ada Lovelace", "Zoë", "Ünïcödé 🎟️", "Ада", "结算", "'; --"):
        assert isolated(name) == name
    assert isolated("לילה") == "\u2068לילה\u2069"
