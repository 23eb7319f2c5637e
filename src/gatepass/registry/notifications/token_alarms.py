"""Mail about access tokens that rotate themselves, and whose old texts somebody uses."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sqlalchemy import select

from gatepass.core.observed_call import CountedCall
from gatepass.core.reason import Reason
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.users import owner_or_administrators
from gatepass.registry.membership import outbox
from gatepass.registry.storage.database import Database, Reading, Write
from gatepass.registry.storage.tables import access_tokens, companies, users
from gatepass.registry.tokens import self_rotation
from gatepass.registry.tokens.rotation_records import BY_ITSELF
from gatepass.registry.tokens.self_rotation import Reuse

#: The kinds of mail: a family was deactivated; an old token was used after its overlap.
REUSE_MAIL, LATE_USE_MAIL = "token_reuse", "token_late_use"
#: Late use of a family is told of once in this time.
TOLD_AGAIN_MS = 24 * 3_600_000

_LATE_USE = "access_token.used_late"
_MAIL_EXPIRES_MS = 3 * 24 * 3_600_000
_MOST_RECIPIENTS = 50
_TOKENS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of a mail.

    Attributes:
        token: its id.
        company: the name of the reader's company.
    """

    token: str
    label: str
    user_name: str
    company: str


def tell_of_reuse(write: Write, reuse: Reuse) -> None:
    """Enqueue mail about a family that was deactivated, to the people it concerns."""
    _enqueue(write, REUSE_MAIL, reuse.token, reuse.owner, reuse.company)


def end_reused(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """End the families whose reuse shows only now (``self_rotation.asked_again_after_use``).

    Several nodes may run it.

    Args:
        now: returns the time in Unix ms; called for each transaction.
        pause: called between two transactions; returns whether to continue.

    Returns:
        The number of families.

    Raises:
        Unavailable: the database can't be used now.
    """
    with database.read(now()) as reading:
        found = self_rotation.asked_again_after_use(reading)
    ended = 0
    for token in found:
        with database.write(now()) as change:
            reuse = self_rotation.end_family_of(change, token)
            if reuse is not None:
                tell_of_reuse(change, reuse)
                ended += 1
        if not pause():
            break
    return ended


def tell_of_late_use(write: Write, calls: Iterable[CountedCall]) -> None:
    """Audit and enqueue mail about calls with tokens that had rotated themselves and expired.

    Call it in the transaction that counts them. A family is told of once a day: a job that still
    has an old text calls every minute.
    """
    late = {
        call.token: call.call.address
        for call in calls
        if call.call is not None and call.call.reason == Reason.token_expired.value
    }
    ids, told = sorted(late), set[str]()
    for start in range(0, len(ids), _TOKENS_AT_ONCE):
        some = access_tokens.c.id.in_(ids[start : start + _TOKENS_AT_ONCE])
        rows = write.session.execute(
            select(access_tokens)
            .where(some, access_tokens.c.rotation_close == BY_ITSELF)
            .order_by(access_tokens.c.id)
        )
        for row in rows.all():
            # The first token of a family stands for it.
            last = log.last_change(write, row.company_id, row.family_id, [_LATE_USE])
            if row.family_id in told or (last and last.at > write.now - TOLD_AGAIN_MS):
                continue
            told.add(row.family_id)
            log.record(
                write,
                replace(Actor.system(), address=late[row.id]),
                _LATE_USE,
                Subject("access_token", row.family_id, row.label),
                company=row.company_id,
                after={"access_token": row.id},
            )
            _enqueue(write, LATE_USE_MAIL, row.id, row.owner_id, row.company_id)


def letter(reading: Reading, subject: str) -> Letter | None:
    """The content of a mail; None if its reader isn't an active user any more.

    Args:
        subject: the mail's: the ids of the token and of the user.
    """
    token, _, user = subject.partition(":")
    row = reading.session.execute(
        select(users.c.name, companies.c.name.label("company"), access_tokens.c.label)
        .join(companies, companies.c.id == users.c.company_id)
        .join(access_tokens, access_tokens.c.company_id == companies.c.id)
        .where(users.c.id == user, users.c.deactivated_at.is_(None), access_tokens.c.id == token)
    ).one_or_none()
    return None if row is None else Letter(token, row.label, row.name, row.company)


def _enqueue(write: Write, kind: str, token: str, owner: str, company: str) -> None:
    for user, its_company, email in owner_or_administrators(
        write, owner, company, most=_MOST_RECIPIENTS
    ):
        outbox.enqueue(
            write,
            kind=kind,
            subject=f"{token}:{user}",
            company=its_company,
            recipient=email,
            expires_at=write.now + _MAIL_EXPIRES_MS,
        )
