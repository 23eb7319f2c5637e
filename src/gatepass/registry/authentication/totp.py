"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes.

Six digits from HMAC-SHA-1, a new code every 30 seconds, with one step's grace either way for clocks
that differ. A code is good once: its step is kept, and neither it nor an earlier one counts again,
so that a code someone looked at over a shoulder is worth nothing. Guessing is what ``throttling``
is for: whoever checks a code counts the failures.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

import pyotp
from sqlalchemy import Row, delete, func, insert, select, update

from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication.encryption import SealingKey
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.tables import recovery_codes, users

STEP_MS = 30_000
RECOVERY_CODES = 10

_GRACE_STEPS = 1
# Of 31 letters and digits that aren't taken for one another, 16 are more than 79 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_RECOVERY_LENGTH = 16
_GROUP = 4
_LONGEST_TYPED = 100


@dataclass(frozen=True, slots=True)
class Proof:
    """What a code proved: the time step it is of, or the digest of the recovery code it is."""

    step: int | None = None
    recovery: bytes | None = None


def new_secret() -> str:
    """A secret for an authenticator app: 160 random bits in base32, as RFC 4226 asks for."""
    return pyotp.random_base32(32)


def provisioning_uri(secret: str, email: str) -> str:
    """What an app scans (``otpauth://…``)."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="Gatepass")


def step_of(secret: str, code: str, *, now: int, after: int | None) -> int | None:
    """The time step that *code* is of; None if it isn't one's that counts at *now* (Unix ms).

    Args:
        secret: base32.
        after: the latest step that was used; it and those before it don't count any more.
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


def proof_of(reading: Reading, user: Row[Any], code: str, sealing: SealingKey) -> Proof | None:
    """What *code* proves of *user* (a row of the users table, with a second factor); or None.

    Raises:
        Unavailable: the secret can't be opened: the sealing key is another, or gone. Recovery codes
            are good even then.
    """
    if len(code) > _LONGEST_TYPED:
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
    secret = sealing.open(user.totp_sealed, owner=user.id).decode()
    step = step_of(secret, code, now=reading.now, after=user.totp_last_step)
    return None if step is None else Proof(step=step)


def use(write: Write, actor: Actor, user: Row[Any], proof: Proof) -> None:
    """Use up what was proved, in the transaction that found it so."""
    if proof.step is not None:
        write.session.execute(
            update(users).where(users.c.id == user.id).values(totp_last_step=proof.step)
        )
    else:
        write.session.execute(
            update(recovery_codes)
            .where(recovery_codes.c.user_id == user.id, recovery_codes.c.digest == proof.recovery)
            .values(used_at=write.now)
        )
        log.record(
            write,
            actor,
            "user.recovery_code_used",
            Subject("user", user.id, user.name),
            company=user.company_id,
            after={"recovery_codes_left": recovery_codes_left(write, user.id)},
        )


def ready(reading: Reading, sealing: SealingKey) -> None:
    """See to it that there is a sealing key, and that it is the one that is in use already.

    Only where nothing is sealed yet a key is made: a node that lacks the others' file must not
    begin one of its own.

    Raises:
        Unavailable: there is another key, or none on this machine.
        Misconfigured: the key can't be made.
    """
    sealed = any_sealed(reading)
    if sealed is None:
        sealing.make()
    else:
        sealing.require(sealed)


def any_sealed(reading: Reading) -> bytes | None:
    """Something that is sealed with the installation's key; None if nothing is."""
    found: bytes | None = reading.session.execute(
        select(users.c.totp_sealed).where(users.c.totp_sealed.is_not(None)).limit(1)
    ).scalar_one_or_none()
    return found


def put(write: Write, user: str, secret: str, step: int, sealing: SealingKey) -> list[str]:
    """Keep *secret*, one of whose codes (that of *step*) has been shown; the recovery codes."""
    write.session.execute(
        update(users)
        .where(users.c.id == user)
        .values(totp_sealed=sealing.seal(secret.encode(), owner=user), totp_last_step=step)
    )
    return put_recovery_codes(write, user)


def put_recovery_codes(write: Write, user: str) -> list[str]:
    """New recovery codes in place of all former ones; returned here and nowhere else, ever."""
    codes = [_new_recovery_code() for _ in range(RECOVERY_CODES)]
    write.session.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user))
    write.session.execute(
        insert(recovery_codes), [{"user_id": user, "digest": _digest(code)} for code in codes]
    )
    return codes


def remove(write: Write, user: str) -> None:
    """Forget the secret and the recovery codes."""
    write.session.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user))
    write.session.execute(update(users).where(users.c.id == user).values(totp_sealed=None))


def recovery_codes_left(reading: Reading, user: str) -> int:
    """How many recovery codes are still good."""
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
