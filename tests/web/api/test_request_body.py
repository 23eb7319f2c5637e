"""Strict parsing of JSON bodies."""

import json
from contextlib import suppress
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.errors import MOST_ERRORS, InvalidInput
from gatepass.web.api.request_body import Fields, _read, validated
from gatepass.web.strict_json import BrokenJSON, parse, refuse_unpaired_surrogates


class Sample(Fields):
    label: str
    kind: Literal["api", "ui"] = "api"
    permissions: list[str] = []  # noqa: RUF012  # pydantic copies defaults
    confirm: bool = False


def read(text: str | bytes) -> Fields:
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    value = parse(content)
    refuse_unpaired_surrogates(value)
    return validated(Sample, value)


def errors(text: str | bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as refused:
        read(text)
    return refused.value.errors


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        '{"label": "a"} x',
        '{"label": }',
        "{'label': 'a'}",
        '{"label": "a",}',
        '"\x00"',
        '{"label": "a\nb"}',
        b'{"label": "\xff"}',
        b'{"label": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"label": "a"}',
        '{"label": "a"}'.encode("utf-16"),
        '{"label": 01}',
        '{"label": +1}',
        '{"label": .5}',
        "nul",
        # Invalid JSON behind an error that would be 422.
        '{"label": NaN',
        '{"label": "a", "label": "b"',
        '{"label": 1e999} x',
        '{"label": 1' + "0" * 5000,
    ],
)
def test_bodies_that_are_not_utf_8_json_are_refused(text: str | bytes) -> None:
    with pytest.raises(BrokenJSON):
        read(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"label": "a", "label": "a"}', "label"),
        ('{"label": "a", "l\\u0061bel": "b"}', "label"),
        ('{"label": "a", "x": {"y": 1, "y": 2}}', "y"),
        ('{"label": NaN}', "body"),
        ('{"label": "a", "x": Infinity}', "body"),
        ('{"label": "a", "x": -Infinity}', "body"),
        ('{"label": "a", "x": 1e999}', "body"),
        ('{"label": "a", "x": ' + "9" * 5000 + "}", "body"),
        ('{"label": "a", "x": 1}', "x"),
        ('{"label": "a", "\\ud800": 1}', "body"),
        ('{"label": "\\ud800"}', "label"),
        ('{"label": "a", "permissions": ["b", "\\udfff"]}', "permissions.1"),
        ('{"a": [[[[["\\udfff"]]]]]}', "a.0.0"),
        ('["\\udfff"' + ', ""' * 2_000 + "]", "body"),
        ("{}", "label"),
        ('{"label": null}', "label"),
        ('{"label": 1}', "label"),
        ('{"label": ["a"]}', "label"),
        ('{"label": "a", "kind": "API"}', "kind"),
        ('{"label": "a", "confirm": 1}', "confirm"),
        ('{"label": "a", "confirm": "true"}', "confirm"),
        ('{"label": "a", "permissions": "b"}', "permissions"),
        ('{"label": "a", "permissions": {"0": "b"}}', "permissions"),
        ('{"label": "a", "permissions": null}', "permissions"),
        ('{"label": "a", "permissions": ["b", 2]}', "permissions.1"),
        ("[]", "body"),
        ('"label"', "body"),
        ("null", "body"),
        ("12" + "0" * 400, "body"),
        ("[" * 200_000, "body"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "body"),
    ],
)
def test_invalid_json_values_are_refused_by_field(text: str, field: str) -> None:
    found = errors(text)
    assert [name for name, _ in found] == [field]
    assert all(message and message.isprintable() for _, message in found)


def test_every_invalid_field_is_named_at_once() -> None:
    found = dict(errors('{"label": 1, "kind": "x", "permissions": [true, "b", {}], "other": 0}'))
    assert set(found) == {"label", "kind", "permissions.0", "permissions.2", "other"}
    assert found["label"] == "Must be a string."
    assert found["kind"] == "Must be 'api' or 'ui'."
    assert found["other"] == "Must be left out: there is no such field."


def test_the_number_and_length_of_errors_is_bounded() -> None:
    """Validation stops at that number."""
    for text in (
        json.dumps({f"{number}{'x' * 200}": 1 for number in range(90)}),
        json.dumps({"label": "a", "permissions": [1] * 300_000}),
        json.dumps({"label": "a", "permissions": [{"x" * 500: 1}] * 1_000}),
    ):
        found = errors(text)
        assert len(found) == MOST_ERRORS
        assert all(len(field) <= 100 and len(message) <= 300 for field, message in found)


def test_an_object_with_thousands_of_members_is_refused() -> None:
    """Otherwise each member would be an error."""
    text = json.dumps({"label": "a", **{str(number): 1 for number in range(60_000)}})
    with pytest.raises(InvalidInput, match="at most 100 members"):
        _read(Sample, text.encode())


def test_an_error_late_in_a_long_list_has_its_index() -> None:
    names: list[Any] = ["a:b"] * 1_000
    names[777] = 1
    assert errors(json.dumps({"label": 2, "permissions": names})) == [
        ("label", "Must be a string.")
    ]
    assert errors(json.dumps({"label": "a", "permissions": names})) == [
        ("permissions.777", "Must be a string.")
    ]


def test_a_long_field_name_is_truncated() -> None:
    ((field, _),) = errors(json.dumps({"label": "a", "x" * 10_000: 1}))
    assert field == "x" * 100


def test_characters_beyond_the_basic_plane_are_accepted() -> None:
    assert read('{"label": "\\ud83d\\ude00 😀 ä"}') == Sample(label="😀 😀 ä")


def test_a_mebibyte_of_small_values_is_parsed_or_refused() -> None:
    for content in (
        b"[" + b"{}," * 349_000 + b'"\\ud800"]',
        b'{"a":' * 150 + b"[" + b'"",' * 300_000 + b'"\\ud800"]' + b"}" * 150,
        b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}",
        b"[" + b"1e1," * 262_000 + b"1]",
    ):
        assert len(content) <= 1 << 20
        with suppress(InvalidInput):
            read(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_parsed_or_refused(content: bytes) -> None:
    with suppress(BrokenJSON, InvalidInput):
        read(content)


@given(st.fixed_dictionaries({"label": st.text(), "permissions": st.lists(st.text())}))
def test_valid_values_are_parsed_unchanged(value: dict[str, Any]) -> None:
    assert read(json.dumps(value)).model_dump(include=set(value)) == value
