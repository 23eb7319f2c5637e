"""Keys of other systems: which texts are looked up, and the ids that derive from them."""

from typing import Any

import pytest

from gatepass.core import credentials
from gatepass.core.decision import Call, Reason, decide
from gatepass.core.imported_keys import (
    LONGEST,
    PREFIX_IDS,
    declaration,
    of_digest,
    overlap,
    parse,
    prefix_problem,
)
from tests.support.vector_files import cases

PREFIXES = ("acme_live_", "old-")


@pytest.mark.parametrize("case", cases("imported_keys.yaml", "prefixes"))
def test_prefixes(case: dict[str, Any]) -> None:
    assert (prefix_problem(case["text"]) is not None) == case["problem"]


@pytest.mark.parametrize("case", cases("imported_keys.yaml", "texts"))
def test_texts(case: dict[str, Any]) -> None:
    found = parse(case["text"], PREFIXES)
    assert parse(case["text"], ()) is None
    if "id" not in case:
        assert found is None
        return
    assert found is not None
    assert (found.id, found.digest.hex()) == (case["id"], case["digest"])
    assert of_digest(bytes.fromhex(case["digest"])) == found
    assert credentials.parse(case["text"]) is None


def test_lengths_are_bounded() -> None:
    longest = "old-".ljust(LONGEST, "x")
    assert parse(longest, PREFIXES) is not None
    assert parse(longest + "x", PREFIXES) is None


def test_no_text_of_ours_can_have_a_declared_prefix() -> None:
    for prefix in credentials.PREFIXES:
        text = credentials.make(prefix).text
        for end in range(3, 21):
            assert prefix_problem(text[:end]) is not None, text[:end]


def test_a_declaration_is_no_credential() -> None:
    grant = declaration("old-", "cmp_1")
    assert PREFIX_IDS[0] <= grant.id < PREFIX_IDS[1]
    assert credentials.parse(grant.id) is None
    empty = credentials.Credential(grant.id, b"")
    assert decide(grant, None, None, Call(empty, "a:b"), 0).reason is Reason.token_invalid


def test_prefixes_that_one_text_could_have_overlap() -> None:
    assert overlap("acme_", "acme_live_")
    assert overlap("acme_live_", "acme_")
    assert not overlap("acme_live_", "acme_test_")
