"""Enabling and disabling one's own second factor (TOTP)."""

from typing import Any

from sqlalchemy import Row

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import passwords, totp, totp_policy
from gatepass.registry.authentication.encrypted_secrets import ensure_key
from gatepass.registry.authentication.reauthentication import Reauthentication, WrongCode
from gatepass.registry.directory.users import record, user_of
from gatepass.registry.storage.database import Committed, Write

_OWNER = "setup:"


def begin(reauthentication: Reauthentication, actor: Actor) -> tuple[str, bytes]:
    """Begin enrolment: a new secret for an authenticator app.

    The server stores nothing until a code proves that the app has the secret.

    Returns:
        The secret, and the same encrypted, for a form to carry.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
        Unavailable, Misconfigured: there is no encryption key.
    """
    row = reauthentication.own_row(actor)
    with reauthentication.database.read(reauthentication.now()) as reading:
        ensure_key(reading, reauthentication.encryption_key)
    secret = totp.new_secret()
    key = reauthentication.encryption_key
    return secret, key.encrypt(secret.encode(), owner=_OWNER + row.id)


def secret_of(reauthentication: Reauthentication, actor: Actor, setup: bytes) -> str:
    """The secret that ``begin`` encrypted for this user.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
        InvalidInput: for ``setup``: it was encrypted for another user, or with another key.
    """
    actor.require_user()
    key = reauthentication.encryption_key
    secret = key.decrypt_submitted(setup, owner=f"{_OWNER}{actor.user}")
    if secret is None:
        raise InvalidInput([("setup", "This form has lost its secret. Scan the new one.")])
    return secret.decode()


def enable(
    reauthentication: Reauthentication, actor: Actor, *, setup: bytes, password: str, code: str
) -> Committed[list[str]]:
    """Enable the second factor.

    *code*, which proves that the app has the secret, is used up.

    Args:
        setup: the encrypted secret that ``begin`` returned.

    Returns:
        The recovery codes, which are returned only here.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Unavailable: as ``Reauthentication.change`` says.
        Conflict: ``second_factor_present``: it is enabled already.
    """
    secret = secret_of(reauthentication, actor, setup)

    def make(write: Write, actor: Actor, row: Row[Any]) -> list[str]:
        if row.totp_sealed is not None:
            raise Conflict("A second factor is set up already.", reason="second_factor_present")
        # Again under the lock: another node may have created another key meanwhile.
        ensure_key(write, reauthentication.encryption_key)
        # Disabling and enabling again must not make a used code valid once more.
        after = row.totp_last_step
        step = totp.step_of(secret, code, now=write.now, after=after)
        if step is None:
            raise WrongCode
        codes = totp.enable(write, row.id, secret, step, reauthentication.encryption_key)
        record(write, actor, "second_factor_enabled", user_of(row))
        return codes

    return reauthentication.change(actor, make, password=password)


def replace_recovery_codes(
    reauthentication: Reauthentication, actor: Actor, *, code: str
) -> Committed[list[str]]:
    """Replace the recovery codes. The new ones are returned only here.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Conflict, Unavailable: as
            ``Reauthentication.change`` says.
    """

    def make(write: Write, actor: Actor, row: Row[Any]) -> list[str]:
        codes = totp.replace_recovery_codes(write, row.id)
        record(write, actor, "recovery_codes_replaced", user_of(row))
        return codes

    return reauthentication.change(actor, make, code=code)


def disable(reauthentication: Reauthentication, actor: Actor, *, password: str, code: str) -> bool:
    """Disable the second factor.

    Returns:
        Whether this node's copy has the change already.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Unavailable: as ``Reauthentication.change`` says.
        InvalidInput: for ``current_password`` also if it is too short without a second factor.
        Conflict: ``second_factor_required``: the company requires one.
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
        record(write, actor, "second_factor_disabled", user_of(row))

    return reauthentication.change(actor, make, password=password, code=code).confirmed
