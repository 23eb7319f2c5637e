"""Someone who is signed in shows once more that it is them: with the password, or a code.

Whoever got hold of a session, an open laptop say, must not be able to take the account over with
it. So changing a password or a second factor asks for one that the session doesn't have; and trying
some out counts against the account like trying to sign in, or the session could be used to guess.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from argon2 import PasswordHasher
from sqlalchemy import Row, select

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import passwords, throttling, totp
from gatepass.registry.authentication.encryption import SealingKey
from gatepass.registry.authentication.throttling import Attempt
from gatepass.registry.grants.authorization import acting
from gatepass.registry.storage.database import Change, Committed, Database, Write
from gatepass.registry.storage.tables import users

T = TypeVar("T")

WRONG_PASSWORD = "This isn't your current password."  # noqa: S105 - a sentence
WRONG_CODE = (
    "This code doesn't count. Each code is good once; wait for the next, or use a recovery code."
)


@dataclass(frozen=True)
class Proving:
    """What the operations of one's own account need.

    Attributes:
        now: the time in Unix ms, asked anew for each transaction.
    """

    database: Database
    sealing: SealingKey
    now: Callable[[], int]
    hasher: PasswordHasher = passwords.HASHER

    def proven(
        self,
        actor: Actor,
        make: Callable[[Change, Actor, Row[Any]], T],
        *,
        password: str | None = None,
        code: str | None = None,
    ) -> Committed[T]:
        """Make a change if what was shown is right.

        Args:
            make: called in the transaction, with the actor as they stand and their users row; it
                may raise WrongCode itself.
            password: the current one, as typed; None if it isn't asked for. It is checked before
                the transaction, and that it is still the current one within.
            code: of the second factor, as typed; None if none is asked for. It is checked and used
                up within.

        Raises:
            Forbidden: ``signed_in_user_required``, or the actor has ended meanwhile.
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
                    # Hashing took a while: what was true before it counts for nothing now.
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
        """Begin to re-authenticate: what a wrong password or code counts against.

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
        proof = totp.proof_of(write, user, code, self.sealing)
        if proof is None:
            raise WrongCode
        totp.use(write, actor, user, proof)


class WrongCode(Exception):
    """A code didn't count; whatever the transaction did is undone, and the failure counted."""
