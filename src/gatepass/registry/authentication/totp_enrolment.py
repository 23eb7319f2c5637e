"""Setting up one's own second factor, and taking it away."""

from typing import Any

from sqlalchemy import Row

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication import passwords, totp, totp_policy
from gatepass.registry.authentication.reauthentication import Proving, WrongCode
from gatepass.registry.storage.database import Committed, Write

_OWNER = "setup:"


def begin(proving: Proving, actor: Actor) -> tuple[str, bytes]:
    """A new secret to set up an authenticator app with, and the same sealed for its return.

    Nothing is kept until a code shows that the app has it.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
        Unavailable, Misconfigured: there is no key to seal it with.
    """
    row = proving.own_row(actor)
    with proving.database.read(proving.now()) as reading:
        totp.ready(reading, proving.sealing)
    secret = totp.new_secret()
    return secret, proving.sealing.seal(secret.encode(), owner=_OWNER + row.id)


def secret_of(proving: Proving, actor: Actor, setup: bytes) -> str:
    """The secret that ``begin`` sealed for this person.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
        InvalidInput: for ``setup``: it was sealed for someone else, or not by us.
    """
    actor.require_user()
    secret = proving.sealing.brought_back(setup, owner=f"{_OWNER}{actor.user}")
    if secret is None:
        raise InvalidInput([("setup", "This form has lost its secret. Scan the new one.")])
    return secret.decode()


def enable(
    proving: Proving, actor: Actor, *, setup: bytes, password: str, code: str
) -> Committed[list[str]]:
    """Set up the second factor; its recovery codes, returned here and nowhere else, ever.

    The code that shows the app to have the secret is used up with that.

    Args:
        setup: what ``begin`` sealed.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Unavailable: as ``Proving.proven`` says.
        Conflict: ``second_factor_present``: there is one already.
    """
    secret = secret_of(proving, actor, setup)

    def make(write: Write, actor: Actor, row: Row[Any]) -> list[str]:
        if row.totp_sealed is not None:
            raise Conflict("A second factor is set up already.", reason="second_factor_present")
        # Once more, behind the lock: another node may have begun with another key.
        totp.ready(write, proving.sealing)
        # Not even by turning it off and on again is a code good twice.
        after = row.totp_last_step
        step = totp.step_of(secret, code, now=write.now, after=after)
        if step is None:
            raise WrongCode
        codes = totp.put(write, row.id, secret, step, proving.sealing)
        _record(write, actor, "second_factor_enabled", row)
        return codes

    return proving.proven(actor, make, password=password)


def replace_recovery_codes(proving: Proving, actor: Actor, *, code: str) -> Committed[list[str]]:
    """New recovery codes, returned here and nowhere else; the former ones are dead.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Conflict, Unavailable: as ``Proving.proven`` says.
    """

    def make(write: Write, actor: Actor, row: Row[Any]) -> list[str]:
        codes = totp.put_recovery_codes(write, row.id)
        _record(write, actor, "recovery_codes_replaced", row)
        return codes

    return proving.proven(actor, make, code=code)


def disable(proving: Proving, actor: Actor, *, password: str, code: str) -> bool:
    """Remove the second factor; whether this node decides by that already.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Unavailable: as ``Proving.proven`` says.
        InvalidInput: for ``current_password`` too if it only suffices with a second factor.
        Conflict: ``second_factor_required``: the company wants everyone to have one.
    """

    def make(write: Write, actor: Actor, row: Row[Any]) -> None:
        if totp_policy.required(write, row.company_id):
            raise Conflict(
                "Your company requires a second factor.", reason="second_factor_required"
            )
        if len(password) < passwords.SHORTEST:
            sentence = (
                f"Without a second factor a password has at least {passwords.SHORTEST} characters. "
                "Change it first."
            )
            raise InvalidInput([("current_password", sentence)])
        totp.remove(write, row.id)
        _record(write, actor, "second_factor_disabled", row)

    return proving.proven(actor, make, password=password, code=code).confirmed


def _record(write: Write, actor: Actor, what: str, row: Row[Any]) -> None:
    subject = Subject("user", row.id, row.name)
    log.record(write, actor, f"user.{what}", subject, company=row.company_id)
