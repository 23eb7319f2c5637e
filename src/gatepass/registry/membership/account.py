"""One's own account: name and password. See ``email_changes`` for the address,
``second_factor_setup`` for the second factor.

All of it is a person's alone: an access token that leaked must not be able to lock its maker out.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, update

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication import passwords, sessions, totp_policy
from gatepass.registry.authentication import totp as second_factor
from gatepass.registry.authentication.reauthentication import Proving
from gatepass.registry.directory import companies
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.text import read_label
from gatepass.registry.membership import password_resets, pending_email_changes
from gatepass.registry.membership.pending_email_changes import EmailChange
from gatepass.registry.storage.database import Change, Committed, Reading, Write
from gatepass.registry.storage.tables import users


@dataclass(frozen=True, slots=True)
class Account:
    """What a person sees of their own account. Times are Unix ms.

    Attributes:
        recovery_codes_left: how many are still good.
        second_factor_required: by the company.
        email_change: what waits for the link at another address to be used.
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
    """The actor's own.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
    """
    actor.require_user()
    row = _row(reading, actor)
    return Account(
        id=row.id,
        name=row.name,
        email=row.email,
        last_sign_in_at=row.last_sign_in_at,
        second_factor=row.totp_sealed is not None,
        recovery_codes_left=second_factor.recovery_codes_left(reading, row.id),
        second_factor_required=totp_policy.required(reading, row.company_id),
        email_change=pending_email_changes.pending(reading, row.id),
    )


def rename(change: Change, actor: Actor, name: str, *, former: str | None = None) -> None:
    """Change one's own name. The same name is no change.

    Args:
        former: the name it may be changed from; None is any.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
        InvalidInput: for ``name``; 1–100 characters without control characters.
        Conflict: ``changed_meanwhile``; ``current`` is the name as it is now.
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
    change.session.execute(update(users).where(users.c.id == row.id).values(name=name))
    _record(change, actor, "renamed", row, name, before={"name": row.name}, after={"name": name})


def change_password(proving: Proving, actor: Actor, *, current: str, new: str) -> Committed[int]:
    """Change one's own password, which ends all other sign-ins; how many those were.

    Whoever else knows the former password may have signed in with it, or have had a link sent to
    an address of theirs.

    Raises:
        Forbidden, TooManyAttempts, Conflict, Unavailable: as ``Proving.proven`` says.
        InvalidInput: for ``current_password``, or for ``password``, the new one.
    """
    actor.require_user()
    with proving.database.read(proving.now()) as reading:
        row = _row(reading, actor)
        _check_rules(reading, row, new)
    # Before hashing: else wrong passwords would keep the processors busy for as long as one likes.
    proving.begin(row, actor)
    kept = passwords.hash(new, hasher=proving.hasher)

    def make(change: Change, actor: Actor, row: Row[Any]) -> int:
        # The second factor that let a short one pass may be gone by now.
        _check_rules(change, row, new)
        change.session.execute(update(users).where(users.c.id == row.id).values(password_hash=kept))
        ended = sessions.end_others(change, actor)
        password_resets.end_links(change, actor, row.id)
        pending_email_changes.end_pending(change, actor, row.id)
        after = {"authentications_ended": ended}
        _record(change, actor, "password_changed", row, row.name, after=after)
        return ended

    return proving.proven(actor, make, password=current)


def _row(reading: Reading, actor: Actor) -> Row[Any]:
    return reading.session.execute(select(users).where(users.c.id == actor.user)).one()


def _check_rules(reading: Reading, row: Row[Any], password: str) -> None:
    passwords.check_rules(
        password,
        email=row.email,
        company_name=companies.get(reading, row.company_id).name,
        second_factor=row.totp_sealed is not None,
    )


def _record(
    write: Write,
    actor: Actor,
    what: str,
    row: Row[Any],
    name: str,
    **changed: dict[str, Any],
) -> None:
    log.record(
        write,
        actor,
        f"user.{what}",
        Subject("user", row.id, name),
        company=row.company_id,
        **changed,
    )
