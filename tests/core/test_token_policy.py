"""Which of a company's rules a token breaks, by the vectors and for any token."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.token_policy import (
    DAY_MS,
    FIELD_OF,
    NO_POLICY,
    Limits,
    TokenPolicy,
    breaches,
    errors,
)
from tests.support.vector_files import cases

NOW = 1_800_000_000_000


def token(given: dict[str, Any]) -> Limits:
    """The token that a vector describes."""
    days = given.get("expires")
    return Limits(
        kind=given.get("kind", "api"),
        networks=given.get("networks", []),
        domains=given.get("domains", []),
        created_at=NOW,
        expires_at=None if days is None else NOW + days * DAY_MS + given.get("and_ms", 0),
        unused_days=given.get("unused"),
    )


@pytest.mark.parametrize("case", cases("token_policy.yaml", "tokens"))
def test_what_is_wrong_with_a_token(case: dict[str, Any]) -> None:
    policy, found = TokenPolicy(**case["policy"]), token(case["token"])
    assert dict(errors(policy, found)) == case["errors"]
    assert [FIELD_OF[rule] for rule in breaches(policy, found)] == list(case["errors"])


@pytest.mark.parametrize("case", cases("token_policy.yaml", "changes"))
def test_what_is_wrong_with_a_change(case: dict[str, Any]) -> None:
    policy, before, after = (
        TokenPolicy(**case["policy"]),
        token(case["before"]),
        token(case["after"]),
    )
    assert [field for field, _ in errors(policy, after, before)] == case["wrong"]


DAYS = st.none() | st.integers(1, 400)
POLICIES = st.builds(
    TokenPolicy, longest_life_days=DAYS, networks_required=st.booleans(), unused_days=DAYS
)
LISTS = st.lists(st.sampled_from("ab"), max_size=2, unique=True)
TOKENS = st.builds(
    Limits,
    kind=st.sampled_from(["api", "ui"]),
    networks=LISTS,
    domains=LISTS,
    created_at=st.just(NOW),
    expires_at=st.none() | st.integers(NOW + 1, NOW + 400 * DAY_MS),
    unused_days=DAYS,
)


@given(policy=POLICIES, before=TOKENS, after=TOKENS)
def test_a_change_is_refused_only_for_what_a_new_token_would_be(
    policy: TokenPolicy, before: Limits, after: Limits
) -> None:
    # The kind stays as it is.
    after = replace(after, kind=before.kind)
    assert set(errors(policy, after, before)) <= set(errors(policy, after))
    assert errors(policy, before, before) == []
    if not breaches(policy, before):
        # Whatever was changed of a token that keeps to the policy, its successor does, too.
        assert errors(policy, after, before) == errors(policy, after)
    assert errors(NO_POLICY, after) == []


@given(policy=POLICIES, found=TOKENS)
def test_what_the_messages_ask_for_is_enough(policy: TokenPolicy, found: Limits) -> None:
    kept = replace(
        found,
        expires_at=policy.latest_expiry(NOW),
        networks=["10.0.0.0/8"],
        unused_days=policy.unused_days,
    )
    assert errors(policy, kept) == []
