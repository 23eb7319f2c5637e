"""Narrowing an access token to what it used, and undoing that while nothing was refused since.

Both are ordinary modifications. What an undo restores is in the audit event of the narrowing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.errors import Conflict
from gatepass.core.narrowing import Limits, is_narrower
from gatepass.core.observed_call import DAY_MS
from gatepass.core.reason import Reason
from gatepass.registry.actor import Actor
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.tables import observed_calls
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.least_privilege.suggestion import limits_of
from gatepass.registry.tokens.records import AccessToken

#: How long an undo is offered.
UNDO_DAYS = 30

_LIMITED = (
    Reason.permission_missing,
    Reason.address_not_allowed,
    Reason.origin_missing,
    Reason.origin_not_allowed,
)


@dataclass(frozen=True, slots=True)
class Narrowing:
    """The latest modification of a token, which took limits away and did nothing else.

    Attributes:
        event: the id of its audit event.
        at: when (Unix ms).
        by: the name of who did it.
        before: the fields that it changed, as they were.
    """

    event: str
    at: int
    by: str
    before: Mapping[str, Any]


def undoable(reading: Reading, token: AccessToken) -> Narrowing | None:
    """The narrowing of *token* that can be undone: within ``UNDO_DAYS``, the latest modification,
    and no call was refused by its limits since.

    Performs no permission check: the caller must have done it.
    """
    if token.status != "active":
        return None
    event = log.last_change(reading, token.company, token.id, ("access_token.modified",))
    if event is None or event.at < reading.now - UNDO_DAYS * DAY_MS:
        return None
    before, after = event.before or {}, event.after or {}
    if not before or set(before) - set(Limits._fields):
        return None
    present = limits_of(token)
    former = present._replace(**{name: tuple(entries) for name, entries in before.items()})
    # A rotation or a restore changes records without such an event.
    unchanged = all(set(getattr(present, name)) == set(after.get(name, ())) for name in before)
    if not unchanged or not is_narrower(present, former):
        return None
    if _refused_since(reading, token.id, event.at):
        return None
    return Narrowing(event.id, event.at, event.actor_name, before)


def undo(
    change: Change, actor: Actor, token_id: str, event: str, *, catalogue: Catalogue
) -> AccessToken:
    """Give a token the limits back that the narrowing with the audit event *event* took away.

    Raises:
        Forbidden, NotFound, InvalidInput, Conflict: as ``access_tokens.modify`` does; Forbidden
            also without ``access-tokens:get``; ``changed_meanwhile``, with the ``current`` record:
            it isn't undoable any more.
    """
    actor = acting(change, actor, "access-tokens:modify", person=True)
    token = access_tokens.get(change, actor, token_id)
    found = undoable(change, token)
    if found is None or found.event != event:
        raise Conflict(
            "The token was changed, or a call was refused, meanwhile.",
            reason="changed_meanwhile",
            current=token,
        )
    return access_tokens.modify(change, actor, token.id, catalogue=catalogue, changes=found.before)


def _refused_since(reading: Reading, token_id: str, since: int) -> bool:
    table = observed_calls.c
    refused = (
        select(table.token_id)
        .where(
            table.token_id == token_id,
            table.day >= since // DAY_MS,
            table.allowed.is_(False),
            table.last_at >= since,
            or_(table.reason.is_(None), table.reason.in_([each.value for each in _LIMITED])),
        )
        .limit(1)
    )
    return reading.session.execute(refused).first() is not None
