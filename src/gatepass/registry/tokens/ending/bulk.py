"""Deactivating many access tokens in one transaction: those of a list of ids, or of filters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from gatepass.core.credentials import new_id
from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.text import storable
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.tables import access_tokens, token_use
from gatepass.registry.tokens import store
from gatepass.registry.tokens.lists import search
from gatepass.registry.tokens.lists.selection import Filters
from gatepass.registry.tokens.records import STORED, AccessToken, tokens_of

#: The most ids in one request.
MOST_IDS = 1_000
#: The most tokens that filters may match. All changes wait for this one.
MOST_TOKENS = 5_000

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the tokens, in numbers.

    Attributes:
        deactivated: by this change.
        already: were deactivated before.
        not_found: ids of no token of the company.
    """

    deactivated: int
    already: int
    not_found: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """Tokens that were chosen to be deactivated.

    Attributes:
        found: how many there are; one more than ``MOST_TOKENS`` means more than that.
        count: how many of them aren't deactivated.
        in_use: how many of those were used lately.
        latest: some of those, the latest used first.
    """

    found: int
    count: int
    in_use: int
    latest: list[AccessToken]


def chosen(
    reading: Reading, actor: Actor, ids: Sequence[str], *, used_since: int, shown: int
) -> Chosen:
    """What deactivating the tokens with *ids*, of the actor's company, would end.

    Args:
        used_since: Unix ms; tokens used since then are in use.
        shown: the most records of ``Chosen.latest``.

    Raises:
        Forbidden: without ``access-tokens:deactivate``, unless all are one's own.
    """
    rows = _rows(reading, actor, [id for id in ids if storable(id)])
    _require_allowed(actor, rows)
    active = [row for row in rows if row.deactivated_at is None]
    active.sort(key=lambda row: (-(row.last_at or 0), -row.created_at, row.id))
    first = {row.id: at for at, row in enumerate(active[:shown])}
    records = reading.session.execute(STORED.where(access_tokens.c.id.in_(first))).all()
    records = sorted(records, key=lambda row: first[row.id])
    in_use = sum((row.last_at or 0) > used_since for row in active)
    return Chosen(len(rows), len(active), in_use, tokens_of(reading, records))


def deactivate_listed(change: Change, actor: Actor, ids: Sequence[str]) -> Outcome:
    """Deactivate the tokens with *ids*, of the actor's company, permanently.

    Raises:
        Forbidden: without ``access-tokens:deactivate``, unless all are one's own.
        InvalidInput: for ``ids``; there are none, or more than ``MOST_IDS``.
    """
    actor = acting(change, actor)
    if not 1 <= len(ids) <= MOST_IDS:
        raise InvalidInput([("ids", f"Must have 1 to {MOST_IDS:,} ids.")])
    wanted = list(dict.fromkeys(ids))
    found = _rows(change, actor, [id for id in wanted if storable(id)])
    return _deactivate(change, actor, found, missing=len(wanted) - len(found))


def deactivate_matching(change: Change, actor: Actor, filters: Filters, *, expect: int) -> Outcome:
    """Deactivate the tokens of the actor's company that match *filters*, permanently.

    Args:
        expect: how many match, deactivated ones included.

    Raises:
        Forbidden: without ``access-tokens:deactivate``, unless all are one's own.
        InvalidInput: for ``filter``; there is none, or one is invalid.
        Conflict: ``too_many``: more than ``MOST_TOKENS`` match; ``count_changed``: not *expect* do.
    """
    actor = acting(change, actor)
    if all(value in (None, "") for value in filters.values()):
        raise InvalidInput([("filter", "Must have at least one filter.")])
    ids = matching(change, actor, filters)
    if len(ids) > MOST_TOKENS:
        raise Conflict(
            f"More than {MOST_TOKENS:,} access tokens match. Deactivate them in parts.",
            reason="too_many",
        )
    if len(ids) != expect:
        raise Conflict(
            f"{len(ids):,} access tokens match now, and not {expect:,}.", reason="count_changed"
        )
    return _deactivate(change, actor, _rows(change, actor, ids), missing=0)


def matching(reading: Reading, actor: Actor, filters: Filters) -> list[str]:
    """The ids that ``deactivate_matching`` deactivates; one more than ``MOST_TOKENS`` if there are
    more. Without ``access-tokens:deactivate`` only one's own match.

    Raises:
        Forbidden: for an access token without the permission.
        InvalidInput: for a filter, as ``filter.status``.
    """
    if not actor.may("access-tokens:deactivate"):
        if actor.kind == "token":
            actor.require("access-tokens:deactivate")
        if filters.get("owner") not in (None, actor.user):
            actor.require("access-tokens:deactivate")
        filters = {**filters, "owner": actor.user}
    try:
        return search.ids(reading, actor, filters, most=MOST_TOKENS + 1)
    except InvalidInput as error:
        raise InvalidInput([(f"filter.{name}", why) for name, why in error.errors]) from None


def _rows(reading: Reading, actor: Actor, ids: Sequence[str]) -> list[Row[Any]]:
    """What is needed of the company's tokens with *ids*."""
    token = access_tokens.c
    rows: list[Row[Any]] = []
    for start in range(0, len(ids), _AT_ONCE):
        some = token.id.in_(ids[start : start + _AT_ONCE])
        rows += reading.session.execute(
            select(
                token.id,
                token.label,
                token.owner_id,
                token.created_at,
                token.deactivated_at,
                token_use.c.last_at,
            )
            .outerjoin(token_use, token_use.c.token_id == token.id)
            .where(some, token.company_id == actor.company)
        )
    return rows


def _deactivate(change: Change, actor: Actor, rows: list[Row[Any]], *, missing: int) -> Outcome:
    _require_allowed(actor, rows)
    active = [row for row in rows if row.deactivated_at is None]
    for start in range(0, len(active), _AT_ONCE):
        ids = [row.id for row in active[start : start + _AT_ONCE]]
        store.revoke(change, actor, ids, receipt=False)
    if active:
        receipts.begin(change, [_subject(active)], company=actor.company)
    return Outcome(len(active), len(rows) - len(active), missing)


def _require_allowed(actor: Actor, rows: Sequence[Row[Any]]) -> None:
    if actor.kind == "token" or any(row.owner_id != actor.user for row in rows):
        actor.require("access-tokens:deactivate")


def _subject(rows: Sequence[Row[Any]]) -> Subject:
    """What the one receipt is of."""
    if len(rows) == 1:
        return Subject("access_token", rows[0].id, rows[0].label)
    return Subject(receipts.ACCESS_TOKENS, new_id("end"), f"{len(rows):,} access tokens")
