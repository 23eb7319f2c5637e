"""Handing an access token over: whose role grants enough, and what the token keeps."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.hand_over import kept, lacking
from gatepass.core.permissions import effective
from tests.support.vector_files import cases

names = st.sampled_from(
    ["charges:create", "charges:get", "charges:*", "refunds:create", "refunds:*", "users:manage"]
)
tokens = st.lists(names, min_size=1, unique=True)
roles = st.frozensets(names | st.just("*"))


@pytest.mark.parametrize("case", cases("hand_over.yaml", "hand_over"))
def test_vectors(case: dict[str, Any]) -> None:
    assert list(lacking(case["permissions"], case["role"])) == case.get("lacking", [])
    if "kept" in case:
        assert list(kept(case["permissions"], case["former"])) == case["kept"]


@given(tokens, roles, roles)
def test_a_token_never_gains_a_permission(
    permissions: list[str], former: frozenset[str], role: frozenset[str]
) -> None:
    if lacking(permissions, role):
        return
    before, after = effective(permissions, former), kept(permissions, former)
    assert set(effective(after, role)) == set(before)
