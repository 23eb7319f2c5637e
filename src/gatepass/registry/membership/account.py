"""One's own account: name and password.

``email_changes`` changes the address, ``totp_enrolment`` the second factor. All of these refuse
access tokens: a leaked one must not be able to lock out its owner.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, select

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import passwords, sessions, totp, totp_policy
from gatepass.registry.authentication.reauthentication import Reauthentication
from gatepass.registry.directory import companies
from gatepass.registry.directory.users import record, user_of, write_name
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.text import read_label
from gatepass.registry.membership import password_resets, pending_email_changes
from gatepass.registry.membership.pending_email_changes import EmailChange
from gatepass.registry.storage.database import Change, Committed, Reading
from gatepass.registry.storage.rows import record_of, update_row
from gatepass.registry.storage.tables import users


@dataclass(frozen=True, slots=True)
class Account:
    """What users see of their own account. Times are Unix ms.

    Attributes:
        recovery_codes_left: the number of unused ones.
        second_factor_required: whether the company requires one.
        email_change: the pending one.
    """

    id: str
    name: str
    email: str
    last_sign_in_at: int | None
    second_factor: bool
    recovery_codes_left: int
    second_factor_required: bool
    email_change: EmailChange | None


def get(reading: Reading, actor: Actor) -> Account:
    """The actor's own account.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
    """
    actor.require_user()
    row = _row(reading, actor)
    return record_of(
        Account,
        row,
        second_factor=row.totp_sealed is not None,
        recovery_codes_left=totp.recovery_codes_left(reading, row.id),
        second_factor_required=totp_policy.required(reading, row.company_id),
        email_change=pending_email_changes.pending(reading, row.id),
    )


def rename(change: Change, actor: Actor, name: str, *, former: str | None = None) -> None:
    """Change one's own name. Idempotent.

    Args:
        former: the expected present name; None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
        InvalidInput: for ``name``; 1–100 characters without control characters.
        Conflict: ``changed_meanwhile``; ``current`` is the present name.
    """
    actor = acting(change, actor, own_account=True)
    read_label("name", name)
    row = _row(change, actor)
    if former is not None and row.name != former:
        raise Conflict(
            "Your name was changed meanwhile.", reason="changed_meanwhile", current=row.name
        )
    if name == row.name:
        return
    user = user_of(row)
    write_name(change, user, name)
    renamed = replace(user, name=name)
    record(change, actor, "renamed", renamed, before={"name": row.name}, after={"name": name})


def change_password(
    reauthentication: Reauthentication, actor: Actor, *, current: str, new: str
) -> Committed[int]:
    """Change one's own password, and deactivate all other authentications; returns their number.

    Reset links are deactivated and a pending e-mail change is cancelled, too: an attacker who knows
    the former password may have signed in, or requested a link to an address of their own.

    Raises:
        Forbidden, TooManyAttempts, Conflict, Unavailable: as ``Reauthentication.change`` says.
        InvalidInput: for ``current_password``, or for ``password``, the new one.
    """
    actor.require_user()
    with reauthentication.database.read(reauthentication.now()) as reading:
        row = _row(reading, actor)
        _check_rules(reading, row, new)
    # Before hashing; else wrong passwords could keep the CPUs busy without limit.
    reauthentication.begin(row, actor)
    password_hash = passwords.hash(new, hasher=reauthentication.hasher)

    def make(change: Change, actor: Actor, row: Row[Any]) -> int:
        # If the second factor was removed meanwhile, the password may be too short without one.
        _check_rules(change, row, new)
        update_row(change, users, row.id, password_hash=password_hash)
        ended = sessions.end_others(change, actor)
        password_resets.end_links(change, actor, row.id)
        pending_email_changes.end_pending(change, actor, row.id)
        after = {"authentications_ended": ended}
        record(change, actor, "password_changed", user_of(row), after=after)
        return ended

    return reauthentication.change(actor, make, password=current)


def _row(reading: Reading, actor: Actor) -> Row[Any]:
    return reading.session.execute(select(users).where(users.c.id == actor.user)).one()


def _check_rules(reading: Reading, row: Row[Any], password: str) -> None:
    passwords.check_rules(
        password,
        email=row.email,
        company_name=companies.get(reading, row.company_id).name,
        second_factor=row.totp_sealed is not None,
    )
