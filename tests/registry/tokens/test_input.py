"""Token fields are parsed strictly, and all errors are reported."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import InvalidInput
from gatepass.registry.tokens.input import CHANGEABLE, read
from tests.support.database import small_registry
from tests.support.database.small_registry import NOW
from tests.support.token_fields import FIRST, SECOND

CATALOGUE = parse_catalogue(small_registry.CATALOGUE)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"label": ""}, ["label"]),
        ({"label": "x" * 101}, ["label"]),
        ({"label": "a\nb"}, ["label"]),
        ({"label": "a\0b"}, ["label"]),
        ({"label": "a\x9fb"}, ["label"]),
        ({"label": "\ud800"}, ["label"]),
        ({"label": 5}, ["label"]),
        ({"kind": "browser"}, ["kind"]),
        ({"kind": None}, ["kind"]),
        ({"permissions": []}, ["permissions"]),
        ({"permissions": "charges:get"}, ["permissions"]),
        ({"permissions": ["charges:get"] * 201}, ["permissions"]),
        ({"permissions": ["charges:get", "charges:fly"]}, ["permissions.1"]),
        ({"permissions": ["*", "charges:*", "planes:*"]}, ["permissions.0", "permissions.2"]),
        ({"permissions": ["charges", 7, "Charges:get"]}, [f"permissions.{n}" for n in range(3)]),
        ({"expires_at": NOW}, ["expires_at"]),
        ({"expires_at": NOW - 1}, ["expires_at"]),
        ({"expires_at": 2**80}, ["expires_at"]),
        ({"expires_at": True}, ["expires_at"]),
        ({"expires_at": "tomorrow"}, ["expires_at"]),
        (
            {"networks": ["10.0.0.0/8", "10.0.0.0/33", "::ffff:10.0.0.1"]},
            ["networks.1", "networks.2"],
        ),
        ({"networks": [f"10.0.{n // 256}.{n % 256}" for n in range(501)]}, ["networks"]),
        ({"networks": None}, ["networks"]),
        ({"domains": ["shop.example.com"]}, ["domains"]),
        ({"kind": "ui", "domains": ["shop.example.com", "*.com"]}, ["domains.1"]),
        ({"kind": "ui", "domains": [f"s{n}.example.com" for n in range(101)]}, ["domains"]),
        ({"metadata": []}, ["metadata"]),
        ({"metadata": {f"k{n}": "" for n in range(21)}}, ["metadata"]),
        ({"metadata": {"Team": "x"}}, ["metadata"]),
        ({"metadata": {"": "x"}}, ["metadata"]),
        ({"metadata": {"k" * 41: "x"}}, ["metadata"]),
        ({"metadata": {"k\n": "x"}}, ["metadata"]),
        ({"metadata": {"a": "x\ny", "b": None, "c": "\u202e"}}, [f"metadata.{k}" for k in "abc"]),
        ({"metadata": {"a": "\u00e9" * 512}}, ["metadata"]),
        ({"external_id": ""}, ["external_id"]),
        ({"external_id": "x" * 201}, ["external_id"]),
        ({"external_id": "a\0b"}, ["external_id"]),
        ({"external_id": 7}, ["external_id"]),
        ({"unused_days": 0}, ["unused_days"]),
        ({"unused_days": 366}, ["unused_days"]),
        ({"unused_days": True}, ["unused_days"]),
        ({"unused_days": "60"}, ["unused_days"]),
        ({"colour": "red"}, ["colour"]),
        ({"label": "", "kind": "x", "permissions": ["*"]}, ["kind", "label", "permissions.0"]),
    ],
)
def test_all_invalid_fields_are_reported(fields: dict[str, Any], where: list[str]) -> None:
    given = {"label": "Checkout", "permissions": ["charges:get"]} | fields
    kind = given.pop("kind", "api")
    with pytest.raises(InvalidInput) as refusal:
        read(given, kind=kind, catalogue=CATALOGUE, now=NOW)
    assert [field for field, _ in refusal.value.errors] == where


def test_valid_fields_are_canonical_and_without_duplicates() -> None:
    given = {
        "permissions": ["charges:get", "charges:*", "charges:get"],
        "networks": ("10.1.2.3/8", "10.0.0.0/8", "2001:DB8::/32"),
        "domains": ["Shop.Example.com", "bücher.example", "shop.example.com:443"],
        "expires_at": None,
    }
    assert read(given, kind="ui", catalogue=CATALOGUE, now=NOW) == {
        "permissions": ["charges:get", "charges:*"],
        "networks": ["10.0.0.0/8", "2001:db8::/32"],
        "domains": ["shop.example.com", "xn--bcher-kva.example"],
        "expires_at": None,
    }


@pytest.mark.parametrize("fields", [FIRST, SECOND])
def test_every_field_is_parsed(fields: dict[str, Any]) -> None:
    assert tuple(fields) == CHANGEABLE, "tests/support/token_fields.py has a value of each field"
    assert read(fields, kind="ui", catalogue=CATALOGUE, now=NOW) == fields


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(CHANGEABLE), _json), _json | st.sampled_from(["api", "ui"]))
def test_no_input_crashes_the_parser(fields: dict[str, Any], kind: Any) -> None:
    with suppress(InvalidInput):
        assert read(fields, kind=kind, catalogue=CATALOGUE, now=NOW).keys() == fields.keys()
