"""Credential texts: read exactly, made well, and never shown by accident."""

import binascii
import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core import credentials
from gatepass.core.credentials import make, matches, new_id, parse
from tests.support.vector_files import cases

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIXES = ["gpat", "gplt", "gpiv", "gprs", "gpec", "gpvk", "gpak", "gpps", "gppc"]
bodies = st.builds(
    lambda prefix, rest: f"{prefix}_{rest}",
    st.sampled_from(PREFIXES),
    st.text(DIGITS, min_size=48, max_size=48),
)


def checksum(body: str) -> str:
    """Six base-62 digits of the CRC-32, the plain way."""
    number, digits = binascii.crc32(body.encode("ascii")), ""
    while number:
        number, digit = divmod(number, 62)
        digits = DIGITS[digit] + digits
    return digits.rjust(6, "0")


def failure(text: str) -> str | None:
    """What is wrong with *text*, told one character at a time."""
    if len(text) != 59:
        return "length"
    if text[:4] not in PREFIXES or text[4] != "_":
        return "prefix"
    if any(character not in DIGITS for character in text[5:]):
        return "alphabet"
    return None if text[53:] == checksum(text[:53]) else "checksum"


@pytest.mark.parametrize("case", cases("credentials.yaml", "accepted"))
def test_accepted(case: dict[str, str]) -> None:
    """A good text yields its id and the digest of its secret."""
    credential = parse(case["text"])
    assert credential is not None
    assert credential.id == case["id"]
    assert credential.prefix == case["id"][:4]
    assert credential.digest.hex() == case["digest"]
    assert failure(case["text"]) is None


@pytest.mark.parametrize("case", cases("credentials.yaml", "refused"))
def test_refused(case: dict[str, str]) -> None:
    """A bad text is no credential, for the failure the vectors name."""
    assert parse(case["text"]) is None
    assert failure(case["text"]) == case["failure"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_is_made_can_be_read(prefix: str) -> None:
    """A new credential's text parses to its own id and digest."""
    new = make(prefix)
    credential = parse(new.text)
    assert credential is not None
    assert (credential.id, credential.digest) == (new.id, new.digest)
    assert matches(credential, new.digest)
    assert new.digest == hashlib.sha256(new.text[21:53].encode()).digest()
    assert failure(new.text) is None


def test_secrets_and_ids_differ_each_time() -> None:
    """No two are alike, and every character of the alphabet turns up."""
    made = [make("gpat") for _ in range(200)]
    assert len({new.id for new in made}) == 200
    assert len({new.text[21:53] for new in made}) == 200
    assert set("".join(new.text[21:53] for new in made)) == set(DIGITS)


def test_a_text_of_another_kind_can_have_the_same_number() -> None:
    """A portal session's token has its code's; their secrets differ."""
    code = make("gppc")
    token = make("gpps", code.id[5:])
    assert token.id == f"gpps_{code.id[5:]}"
    assert token.digest != code.digest
    assert parse(token.text) is not None


def test_an_unknown_prefix_is_misuse() -> None:
    """Only the known prefixes are made."""
    with pytest.raises(ValueError):
        make("gpxx")


def test_another_secret_does_not_match() -> None:
    """A digest of another secret, or of another length, is refused."""
    credential = parse(make("gpat").text)
    assert credential is not None
    assert not matches(credential, make("gpat").digest)
    assert not matches(credential, b"")


def test_secrets_stay_out_of_representations() -> None:
    """A log line or a traceback that shows the objects shows neither text nor digest."""
    new = make("gpat")
    shown = f"{new!r} {new} {parse(new.text)!r} {parse(new.text)}"
    assert new.id in shown
    assert new.text[21:53] not in shown
    assert new.digest.hex() not in shown
    assert repr(new.digest) not in shown


def test_record_ids() -> None:
    """A record id is its prefix and sixteen base-62 characters."""
    identifier = new_id("usr")
    assert identifier.startswith("usr_")
    assert len(identifier) == 20
    assert set(identifier[4:]) <= set(DIGITS)
    assert new_id("usr") != identifier


@given(bodies)
def test_any_body_with_its_checksum_is_a_credential(body: str) -> None:
    """The checksum is the CRC-32 of all before it, in six base-62 digits."""
    credential = parse(body + checksum(body))
    assert credential is not None
    assert credential.id == body[:21]


@given(
    st.sampled_from([*PREFIXES, "gpxx", "GPAT"]),
    st.sampled_from("___-"),
    st.text(DIGITS, min_size=48, max_size=48),
    st.integers(0, 47),
    st.sampled_from(DIGITS + "_+-. \0\n"),
)
def test_a_good_checksum_is_not_enough(
    prefix: str, mark: str, rest: str, at: int, character: str
) -> None:
    """Prefix and alphabet count also where the checksum was made to fit."""
    body = f"{prefix}{mark}{rest[:at]}{character}{rest[at + 1 :]}"
    text = body + checksum(body)
    assert (parse(text) is None) == (failure(text) is not None)


@given(bodies, st.integers(0, 58), st.one_of(st.sampled_from(DIGITS), st.characters()))
def test_no_single_character_can_be_changed(body: str, at: int, character: str) -> None:
    """Every text that differs from a good one in one character is refused."""
    text = body + checksum(body)
    changed = text[:at] + character + text[at + 1 :]
    assert (parse(changed) is None) == (changed != text)


@given(st.text(st.characters(), max_size=80) | st.text(DIGITS + "_", min_size=59, max_size=59))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever the text, lone surrogates and NULs included, reading it never fails."""
    assert (parse(text) is None) == (failure(text) is not None)


@given(st.text(st.characters(), min_size=54, max_size=54))
def test_a_good_prefix_lets_nothing_in(rest: str) -> None:
    """A text of the right length and prefix is still looked at character by character."""
    text = "gpat_" + rest
    assert (parse(text) is None) == (failure(text) is not None)


@pytest.mark.parametrize("thing", [None, 0, True, 1.5, b"gpat_", [], {}, ["gpat_"]])
def test_what_is_no_text_is_no_credential(thing: object) -> None:
    """JSON's other types are refused, not raised at."""
    assert parse(thing) is None


def test_the_prefixes_are_what_they_are() -> None:
    """Stored texts depend on them."""
    assert PREFIXES == [
        credentials.ACCESS_TOKEN,
        credentials.LOGIN_TOKEN,
        credentials.INVITATION,
        credentials.PASSWORD_RESET,
        credentials.EMAIL_CHANGE,
        credentials.VERIFIER_KEY,
        credentials.ADMIN_KEY,
        credentials.PORTAL_SESSION,
        credentials.PORTAL_CODE,
    ]
