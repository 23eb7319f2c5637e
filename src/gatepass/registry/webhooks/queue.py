"""The queue of deliveries: which are due, the claims of processes that send them, the outcomes.

* A delivery waits until its webhook has accepted it, so none is lost. A process claims it before
  it sends it. If the process dies, the claim's lease expires, and the delivery is due again: each
  is sent at least once.
* Of a subject's deliveries to a webhook, only the first that waits is sent. Other subjects' don't
  wait for it.
* A failed one is due again later. After three days of failures the webhook is paused. What waits
  for it stays until it is resumed, for as long as deliveries are kept.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update

from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.users import administrators
from gatepass.registry.membership import outbox
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.tables import companies, webhook_deliveries, webhooks
from gatepass.registry.webhooks.urls import host_of

#: A claim's lease; longer than any attempt.
LEASE_MS = 30_000
#: The back-off after the first, second, … failure, at least; a tenth more at most.
PAUSES_MS = tuple(
    1_000 * seconds for seconds in (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800)
)
#: After it, a webhook is paused.
GIVE_UP_MS = 3 * 86_400_000
#: The kind of mail that tells an administrator of a paused webhook.
PAUSED_MAIL = "webhook_paused"

_GONE = 410
_AT_ONCE = 1_000
_MOST_RECIPIENTS = 20
_MAIL_EXPIRES_MS = 3 * 86_400_000

_its = webhook_deliveries.c
_hook = webhooks.c
_waiting = _its.delivered_at.is_(None)


@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook with something due.

    Attributes:
        by_operator: whether it may have an address of GATEPASS_WEBHOOK_NETWORKS.
        sealed: its encrypted secrets, all of which sign.
    """

    id: str
    company: str
    url: str
    by_operator: bool
    sealed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed delivery. ``attempts`` identifies the claim."""

    id: str
    event_id: str
    payload: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        status: of the answer; None without one.
        trouble: why it failed, where the status doesn't say: ``unresolved``,
            ``address_not_allowed``, ``unreachable``, ``untrusted_certificate``, ``timed_out``,
            ``invalid_answer``, ``answer_too_large``.
        retry_after_ms: for how long the receiver asks for no further attempt.
    """

    status: int | None
    trouble: str | None
    took_ms: int
    retry_after_ms: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the receiver has the event."""
        return self.trouble is None and self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Figures:
    """How long the queue is, how much of it failed before, and how many webhooks are paused.

    Attributes:
        oldest_ms: for how long the oldest event has waited for a webhook that isn't paused.
    """

    waiting: int
    failing: int
    paused: int
    oldest_ms: int


def receivers(reading: Reading) -> list[Receiver]:
    """The webhooks to which something is due: not paused, and of active companies.

    One that is being resumed waits until everything is due again, in order.
    """
    due = exists().where(_its.webhook_id == _hook.id, _waiting, _its.due_at <= reading.now)
    query = (
        select(webhooks)
        .join(companies, companies.c.id == _hook.company_id)
        .where(
            _hook.paused_at.is_(None), ~_hook.resuming, companies.c.deactivated_at.is_(None), due
        )
    )
    return [_receiver(row, reading.now) for row in reading.session.execute(query)]


def due(reading: Reading, webhook: str, most: int) -> list[str]:
    """The ids of up to *most* deliveries that may be sent to a webhook now, the oldest first."""
    former = webhook_deliveries.alias()
    behind_another = exists().where(
        former.c.webhook_id == _its.webhook_id,
        former.c.subject_id == _its.subject_id,
        former.c.delivered_at.is_(None),
        former.c.number < _its.number,
    )
    query = (
        select(_its.id)
        .where(_its.webhook_id == webhook, _waiting, _its.due_at <= reading.now, ~behind_another)
        .order_by(_its.due_at, _its.number)
        .limit(most)
    )
    return list(reading.session.scalars(query))


def claim(write: Write, deliveries: Collection[str]) -> list[Claimed]:
    """Claim those of *deliveries* (ids) that are still due.

    Safe under concurrency: after waiting for a row lock, UPDATE re-evaluates its WHERE clause, so
    exactly one process claims each.
    """
    rows = write.session.execute(
        update(webhook_deliveries)
        .where(_its.id.in_(deliveries), _waiting, _its.due_at <= write.now)
        .values(due_at=write.now + LEASE_MS, attempts=_its.attempts + 1)
        .returning(_its.id, _its.event_id, _its.payload, _its.attempts)
    )
    return [Claimed(*row) for row in rows]


def settle(write: Write, claimed: Claimed, outcome: Outcome) -> None:
    """Record the outcome of an attempt, unless another process has claimed the delivery since."""
    hook = write.session.execute(
        select(webhooks)
        .join(webhook_deliveries, _its.webhook_id == _hook.id)
        .where(_its.id == claimed.id)
    ).one_or_none()
    if hook is None or not lock(write, hook.id):
        return
    row = write.session.execute(
        select(webhook_deliveries).where(
            _its.id == claimed.id, _its.attempts == claimed.attempts, _waiting
        )
    ).one_or_none()
    if row is None:
        return
    now = write.now
    values: dict[str, Any] = {
        "last_at": now,
        "took_ms": outcome.took_ms,
        "status": outcome.status,
        "trouble": outcome.trouble,
    }
    behind = [_its.webhook_id == row.webhook_id, _its.subject_id == row.subject_id, _waiting]
    if outcome.accepted:
        _update(write, [_its.id == row.id], delivered_at=now, **values)
        # Those behind it were postponed with it.
        _update(write, [*behind, _its.due_at > now], due_at=now)
        return
    since = now if row.failing_since is None else row.failing_since
    pause = PAUSES_MS[min(row.failures, len(PAUSES_MS) - 1)]
    pause = max(pause, min(outcome.retry_after_ms, PAUSES_MS[-1]))
    # A little apart, so that receivers aren't called by all of a burst at once.
    due_at = min(now + pause + secrets.randbelow(pause // 10), max(now, since + GIVE_UP_MS))
    _update(
        write,
        [_its.id == row.id],
        due_at=due_at,
        failures=row.failures + 1,
        failing_since=since,
        **values,
    )
    # So that they aren't looked at again and again.
    _update(write, [*behind, _its.due_at < due_at], due_at=due_at)
    if outcome.status == _GONE:
        _pause(write, hook.id, "gone")
    elif now >= since + GIVE_UP_MS:
        _pause(write, hook.id, "failing")


def lock(write: Write, webhook: str) -> bool:
    """Lock a webhook against outcomes and changes until the transaction ends; whether it exists.

    They take this lock before those of its deliveries, which prevents deadlocks. It isn't in the
    way of new events.
    """
    query = select(_hook.id).where(_hook.id == webhook).with_for_update(key_share=True)
    return write.session.execute(query).one_or_none() is not None


def resume_some(write: Write) -> bool:
    """Make a part of what waits for resumed webhooks due, with three new days.

    Returns:
        Whether anything may be left.
    """
    hook = write.session.scalar(select(_hook.id).where(_hook.resuming).limit(1))
    if hook is None or not lock(write, hook):
        return hook is not None
    behind = [_its.webhook_id == hook, _waiting, or_(_its.failures > 0, _its.due_at > write.now)]
    some = select(_its.number).where(*behind).limit(_AT_ONCE)
    rows = write.session.execute(
        update(webhook_deliveries)
        .where(_its.number.in_(some))
        .values(due_at=write.now, failures=0, failing_since=None)
        .returning(_its.number)
    )
    if len(rows.all()) < _AT_ONCE:
        write.session.execute(update(webhooks).where(_hook.id == hook).values(resuming=False))
    return True


def any_resuming(reading: Reading) -> bool:
    """Whether a resumed webhook has something that isn't due again yet."""
    return reading.session.scalar(select(_hook.id).where(_hook.resuming).limit(1)) is not None


def send_again(write: Write, delivery_id: str) -> None:
    """Make one delivery due now, whether it waits or was delivered, with three new days."""
    _update(
        write,
        [_its.id == delivery_id],
        due_at=write.now,
        failures=0,
        failing_since=None,
        delivered_at=None,
    )


def figures(reading: Reading) -> Figures:
    """The figures of all webhooks."""
    of_hooks = select(
        func.count(),
        func.count().filter(_its.failures > 0),
        func.min(_its.created_at).filter(_hook.paused_at.is_(None)),
    ).select_from(webhook_deliveries.join(webhooks, _its.webhook_id == _hook.id))
    waiting, failing, oldest = reading.session.execute(of_hooks.where(_waiting)).one()
    paused = reading.session.scalar(
        select(func.count()).select_from(webhooks).where(_hook.paused_at.is_not(None))
    )
    oldest_ms = 0 if oldest is None else max(0, reading.now - oldest)
    return Figures(waiting, failing, paused or 0, oldest_ms)


def after_restore(write: Write) -> tuple[int, int]:
    """Pause all webhooks of a restored backup, and drop what waited for them.

    What waited was sent since, or tells of a state that is no more. And a webhook that was deleted
    since must not get anything by itself.

    Returns:
        The numbers of webhooks paused, and of deliveries dropped.
    """
    dropped = write.session.execute(delete(webhook_deliveries).where(_waiting).returning(_its.id))
    paused = write.session.execute(
        update(webhooks)
        .where(_hook.paused_at.is_(None))
        .values(paused_at=write.now, paused_because="restored")
        .returning(_hook.id)
    )
    return len(paused.all()), len(dropped.all())


def _pause(write: Write, webhook: str, because: str) -> None:
    """Pause a webhook unless it is paused, and tell its company's administrators by mail."""
    paused = write.session.execute(
        update(webhooks)
        .where(_hook.id == webhook, _hook.paused_at.is_(None))
        .values(paused_at=write.now, paused_because=because)
        .returning(_hook.company_id, _hook.url)
    ).one_or_none()
    if paused is None:
        return
    company, url = paused
    log.record(
        write,
        Actor.system(),
        "webhook.paused",
        Subject("webhook", webhook, host_of(url)),
        company=company,
        after={"because": because},
    )
    for user, _, email in administrators(write, company, most=_MOST_RECIPIENTS):
        outbox.enqueue(
            write,
            kind=PAUSED_MAIL,
            subject=f"{webhook}:{user}",
            company=company,
            recipient=email,
            expires_at=write.now + _MAIL_EXPIRES_MS,
        )


def _receiver(row: Any, now: int) -> Receiver:
    sealed = [row.secret_sealed]
    if row.former_until is not None and now < row.former_until:
        sealed.append(row.former_sealed)
    return Receiver(row.id, row.company_id, row.url, row.by_operator, tuple(sealed))


def _update(write: Write, which: list[ColumnElement[bool]], **values: Any) -> None:
    write.session.execute(update(webhook_deliveries).where(*which).values(values))
