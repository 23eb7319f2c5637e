"""The mail outbox: enqueued mails, the claims of processes that send them, and the outcomes.

A mail's text isn't stored, because it would hold a link; it is composed when the mail is sent. The
states ensure that no mail is lost and none is sent twice:

* ``waiting``: due at some time.
* ``sending``: claimed by a process, until its lease expires.
* ``handed_over``: the process is giving the text to the mail server. If it crashes now, the outcome
  is unknown, and the mail is not retried.
* ``delivered``: the mail server accepted it.
* ``given_up``: never sent: it was rejected for good or expired, or there was no mail server.
* ``dropped``: its subject was deactivated, or another mail replaced it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update

from gatepass.core.credentials import new_id
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.tables import outgoing_mail

#: A claim's lease. After it another process may claim the mail.
LEASE_MS = 60_000
#: The back-off after the first, second, … attempt.
PAUSES_MS = (30_000, 120_000, 600_000, 3_600_000)
#: The ``trouble`` of a mail that wasn't sent because its link was handed over.
IN_PERSON = "Its link was copied, to be handed over without mail."

_OPEN = ("waiting", "sending")
_UNSETTLED = (*_OPEN, "handed_over", "given_up")
_table = outgoing_mail.c


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A claimed mail. ``attempts`` identifies the claim."""

    id: str
    kind: str
    subject: str
    recipient: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Figures:
    """How many mails wait that are due or were tried, and how many of them failed before.

    Attributes:
        oldest_ms: for how long the oldest has waited.
    """

    waiting: int
    failing: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The state of a mail that isn't known to be delivered.

    Attributes:
        trouble: the last error, as a sentence; None if there was none.
        due_at: the time of the next attempt of a waiting mail, in Unix ms.
    """

    state: str
    trouble: str | None
    due_at: int

    @property
    def in_person(self) -> bool:
        """Whether the link was taken at ``due_at``, to be handed over instead of mailed."""
        return self.trouble == IN_PERSON


def enqueue(
    write: Write,
    *,
    kind: str,
    subject: str,
    company: str,
    recipient: str,
    expires_at: int,
    due_at: int | None = None,
    in_person: bool = False,
) -> None:
    """Enqueue a mail about *subject* (an id), in place of any other about it.

    Args:
        expires_at: when the mail becomes useless (Unix ms).
        due_at: when to send it (Unix ms); None is now.
        in_person: only record that the link is handed over; no mail is sent.
    """
    drop(write, subject)
    now = write.now
    write.session.execute(
        insert(outgoing_mail),
        {
            "id": new_id("mail"),
            "kind": kind,
            "subject_id": subject,
            "company_id": company,
            "recipient": recipient,
            "created_at": now,
            "state": "given_up" if in_person else "waiting",
            "due_at": now if due_at is None else due_at,
            "expires_at": expires_at,
            "attempts": 0,
            "trouble": IN_PERSON if in_person else None,
        },
    )


def unsent(write: Write, subjects: Collection[str]) -> dict[str, bool]:
    """Of each of *subjects* that has a mail, whether its text isn't composed yet.

    No process composes it until the transaction ends.
    """
    rows = write.session.execute(
        select(_table.subject_id, _table.state)
        .where(_table.subject_id.in_(subjects))
        .order_by(_table.created_at)
        .with_for_update()
    )
    return {row.subject_id: row.state == "waiting" for row in rows}


def drop(write: Write, subject: str) -> None:
    """Drop the mail about *subject*.

    Call it before changing the subject's own row: ``hand_over`` locks the rows in the same order,
    which prevents deadlocks.
    """
    write.session.execute(
        update(outgoing_mail)
        .where(_table.subject_id == subject, _table.state.in_(_UNSETTLED))
        .values(state="dropped")
    )


def drop_all(write: Write) -> int:
    """Drop all unsent mail; returns the number of mails."""
    dropped = write.session.execute(
        update(outgoing_mail)
        .where(_table.state.in_((*_OPEN, "handed_over")))
        .values(state="dropped")
        .returning(_table.id)
    )
    return len(dropped.all())


def any_due(reading: Reading) -> bool:
    """Whether a mail is due now."""
    return (
        reading.session.execute(select(_table.id).where(_is_due(reading)).limit(1)).first()
        is not None
    )


def claim(write: Write) -> OutgoingMail | None:
    """Claim the mail that has been due the longest; None if none is due.

    Safe under concurrency: after waiting for the row lock, UPDATE re-evaluates its WHERE clause, so
    exactly one process claims a mail. Expired mail becomes ``given_up``.
    """
    now = write.now
    write.session.execute(
        update(outgoing_mail)
        .where(_is_due(write), _table.expires_at <= now)
        .values(state="given_up")
    )
    first = select(_table.id).where(_is_due(write)).order_by(_table.due_at).limit(1)
    row = write.session.execute(
        update(outgoing_mail)
        .where(_table.id == first.scalar_subquery(), _is_due(write))
        .values(state="sending", due_at=now + LEASE_MS, attempts=_table.attempts + 1)
        .returning(_table.id, _table.kind, _table.subject_id, _table.recipient, _table.attempts)
    ).one_or_none()
    return None if row is None else OutgoingMail(*row)


def hand_over(write: Write, mail: OutgoingMail) -> bool:
    """Record that the text is about to be given to the mail server.

    Returns:
        Whether the claim holds; not if another process claimed the mail since, or it was dropped.
    """
    return _move(write, mail, ("sending",), state="handed_over")


def delivered(write: Write, mail: OutgoingMail) -> bool:
    """Record that the mail server accepted the mail; False if the claim no longer holds."""
    at = write.now
    return _move(write, mail, ("handed_over",), state="delivered", delivered_at=at, trouble=None)


def postpone(write: Write, mail: OutgoingMail, trouble: str) -> None:
    """Retry later, with back-off."""
    pause = PAUSES_MS[min(mail.attempts, len(PAUSES_MS)) - 1]
    due = write.now + pause
    _move(write, mail, ("sending", "handed_over"), state="waiting", due_at=due, trouble=trouble)


def give_up(write: Write, mail: OutgoingMail, trouble: str) -> bool:
    """Never retry: the mail server rejected the mail for good, or there is none.

    Returns:
        False if the claim no longer holds.
    """
    return _move(write, mail, ("sending", "handed_over"), state="given_up", trouble=trouble)


def note(write: Write, mail: OutgoingMail, trouble: str) -> None:
    """Record why the outcome of a mail that was handed over is unknown."""
    _move(write, mail, ("handed_over",), trouble=trouble)


def undelivered(reading: Reading, subjects: Collection[str]) -> dict[str, Undelivered]:
    """The mails not known to be delivered, by subject."""
    rows = reading.session.execute(
        select(_table.subject_id, _table.state, _table.trouble, _table.due_at).where(
            _table.subject_id.in_(subjects), _table.state.in_(_UNSETTLED)
        )
    )
    return {row.subject_id: Undelivered(row.state, row.trouble, row.due_at) for row in rows}


def figures(reading: Reading) -> Figures:
    """The figures of all mail."""
    failed = _table.trouble.is_not(None)
    waiting, failing, oldest = reading.session.execute(
        select(func.count(), func.count().filter(failed), func.min(_table.created_at)).where(
            _table.state.in_(_OPEN), or_(_table.due_at <= reading.now, failed)
        )
    ).one()
    return Figures(waiting, failing, 0 if oldest is None else max(0, reading.now - oldest))


def _is_due(reading: Reading) -> ColumnElement[bool]:
    return and_(_table.state.in_(_OPEN), _table.due_at <= reading.now)


def _move(
    write: Write, mail: OutgoingMail, states: tuple[str, ...], **values: str | int | None
) -> bool:
    moved = write.session.execute(
        update(outgoing_mail)
        .where(_table.id == mail.id, _table.attempts == mail.attempts, _table.state.in_(states))
        .values(values)
        .returning(_table.id)
    )
    return moved.one_or_none() is not None
