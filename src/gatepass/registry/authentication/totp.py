"""The second factor: TOTP codes (RFC 6238) and recovery codes.

Six digits from HMAC-SHA-1, a new code every 30 seconds, one step of tolerance either way for clock
skew. Replays are refused: the last used step is stored, and neither that step nor an earlier one
counts again. So a code read over a shoulder is worthless once used. ``throttling`` limits guessing:
the caller counts failures.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

import pyotp
from sqlalchemy import Row, delete, func, insert, select, update

from gatepass.registry.actor import Actor
from gatepass.registry.authentication.encryption import EncryptionKey
from gatepass.registry.directory.users import record, user_of
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import recovery_codes, users

STEP_MS = 30_000
RECOVERY_CODES = 10

_GRACE_STEPS = 1
# 16 of 31 unambiguous letters and digits: more than 79 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_RECOVERY_LENGTH = 16
_GROUP = 4
LONGEST_TYPED = 100


@dataclass(frozen=True, slots=True)
class Proof:
    """A valid code: the time step of a TOTP code, or the digest of a recovery code."""

    step: int | None = None
    recovery: bytes | None = None


def new_secret() -> str:
    """A secret for an authenticator app: 160 random bits in base32 (RFC 4226 recommends 160)."""
    return pyotp.random_base32(32)


def provisioning_uri(secret: str, email: str) -> str:
    """The ``otpauth://`` URI that an app scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="Gatepass")


def step_of(secret: str, code: str, *, now: int, after: int | None) -> int | None:
    """The time step of *code*; None if no step valid at *now* (Unix ms) has that code.

    Args:
        secret: base32.
        after: the last used step; that step and earlier ones are refused.
    """
    typed = _without_spaces(code)
    if not (len(typed) == 6 and typed.isascii() and typed.isdecimal()):
        return None
    totp = pyotp.TOTP(secret)
    found = None
    current = now // STEP_MS
    for step in range(current - _GRACE_STEPS, current + _GRACE_STEPS + 1):
        # All are compared, each in constant time.
        if hmac.compare_digest(totp.generate_otp(step), typed) and (after is None or step > after):
            found = step
    return found


def proof_of(reading: Reading, user: Row[Any], code: str, key: EncryptionKey) -> Proof | None:
    """Verify *code* against *user* (a row of the users table, with a second factor).

    Returns:
        The proof; None if the code is wrong.

    Raises:
        Unavailable: the secret can't be decrypted: the encryption key is missing or another one.
            Recovery codes work even then.
    """
    if len(code) > LONGEST_TYPED:
        return None
    digest = _digest(code)
    table = recovery_codes.c
    unused = reading.session.execute(
        select(table.digest).where(
            table.user_id == user.id, table.digest == digest, table.used_at.is_(None)
        )
    ).scalar_one_or_none()
    if unused is not None:
        return Proof(recovery=digest)
    if not _without_spaces(code):
        return None
    secret = key.decrypt(user.totp_sealed, owner=user.id).decode()
    step = step_of(secret, code, now=reading.now, after=user.totp_last_step)
    return None if step is None else Proof(step=step)


def use(write: Write, actor: Actor, user: Row[Any], proof: Proof) -> None:
    """Use up a proof, in the transaction that verified it."""
    if proof.step is not None:
        update_row(write, users, user.id, totp_last_step=proof.step)
    else:
        write.session.execute(
            update(recovery_codes)
            .where(recovery_codes.c.user_id == user.id, recovery_codes.c.digest == proof.recovery)
            .values(used_at=write.now)
        )
        after = {"recovery_codes_left": recovery_codes_left(write, user.id)}
        record(write, actor, "recovery_code_used", user_of(user), after=after)


def enable(write: Write, user: str, secret: str, step: int, key: EncryptionKey) -> list[str]:
    """Store *secret*, of which the code of *step* was just used; returns the recovery codes."""
    update_row(
        write,
        users,
        user,
        totp_sealed=key.encrypt(secret.encode(), owner=user),
        totp_last_step=step,
    )
    return replace_recovery_codes(write, user)


def replace_recovery_codes(write: Write, user: str) -> list[str]:
    """Replace all recovery codes. The new ones are returned only here."""
    codes = [_new_recovery_code() for _ in range(RECOVERY_CODES)]
    write.session.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user))
    write.session.execute(
        insert(recovery_codes), [{"user_id": user, "digest": _digest(code)} for code in codes]
    )
    return codes


def remove(write: Write, user: str) -> None:
    """Delete the secret and the recovery codes."""
    write.session.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user))
    update_row(write, users, user, totp_sealed=None)


def recovery_codes_left(reading: Reading, user: str) -> int:
    """How many recovery codes are unused."""
    table = recovery_codes.c
    return reading.session.execute(
        select(func.count()).where(table.user_id == user, table.used_at.is_(None))
    ).scalar_one()


def _new_recovery_code() -> str:
    signs = "".join(secrets.choice(_ALPHABET) for _ in range(_RECOVERY_LENGTH))
    return "-".join(signs[at : at + _GROUP] for at in range(0, _RECOVERY_LENGTH, _GROUP))


def _digest(code: str) -> bytes:
    """SHA-256 is enough: nobody guesses 79 random bits."""
    plain = _without_spaces(code).replace("-", "").lower()
    return hashlib.sha256(plain.encode(errors="surrogatepass")).digest()


def _without_spaces(code: str) -> str:
    return "".join(code.split())
