"""Passwords: which are good enough, and how they are kept and checked (Argon2id).

Hashing is slow and takes memory on purpose: 64 MiB each time. So only a few run at once in a
process, however many people sign in, never on all processors, and never inside a transaction.
"""

import os
import sys
import threading
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache

import argon2
from argon2 import PasswordHasher

from gatepass.core.errors import InvalidInput, Unavailable
from gatepass.registry.authentication.common_passwords import is_common
from gatepass.registry.input.text import folded

SHORTEST = 15
SHORTEST_WITH_SECOND_FACTOR = 8
LONGEST = 256
#: A longer one is never hashed: a megabyte of password would be a cheap way to keep us busy.
LONGEST_BYTES = 1024
_TOO_LONG = f"Must have at most {LONGEST} characters."
#: A local part or company name this short would rule out half of all words.
SHORTEST_FORBIDDEN_PART = 4

#: Argon2id with the library's own parameters, RFC 9106's second recommendation.
HASHER = PasswordHasher()

# Hashed in place of one that is too long.
_NO_PASSWORD = b"no password"

_AT_ONCE = 2
_LONGEST_WAIT_S = 10
#: As ``nice`` counts: such a thread gets a tenth of a core that others want.
_LOW_PRIORITY = 10
_turns = threading.BoundedSemaphore(_AT_ONCE)


def check_rules(
    password: str, *, email: str, company_name: str, second_factor: bool = False
) -> None:
    """Refuse a password that is too short, common, or made of what anyone knows.

    Raises:
        InvalidInput: for ``password``, with one sentence.
    """
    problem = _problem(password, email, company_name, second_factor)
    if problem is not None:
        raise InvalidInput([("password", problem)])


def hash(password: str, *, hasher: PasswordHasher = HASHER) -> str:
    """What is kept of a password.

    Raises:
        InvalidInput: for ``password``; it is too long to be hashed, or no text.
        Unavailable: too many are being hashed already.
    """
    secret = _bytes(password)
    if secret is None:
        raise InvalidInput([("password", _TOO_LONG)])
    with _turn() as stepped_back:
        return stepped_back.submit(hasher.hash, secret).result()


def verify(password: str, kept: str | None, *, hasher: PasswordHasher = HASHER) -> bool:
    """Whether *password* is the one behind *kept*.

    Args:
        password: as typed. One that is too long is never hashed; something else is in its place.
        kept: what ``hash`` returned; None for an account that doesn't exist. Either takes as long
            and is False: so the time doesn't tell who has an account.

    Raises:
        Unavailable: too many are being hashed already.
    """
    secret = _bytes(password)
    with _turn() as stepped_back:
        # Made before it is known whether it is needed, so that the first time tells nothing either.
        nobodys = stepped_back.submit(_nobodys, hasher).result()
        possible = kept is not None and secret is not None
        try:
            return (
                possible
                & stepped_back.submit(
                    hasher.verify, kept or nobodys, _NO_PASSWORD if secret is None else secret
                ).result()
            )
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


def _problem(password: str, email: str, company_name: str, second_factor: bool) -> str | None:
    shortest = SHORTEST_WITH_SECOND_FACTOR if second_factor else SHORTEST
    if len(password) < shortest:
        return f"Must have {shortest} to {LONGEST} characters."
    if len(password) > LONGEST:
        return _TOO_LONG
    if _bytes(password) is None:
        return f"Must have at most {LONGEST_BYTES} bytes of UTF-8 text."
    if is_common(password):
        return "Must not be a common password, nor one repeated or padded with digits and signs."
    lower = folded(password)
    if email and folded(email) in lower:
        return "Must not contain your e-mail address."
    for part, name in (
        (email.rpartition("@")[0], "the first part of your e-mail address"),
        (company_name, "the company's name"),
    ):
        if len(part) >= SHORTEST_FORBIDDEN_PART and folded(part) in lower:
            return f"Must not contain {name}."
    return None


def _bytes(password: str) -> bytes | None:
    """What is hashed: accents in one spelling, whichever keyboard typed them (RFC 8265, 4.2)."""
    try:
        if len(password.encode()) > LONGEST_BYTES:
            return None
        secret = unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:
        return None
    return secret if len(secret) <= LONGEST_BYTES else None


@cache
def _nobodys(hasher: PasswordHasher) -> str:
    return hasher.hash(b"nobody's password")


@contextmanager
def _turn() -> Iterator[ThreadPoolExecutor]:
    """Wait for one's turn; a thread to hash on, that everything else goes before."""
    if not _turns.acquire(timeout=_LONGEST_WAIT_S):
        raise Unavailable("Too many people are signing in at once. Try again in a moment.")
    try:
        # A thread of its own each time: it can't be given its priority back.
        with ThreadPoolExecutor(1, "gatepass_argon2", _step_back) as stepped_back:
            yield stepped_back
    finally:
        _turns.release()


def _step_back() -> None:
    """Let decisions and requests go before this thread, and those that the hashing starts: hundreds
    of people who sign in at once must not keep a gateway waiting.

    A low priority isn't enough: whatever wakes up for a few microseconds still waits its turn,
    milliseconds each time. So one processor is left to everything else, the same in all processes.
    """
    # Elsewhere a priority is a whole process's.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        processors = sorted(os.sched_getaffinity(0))
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, _LOW_PRIORITY)
            if len(processors) > 1:
                os.sched_setaffinity(thread, processors[:-1])
