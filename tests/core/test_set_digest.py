"""The digest of a set of rows doesn't depend on their order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.set_digest import SetDigest

ROWS = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary() | st.none(), st.text()),
    unique=True,
)


def of(*rows: Any) -> tuple[int, str]:
    digest = SetDigest()
    digest.add(rows)
    return digest.rows, str(digest)


@given(ROWS, st.randoms())
def test_the_order_doesnt_matter(rows: list[Any], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert of(*shuffled) == of(*rows)


@given(ROWS, ROWS)
def test_different_sets_of_rows_have_different_digests(one: list[Any], other: list[Any]) -> None:
    assert (of(*one) == of(*other)) == (set(one) == set(other))


@given(ROWS)
def test_removed_rows_leave_no_trace(rows: list[Any]) -> None:
    digest = SetDigest()
    digest.add([*rows, ("x", "y")])
    digest.remove(rows)
    assert (digest.rows, str(digest)) == of(("x", "y"))


def test_type_and_order_of_values_matter() -> None:
    digests = {
        of(row)[1] for row in ((1, None), ("1", None), (b"1", None), (None, 1), (1,), ("", 1))
    }
    assert len(digests) == 6


def test_two_equal_rows_dont_cancel_out() -> None:
    assert of(("x",), ("x",)) not in (of(), of(("x",)))
