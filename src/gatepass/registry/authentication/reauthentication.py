"""Re-authentication before sensitive account changes: with the password, a code, or both.

An attacker with a stolen session, or at an unlocked laptop, must not be able to take the account
over. So changing a password or a second factor requires a secret that the session doesn't hold.
Failures count against the account like failed sign-ins; else the session could be used to guess.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from argon2 import PasswordHasher
from sqlalchemy import Row, select

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import passwords, throttling, totp
from gatepass.registry.authentication.encryption import EncryptionKey
from gatepass.registry.authentication.throttling import Attempt
from gatepass.registry.grants.authorization import acting
from gatepass.registry.storage.database import Change, Committed, Database, Write
from gatepass.registry.storage.tables import users

T = TypeVar("T")

WRONG_PASSWORD = "This isn't your current password."  # noqa: S105 - a sentence
WRONG_CODE = (
    "This code is wrong or was already used. Wait for the next one, or use a recovery code."
)


@dataclass(frozen=True)
class Reauthentication:
    """What re-authenticated operations need.

    Attributes:
        now: returns the time in Unix ms; called for each transaction.
    """

    database: Database
    encryption_key: EncryptionKey
    now: Callable[[], int]
    hasher: PasswordHasher = passwords.HASHER

    def change(
        self,
        actor: Actor,
        make: Callable[[Change, Actor, Row[Any]], T],
        *,
        password: str | None = None,
        code: str | None = None,
        begun: Callable[[Change], None] | None = None,
    ) -> Committed[T]:
        """Make a change if the password and the code are right.

        Args:
            make: called in the transaction, with the actor as checked again under the lock, and
                their users row; it may raise WrongCode itself.
            password: the current one, as typed; None if none is required. It is verified before
                the transaction; the transaction checks that it is still the current one.
            code: of the second factor, as typed; None if none is required. It is verified and used
                up in the transaction.
            begun: called first in the transaction.

        Raises:
            Repeated: *begun* let it.
            Forbidden: ``signed_in_user_required``; as ``acting`` says.
            InvalidInput: for ``current_password`` or ``code``: it is wrong, and was counted.
            TooManyAttempts: too many were wrong lately.
            Conflict: ``changed_meanwhile``: the password was; ``second_factor_missing``: a code
                was given, and there is no second factor.
            Unavailable: the code can't be checked now.
        """
        row = self.own_row(actor)
        attempt = self.begin(row, actor)
        wrong = ("current_password", WRONG_PASSWORD)
        if password is None or passwords.verify(password, row.password_hash, hasher=self.hasher):
            try:
                with self.database.write(self.now()) as change:
                    if begun is not None:
                        begun(change)
                    # Hashing took a while: everything is checked again under the lock.
                    actor = acting(change, actor, own_account=True)
                    throttling.check(change, attempt)
                    current = change.session.execute(
                        select(users).where(users.c.id == row.id)
                    ).one()
                    if password is not None and current.password_hash != row.password_hash:
                        raise Conflict(
                            "Your password was changed meanwhile.", reason="changed_meanwhile"
                        )
                    if code is not None:
                        self._use(change, actor, current, code)
                    made = make(change, actor, current)
                return Committed(made, change.confirmed)
            except WrongCode:
                wrong = ("code", WRONG_CODE)
        with self.database.auxiliary_write(self.now()) as write:
            throttling.count_failure(write, attempt)
            too_many = throttling.refusal(write, attempt)
        raise too_many or InvalidInput([wrong])

    def begin(self, row: Row[Any], actor: Actor) -> Attempt:
        """Begin an attempt: what a wrong password or code counts against.

        Raises:
            TooManyAttempts: too many were wrong lately.
        """
        with self.database.read(self.now()) as reading:
            return throttling.begin(reading, row.email, actor.address)

    def own_row(self, actor: Actor) -> Row[Any]:
        """The actor's own row of the users table.

        Raises:
            Forbidden: ``signed_in_user_required`` for anything but a login token.
        """
        actor.require_user()
        with self.database.read(self.now()) as reading:
            return reading.session.execute(select(users).where(users.c.id == actor.user)).one()

    def _use(self, write: Write, actor: Actor, user: Row[Any], code: str) -> None:
        if user.totp_sealed is None:
            raise Conflict("No second factor is set up.", reason="second_factor_missing")
        proof = totp.proof_of(write, user, code, self.encryption_key)
        if proof is None:
            raise WrongCode
        totp.use(write, actor, user, proof)


class WrongCode(Exception):
    """A code is wrong: the transaction is rolled back, and the failure counted."""
