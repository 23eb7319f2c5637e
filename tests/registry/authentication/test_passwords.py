"""Passwords: rules, hashing and verification."""

import os
import sys
import threading
from typing import Literal

import pytest
from argon2 import PasswordHasher

from gatepass.core.errors import InvalidInput
from gatepass.registry.authentication import passwords
from gatepass.registry.authentication.passwords import check_rules
from tests.support.weak_hashing import HASHER

EMAIL = "lovelace@northwind.example"


def problem(password: str, *, email: str = EMAIL, second_factor: bool = False) -> str | None:
    try:
        check_rules(password, email=email, company_name="Öl & Gas", second_factor=second_factor)
    except InvalidInput as refusal:
        [(field, message)] = refusal.errors
        return message if field == "password" else f"at {field}"
    return None


@pytest.mark.parametrize(
    "password",
    [
        "mauve harbour lantern",
        "x7" * 8 + "y",
        "пароль из пяти слов тут",
        "密码密码密码密码密码密码密码密",
        "🔑🔒🗝️🔐🔏🔓 six icons and",
        "a" * 14 + "b",
        "q" + "é" * 255,
        " leading and trailing ",
        "with\0nul and\ttab inside",
    ],
)
def test_accepted_passwords(password: str) -> None:
    assert problem(password) is None


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("", "Must have 15"),
        ("fourteen chars", "Must have 15"),
        ("é" * 257, "Must have at most 256 characters."),
        ("🔑" * 256 + "", None),
        ("passwordpassword", "common password"),
        ("PassWordPassWordPassWord", "common password"),
        ("abcabcabcabcabc", "common password"),
        ("aaaaaaaaaaaaaaaa", "common password"),
        ("1234567890123456", "common password"),
        ("QWERTYUIOPasdfgh", "common password"),
        ("CorrectHorseBatteryStaple", "common password"),
        ("it is lovelace@NORTHWIND.example", "e-mail address"),
        ("countess LoveLace 1815", "first part"),
        ("we sell öL & gAs daily", "company"),
    ],
)
def test_refused_passwords_and_their_errors(password: str, says: str | None) -> None:
    found = problem(password)
    if says is None:
        assert found is None
    else:
        assert found is not None
        assert says in found


def test_short_parts_of_the_address_do_not_count() -> None:
    assert problem("my adage of the day", email="ada@northwind.example") is None
    assert problem("xx ada@northwind.example", email="ada@northwind.example") is not None
    assert problem("my adas of the days", email="adas@northwind.example") is not None


def test_eight_characters_suffice_with_a_second_factor() -> None:
    assert problem("tr4ub&4d", second_factor=True) is None
    assert problem("tr4ub&4", second_factor=True) is not None
    assert problem("password1", second_factor=True) is not None
    assert problem("tr4ub&4d") is not None


def test_more_than_a_kilobyte_is_refused_before_hashing() -> None:
    class Never(PasswordHasher):
        def hash(self, password: object, *, salt: bytes | None = None) -> str:
            raise AssertionError("hashed")

    for password in ("🔑" * 257, "\ud800" * 20):
        assert problem(password) is not None
        with pytest.raises(InvalidInput):
            passwords.hash(password, hasher=Never())


def test_a_hash_verifies_only_its_password() -> None:
    kept = passwords.hash("mauve harbour lantern", hasher=HASHER)
    assert kept.startswith("$argon2id$")
    assert "mauve" not in kept
    assert kept != passwords.hash("mauve harbour lantern", hasher=HASHER)
    assert passwords.verify("mauve harbour lantern", kept, hasher=HASHER)
    for wrong in ("", "Mauve harbour lantern", "mauve harbour lantern\0", "x" * 2000, "\udc80"):
        assert not passwords.verify(wrong, kept, hasher=HASHER)
    assert not passwords.verify("anything", None, hasher=HASHER)
    assert not passwords.verify("nobody's password", None, hasher=HASHER)
    assert not passwords.verify("anything", "no hash at all", hasher=HASHER)


def test_accents_are_normalized() -> None:
    kept = passwords.hash("pépé le moko à Alger", hasher=HASHER)
    decomposed = "pe\u0301pe\u0301 le moko a\u0300 Alger"
    assert passwords.verify(decomposed, kept, hasher=HASHER)


def test_the_standard_costs_are_what_rfc_9106_recommends() -> None:
    hasher = passwords.HASHER
    assert (hasher.time_cost, hasher.memory_cost, hasher.parallelism) == (3, 65536, 4)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives threads priorities")
def test_hashing_has_a_low_priority_and_leaves_a_cpu_free() -> None:
    """A burst of sign-ins must not delay authorization requests."""

    class Looking(PasswordHasher):
        def hash(self, password: object, *, salt: bytes | None = None) -> str:
            looks.append(look())
            return "kept"

        def verify(self, hash: object, password: object) -> Literal[True]:
            looks.append(look())
            return True

    def look() -> tuple[int, set[int]]:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), os.sched_getaffinity(
            threading.get_native_id()
        )

    looks: list[tuple[int, set[int]]] = []
    priority, processors = before = look()
    passwords.hash("mauve harbour lantern", hasher=Looking())
    passwords.verify("mauve harbour lantern", "kept", hasher=Looking())
    all_but_one = set(sorted(processors)[:-1]) or processors
    assert {(own, frozenset(on)) for own, on in looks} == {
        (max(priority, 10), frozenset(all_but_one))
    }
    assert look() == before
