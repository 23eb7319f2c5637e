"""Passwords: rules, hashing and verification (Argon2id).

Hashing is slow and uses 64 MiB of memory by design. So a process runs only a few hashes at once,
however many users sign in, never on all CPUs, and never inside a transaction.
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

from gatepass.core.errors import Busy, InvalidInput
from gatepass.registry.authentication.common_passwords import is_common
from gatepass.registry.input.text import folded

SHORTEST = 15
SHORTEST_WITH_SECOND_FACTOR = 8
LONGEST = 256
#: Longer passwords are never hashed; else megabytes of password would load the CPU cheaply.
LONGEST_BYTES = 1024
_TOO_LONG = f"Must have at most {LONGEST} characters."
#: Shorter local parts and company names would exclude too many passwords.
SHORTEST_FORBIDDEN_PART = 4

#: Argon2id with the library's own parameters, RFC 9106's second recommendation.
HASHER = PasswordHasher()

# Hashed in place of a password that is too long.
_NO_PASSWORD = b"no password"

_AT_ONCE = 2
_LONGEST_WAIT_S = 10
#: As ``nice`` counts: such a thread gets a tenth of a contended core.
_LOW_PRIORITY = 10
_slots = threading.BoundedSemaphore(_AT_ONCE)


def check_rules(
    password: str, *, email: str, company_name: str, second_factor: bool = False
) -> None:
    """Require a password that is long enough, not common, and without the user's public data.

    Raises:
        InvalidInput: for ``password``, with one sentence.
    """
    problem = _problem(password, email, company_name, second_factor)
    if problem is not None:
        raise InvalidInput([("password", problem)])


def hash(password: str, *, hasher: PasswordHasher = HASHER) -> str:
    """Hash a password.

    Raises:
        InvalidInput: for ``password``; it is too long to be hashed, or not valid text.
        Busy: too many passwords are being hashed.
    """
    secret = _bytes(password)
    if secret is None:
        raise InvalidInput([("password", _TOO_LONG)])
    with _slot() as low_priority_pool:
        return low_priority_pool.submit(hasher.hash, secret).result()


def verify(password: str, password_hash: str | None, *, hasher: PasswordHasher = HASHER) -> bool:
    """Whether *password* matches *password_hash*.

    Args:
        password: as typed. In place of one that is too long, a fixed text is hashed.
        password_hash: from ``hash``; None for an account that doesn't exist, "" for one without a
            password. A dummy hash is verified then, so that timing doesn't disclose which accounts
            exist.

    Raises:
        Busy: too many passwords are being hashed.
    """
    secret = _bytes(password)
    with _slot() as low_priority_pool:
        # Computed even if unneeded, so that the first call's timing discloses nothing either.
        dummy = low_priority_pool.submit(_dummy_hash, hasher).result()
        possible = bool(password_hash) and secret is not None
        try:
            return (
                possible
                & low_priority_pool.submit(
                    hasher.verify,
                    password_hash or dummy,
                    _NO_PASSWORD if secret is None else secret,
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
        return "Must not be a common password, even repeated or padded with digits and symbols."
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
    """The bytes to hash: normalized to NFC, independent of the keyboard (RFC 8265, 4.2)."""
    try:
        if len(password.encode()) > LONGEST_BYTES:
            return None
        secret = unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:
        return None
    return secret if len(secret) <= LONGEST_BYTES else None


@cache
def _dummy_hash(hasher: PasswordHasher) -> str:
    return hasher.hash(b"nobody's password")


@contextmanager
def _slot() -> Iterator[ThreadPoolExecutor]:
    """Wait for a hashing slot; a pool of one low-priority thread."""
    if not _slots.acquire(timeout=_LONGEST_WAIT_S):
        raise Busy
    try:
        # A new thread each time, because a thread can't raise its priority again.
        with ThreadPoolExecutor(1, "gatepass_argon2", _lower_priority) as low_priority_pool:
            yield low_priority_pool
    finally:
        _slots.release()


def _lower_priority() -> None:
    """Lower this thread's priority (nice 10) and keep it off the last CPU.

    Threads that the hashing starts inherit both. So a burst of sign-ins can't delay authorization
    requests. A low priority alone isn't enough: a thread that wakes for microseconds would still
    wait milliseconds for its time slice. The free CPU is the same in all processes.
    """
    # On other platforms the priority belongs to the whole process.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        cpus = sorted(os.sched_getaffinity(0))
        with suppress(OSError):
            # Never raised, which root could.
            own = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, max(own, _LOW_PRIORITY))
            if len(cpus) > 1:
                os.sched_setaffinity(thread, cpus[:-1])
