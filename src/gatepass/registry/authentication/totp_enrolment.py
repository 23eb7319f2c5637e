"""Setting up one's own second factor, and taking it away."""

from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication import passwords, totp, totp_policy
from gatepass.registry.authentication.reauthentication import Proving, WrongCode, require_person
from gatepass.registry.storage.database import Committed

_OWNER = "setup:"


def begin(proving: Proving, actor: Actor) -> tuple[str, bytes]:
    """A new secret to set up an authenticator app with, and the same sealed for its return.

    Nothing is kept until a code shows that the app has it.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
        Unavailable, Misconfigured: there is no key to seal it with.
    """
    row = proving.own_row(actor)
    with proving.database.reading(proving.now()) as session:
        totp.ready(session, proving.sealing)
    secret = totp.new_secret()
    return secret, proving.sealing.seal(secret.encode(), owner=_OWNER + row.id)


def secret_of(proving: Proving, actor: Actor, setup: bytes) -> str:
    """The secret that ``begin`` sealed for this person.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
        InvalidInput: for ``setup``: it was sealed for someone else, or not by us.
    """
    require_person(actor)
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

    def change(session: Session, actor: Actor, row: Row[Any]) -> list[str]:
        if row.totp_sealed is not None:
            raise Conflict("A second factor is set up already.", reason="second_factor_present")
        # Once more, behind the lock: another node may have begun with another key.
        totp.ready(session, proving.sealing)
        # Not even by turning it off and on again is a code good twice.
        after = row.totp_last_step
        step = totp.step_of(secret, code, now=session.info["now"], after=after)
        if step is None:
            raise WrongCode
        codes = totp.put(session, row.id, secret, step, proving.sealing)
        _record(session, actor, "second_factor_enabled", row)
        return codes

    return proving.proven(actor, change, password=password)


def replace_recovery_codes(proving: Proving, actor: Actor, *, code: str) -> Committed[list[str]]:
    """New recovery codes, returned here and nowhere else; the former ones are dead.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Conflict, Unavailable: as ``Proving.proven`` says.
    """

    def change(session: Session, actor: Actor, row: Row[Any]) -> list[str]:
        codes = totp.put_recovery_codes(session, row.id)
        _record(session, actor, "recovery_codes_replaced", row)
        return codes

    return proving.proven(actor, change, code=code)


def disable(proving: Proving, actor: Actor, *, password: str, code: str) -> bool:
    """Remove the second factor; whether this node decides by that already.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Unavailable: as ``Proving.proven`` says.
        InvalidInput: for ``current_password`` too if it only suffices with a second factor.
        Conflict: ``second_factor_required``: the company wants everyone to have one.
    """

    def change(session: Session, actor: Actor, row: Row[Any]) -> None:
        if totp_policy.required(session, row.company_id):
            raise Conflict(
                "Your company requires a second factor.", reason="second_factor_required"
            )
        if len(password) < passwords.SHORTEST:
            sentence = (
                f"Without a second factor a password has at least {passwords.SHORTEST} characters. "
                "Change it first."
            )
            raise InvalidInput([("current_password", sentence)])
        totp.remove(session, row.id)
        _record(session, actor, "second_factor_disabled", row)

    return proving.proven(actor, change, password=password, code=code).confirmed


def _record(session: Session, actor: Actor, what: str, row: Row[Any]) -> None:
    subject = Subject("user", row.id, row.name)
    log.record(session, actor, f"user.{what}", subject, company=row.company_id)
