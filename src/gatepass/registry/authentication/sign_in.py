"""Sign-in: from e-mail address and password to a login token.

A refusal never says what was wrong. It takes the same time whether or not the account exists, and
whether the password or the code was wrong.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from argon2 import PasswordHasher
from sqlalchemy import Row, select

from gatepass.core.credentials import LOGIN_TOKEN, make
from gatepass.core.errors import SignInFailed, Unavailable
from gatepass.registry.actor import Actor
from gatepass.registry.audit import log
from gatepass.registry.authentication import passwords, throttling, totp
from gatepass.registry.authentication.encryption import EncryptionKey
from gatepass.registry.authentication.session_records import Authentication, begin
from gatepass.registry.authentication.totp import Proof
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User, user_of
from gatepass.registry.grants.publishing import admits, published_rules
from gatepass.registry.storage.database import Change, Database, Reading, Write
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import users as users_table


class SignedIn(NamedTuple):
    """A successful sign-in.

    Attributes:
        text: the login token, returned only here.
        confirmed: whether this node's copy has the token already.
    """

    authentication: Authentication
    text: str
    confirmed: bool


def sign_in(
    database: Database,
    key: EncryptionKey,
    *,
    email: str,
    password: str,
    code: str | None = None,
    address: str | None,
    user_agent: str | None,
    now: Callable[[], int],
    lifetime_ms: int,
    operators_only: bool = False,
    hasher: PasswordHasher = passwords.HASHER,
) -> SignedIn:
    """Sign in.

    Args:
        key: decrypts second-factor secrets.
        code: a TOTP or recovery code; ignored if the account has no second factor.
        address: the request's source address, as text; None if it is unknown.
        now: returns the time in Unix ms; called for each transaction.
        lifetime_ms: of the login token.
        operators_only: refuse the passwords of all others, who sign in with the provider.

    Raises:
        SignInFailed: anything was wrong, or the company's allowlist lacks the address.
        TooManyAttempts: the account or the address has failed too often lately.
        Unavailable: the database or the encryption key can't be used, or too many sign in at once.
    """
    with database.read(now()) as reading:
        attempt = throttling.begin(reading, email, address)
        found = users.latest_row(reading, email)
        admitted = (
            found is not None
            and admits_user(reading, found, address)
            and (found.operator or not operators_only)
            and _code_may_fit(reading, found, code, key)
        )
    # Outside transactions, and always: against a dummy hash if there is no such account.
    matched = passwords.verify(password, found and found.password_hash, hasher=hasher)
    if found is not None and matched and admitted:
        try:
            with database.write(now()) as change:
                # Hashing took a while: everything is checked again under the lock.
                throttling.check(change, attempt)
                user, proof = _prove(change, key, found, code, address)
                if operators_only and not user.operator:
                    raise SignInFailed
                credential = make(LOGIN_TOKEN)
                record = begin(
                    change,
                    user_of(user),
                    credential,
                    lifetime_ms=lifetime_ms,
                    address=address,
                    user_agent=user_agent,
                )
                update_row(change, users_table, user.id, last_sign_in_at=change.now)
                if proof is not None:
                    totp.use(change, _as(record, address), user, proof)
            return SignedIn(record, credential.text, change.confirmed)
        except SignInFailed:
            pass
    with database.auxiliary_write(now()) as write:
        if throttling.count_failure(write, attempt) and found is not None:
            record_refusal(write, user_of(found), address)
        too_many = throttling.refusal(write, attempt)
    raise too_many or SignInFailed()


def _prove(
    change: Change, key: EncryptionKey, found: Row[Any], code: str | None, address: str | None
) -> tuple[Row[Any], Proof | None]:
    """The user's present row, and the proof by *code* if they have a second factor."""
    current = change.session.execute(
        select(users_table).where(users_table.c.id == found.id)
    ).one_or_none()
    if current is None or current.password_hash != found.password_hash:
        raise SignInFailed
    if not admits_user(change, current, address):
        raise SignInFailed
    if current.totp_sealed is None:
        return current, None
    # Verified and used up under the lock: of concurrent requests with one code, one succeeds.
    proof = totp.proof_of(change, current, code or "", key)
    if proof is None:
        raise SignInFailed
    return current, proof


def _as(record: Authentication, address: str | None) -> Actor:
    company, person = record.company, record.user
    return Actor("user", company, person.id, person.name, frozenset(), record.id, address)


def _code_may_fit(reading: Reading, user: Row[Any], code: str | None, key: EncryptionKey) -> bool:
    """Whether the code is right, as far as can be told without the lock.

    Checked whether or not the password is right, so that a wrong code takes the same path and the
    same time as a wrong password.
    """
    if user.totp_sealed is None:
        return True
    try:
        return totp.proof_of(reading, user, code or "", key) is not None
    except Unavailable:
        # Reported under the lock, to a caller with the right password only.
        return True


def admits_user(reading: Reading, user: Row[Any], address: str | None) -> bool:
    """Whether user and company are active, and the company's allowlist admits the address."""
    rules = published_rules(reading, user.company_id)
    return user.deactivated_at is None and rules.active and admits(reading, rules, address)


def record_refusal(write: Write, user: User, address: str | None) -> None:
    """Record that a sign-in as *user* failed."""
    # The caller wasn't proven to be this user, who is therefore the subject and not the actor.
    actor, subject = replace(Actor.system(), address=address), users.subject_of(user)
    log.record(write, actor, "authentication.refused", subject, company=user.company)
