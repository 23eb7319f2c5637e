"""Mail that is to go out: what waits, who is sending it, and what became of it.

A mail's text isn't kept, for it would hold a link: it is written the moment the mail goes out. The
states say what may happen next, so that nothing is lost and nothing is sent twice:

* ``waiting``: due at some time.
* ``sending``: claimed by a process, until a time at which that process counts as dead.
* ``handed_over``: the mail server is being given the text. Whoever dies now leaves a mail whose
  fate nobody knows; it isn't tried again by itself.
* ``delivered``: the mail server has taken it.
* ``given_up``: it was refused for good, is of no use any more, or there was no mail server: it
  never goes out.
* ``dropped``: what it is about has ended, or another mail took its place.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, insert, select, update

from gatepass.core.credentials import new_id
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.tables import outgoing_mail

#: Whoever sends a mail and isn't heard of for so long counts as dead, and another tries.
LEASE_MS = 60_000
#: How long a mail rests after its first, second, … attempt.
PAUSES_MS = (30_000, 120_000, 600_000, 3_600_000)
#: What stands in a mail's place whose link somebody took instead.
IN_PERSON = "Its link was copied, to be handed over without mail."

_OPEN = ("waiting", "sending")
_UNSETTLED = (*_OPEN, "handed_over", "given_up")
_table = outgoing_mail.c


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail that was claimed. ``attempts`` tells this claim from any other."""

    id: str
    kind: str
    subject: str
    recipient: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """How it stands with a mail that isn't known to be delivered.

    Attributes:
        trouble: what went wrong last, in a sentence; None if nothing did.
        due_at: when a waiting one is tried (again), in Unix ms.
    """

    state: str
    trouble: str | None
    due_at: int

    @property
    def in_person(self) -> bool:
        """Whether there is none, because somebody took the link to hand it over at ``due_at``."""
        return self.trouble == IN_PERSON


def enqueue(
    write: Write,
    *,
    kind: str,
    subject: str,
    company: str,
    recipient: str,
    expires_at: int,
    in_person: bool = False,
) -> None:
    """Have a mail sent about *subject* (an id), in place of any other about it.

    Args:
        expires_at: from when on (Unix ms) it would be of no use.
        in_person: no mail goes out: somebody hands the link over. It is only written down.
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
            "due_at": now,
            "expires_at": expires_at,
            "attempts": 0,
            "trouble": IN_PERSON if in_person else None,
        },
    )


def drop(write: Write, subject: str) -> None:
    """Send nothing more about *subject*.

    Call it before the subject's own row is changed: whoever hands a mail over takes the rows in the
    same order.
    """
    write.session.execute(
        update(outgoing_mail)
        .where(_table.subject_id == subject, _table.state.in_(_UNSETTLED))
        .values(state="dropped")
    )


def drop_all(write: Write) -> int:
    """Send nothing of what waits; how many mails there were."""
    dropped = write.session.execute(
        update(outgoing_mail)
        .where(_table.state.in_((*_OPEN, "handed_over")))
        .values(state="dropped")
        .returning(_table.id)
    )
    return len(dropped.all())


def any_due(reading: Reading) -> bool:
    """Whether there is something to send now."""
    return (
        reading.session.execute(select(_table.id).where(_is_due(reading)).limit(1)).first()
        is not None
    )


def claim(write: Write) -> OutgoingMail | None:
    """Take the mail that has been due for longest; None if there is none.

    However many processes ask at once, each mail is taken by one: the others' conditions are looked
    at again behind that one's change. What is of no use any more is given up.
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
    """Note that the mail server is about to be given the text.

    Returns:
        Whether it may be: not if the claim ran out and another process took the mail, nor if it
        was dropped.
    """
    return _move(write, mail, ("sending",), state="handed_over")


def delivered(write: Write, mail: OutgoingMail) -> bool:
    """Note that the mail server has taken it; False if it doesn't count any more."""
    at = write.now
    return _move(write, mail, ("handed_over",), state="delivered", delivered_at=at, trouble=None)


def postpone(write: Write, mail: OutgoingMail, trouble: str) -> None:
    """Try again later, ever more seldom."""
    pause = PAUSES_MS[min(mail.attempts, len(PAUSES_MS)) - 1]
    due = write.now + pause
    _move(write, mail, ("sending", "handed_over"), state="waiting", due_at=due, trouble=trouble)


def give_up(write: Write, mail: OutgoingMail, trouble: str) -> None:
    """Never try again: it was refused for good."""
    _move(write, mail, ("sending", "handed_over"), state="given_up", trouble=trouble)


def note(write: Write, mail: OutgoingMail, trouble: str) -> None:
    """Note why the fate of a mail that was handed over is unknown."""
    _move(write, mail, ("handed_over",), trouble=trouble)


def undelivered(reading: Reading, subjects: Collection[str]) -> dict[str, Undelivered]:
    """By subject, the mail about it that isn't known to be delivered, where there is one."""
    rows = reading.session.execute(
        select(_table.subject_id, _table.state, _table.trouble, _table.due_at).where(
            _table.subject_id.in_(subjects), _table.state.in_(_UNSETTLED)
        )
    )
    return {row.subject_id: Undelivered(row.state, row.trouble, row.due_at) for row in rows}


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
