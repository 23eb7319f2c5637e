"""Alarms about decoys that somebody used: audit event, event for webhooks, mail.

The fold raises them from the observed calls of all verifiers. So a call with a decoy writes nothing
and takes no longer than one with an unknown token.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from gatepass.core.grants import DECOY
from gatepass.core.observed_call import CountedCall
from gatepass.core.reason import Reason
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.users import administrators
from gatepass.registry.membership import outbox
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.tables import access_tokens, companies, users

#: The kind of the mail about a decoy that was used.
MAIL = "decoy_used"
ACTION = "access_token.decoy_used"
#: At most one alarm of a decoy within this time. Its list of calls has all of them.
PAUSE_MS = 60_000

_MAIL_EXPIRES_MS = 3 * 24 * 3_600_000
_MOST_RECIPIENTS = 50


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of the mail about a decoy that was used.

    Attributes:
        id: of the decoy.
        call: what was called, in words; "" if that isn't known.
        address: None if it isn't known.
        at: Unix ms.
    """

    id: str
    label: str
    user_name: str
    company: str
    call: str
    address: str | None
    at: int


def raise_alarms(write: Write, calls: Iterable[CountedCall]) -> None:
    """Report the decoys among *calls*, which the same transaction folds.

    The fold is serialized, so two of them never report one use twice.
    """
    first: dict[str, CountedCall] = {}
    for call in calls:
        # No other token's call is refused with this reason once its secret matched.
        if call.call is not None and call.call.reason == Reason.token_invalid.value:
            known = first.get(call.token)
            if known is None or call.first_at < known.first_at:
                first[call.token] = call
    if not first:
        return
    token = access_tokens.c
    decoys = write.session.execute(
        select(token.id, token.label, token.company_id, token.owner_id)
        .where(token.id.in_(first), token.kind == DECOY)
        .order_by(token.id)
    )
    for row in decoys.all():
        last = log.last_change(write, row.company_id, row.id, [ACTION])
        if last is None or last.at <= write.now - PAUSE_MS:
            _record(write, row, first[row.id])
            _enqueue(write, row)


def letter(reading: Reading, subject: str) -> Letter | None:
    """The content of a mail; None if its reader isn't an active user any more.

    Args:
        subject: the mail's: the ids of the decoy and of the user.
    """
    decoy, _, user = subject.partition(":")
    row = reading.session.execute(
        select(users.c.name, users.c.company_id, companies.c.name.label("company"))
        .join(companies, companies.c.id == users.c.company_id)
        .where(users.c.id == user, users.c.deactivated_at.is_(None))
    ).one_or_none()
    event = None if row is None else log.last_change(reading, row.company_id, decoy, [ACTION])
    if row is None or event is None:
        return None
    used = event.after or {}
    return Letter(
        decoy,
        event.subject.name,
        row.name,
        row.company,
        call_in_words(used),
        used.get("address"),
        used.get("used_at", event.at),
    )


def call_in_words(used: dict[str, Any]) -> str:
    """The call in the fields of an event, such as ``POST /v1/charges``; "" if it isn't known."""
    if used.get("route"):
        return f"{used['method']} {used['route']}"
    return used.get("permission") or ""


def _record(write: Write, row: Any, used: CountedCall) -> None:
    call = used.call
    assert call is not None
    fields = {
        "address": call.address,
        "permission": call.needed[0] if call.needed else None,
        "method": call.method,
        "route": call.route,
        "used_at": used.first_at,
    }
    log.record(
        write,
        replace(Actor.system(), address=call.address),
        ACTION,
        Subject("access_token", row.id, row.label),
        company=row.company_id,
        after=fields,
    )


def _enqueue(write: Write, row: Any) -> None:
    for user, company, email in _recipients(write, row):
        outbox.enqueue(
            write,
            kind=MAIL,
            subject=f"{row.id}:{user}",
            company=company,
            recipient=email,
            expires_at=write.now + _MAIL_EXPIRES_MS,
        )


def _recipients(reading: Reading, row: Any) -> Sequence[Any]:
    """Ids, companies and addresses of the decoy's owner and of the company's administrators."""
    its = users.c
    own = reading.session.execute(
        select(its.id, its.company_id, its.email).where(
            its.id == row.owner_id, its.deactivated_at.is_(None)
        )
    ).all()
    others = administrators(reading, row.company_id, most=_MOST_RECIPIENTS)
    return [*own, *(each for each in others if each.id != row.owner_id)]
