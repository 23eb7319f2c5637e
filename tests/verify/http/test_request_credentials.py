"""The credential and the origin of a request."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.reason import Reason
from gatepass.verify.http.request_credentials import read_credential, read_origin, read_single
from tests.support.vector_files import cases


@pytest.mark.parametrize(
    "case", [*cases("presented.yaml", "cases"), *cases("presented.yaml", "handshakes")]
)
def test_read_credential(case: dict[str, Any]) -> None:
    """As the vectors say."""
    found = read_credential(
        case.get("authorization", []),
        case.get("x_access_token", []),
        case.get("subprotocols", []),
    )
    assert found == case["presents"]
    assert isinstance(found, Reason) == case["presents"].startswith("token_")


@pytest.mark.parametrize("case", cases("presented.yaml", "singles"))
def test_a_header_that_may_be_there_once(case: dict[str, Any]) -> None:
    """As the vectors say: what can't be read is never "absent"."""
    assert read_single(case["lines"]) == case["counts"]


@pytest.mark.parametrize("case", cases("presented.yaml", "origins"))
def test_where_a_call_comes_from(case: dict[str, Any]) -> None:
    """As the vectors say."""
    headers: dict[str, list[str | None]] = case.get("lines", {})
    found = read_origin(lambda name: headers.get(name, []), "host")
    assert found == (case["origin"], case["referer"])


texts = st.sampled_from(["T", "U", "", " ", "T U"]) | st.text(max_size=8)
lines = st.lists(
    st.none() | texts | texts.map("Bearer {}".format) | texts.map("Basic {}".format), max_size=4
)


@given(lines, lines)
def test_there_is_one_credential_or_none(
    authorization: list[str | None], x_access_token: list[str | None]
) -> None:
    """Nothing is raised; what is found was sent; where two differ, or one can't be read, nobody's
    counts, in whichever order they came."""
    found = read_credential(authorization, x_access_token)
    sent = {value for value in x_access_token if value} | {
        value.partition(" ")[2].strip(" ")
        for value in authorization
        if value is not None and value.partition(" ")[0].lower() == "bearer"
    } - {""}
    if None in authorization or None in x_access_token or len(sent) > 1:
        assert found is Reason.token_invalid
    elif sent:
        assert {found} == sent
    else:
        assert found is Reason.token_missing
    assert read_credential(authorization[::-1], x_access_token[::-1]) == found


@given(lines, lines, st.lists(st.none() | texts | texts.map("gatepass, {}".format), max_size=3))
def test_subprotocols_count_only_where_there_is_nothing_else(
    authorization: list[str | None],
    x_access_token: list[str | None],
    subprotocols: list[str | None],
) -> None:
    """A header's credential, or what is wrong with it, is what counts."""
    found = read_credential(authorization, x_access_token, subprotocols)
    without = read_credential(authorization, x_access_token)
    if without is not Reason.token_missing:
        assert found == without
    elif None in subprotocols:
        assert found is Reason.token_invalid
    else:
        sent = ",".join(line for line in subprotocols if line is not None)
        assert isinstance(found, Reason) or found in sent
