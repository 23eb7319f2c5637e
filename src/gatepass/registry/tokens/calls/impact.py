"""Impact of a change: which calls of the last days would newly be refused.

The observed calls are replayed (``core.replay``) outside the lock of all changes. Performs no
permission check: the callers must have done it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest

from sqlalchemy import Select, select

from gatepass.core.observed_call import DAY_MS
from gatepass.core.reason import Reason
from gatepass.core.replay import Replay, Rules
from gatepass.registry.grants.publishing import (
    published_grants,
    published_holders,
    published_rules,
)
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import access_token_recency, access_tokens
from gatepass.registry.tokens.calls.seen_calls import SeenCalls, seen

#: How far back calls are replayed.
DAYS = 30
#: The most rows of observed calls that are read.
MOST_ROWS = 50_000
#: At most this many different calls are named, the most frequent first.
NAMED = 100

_TOKENS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class NewlyRefused:
    """Equal calls that would newly be refused. Times are Unix ms.

    Attributes:
        access_token: the id of the token.
        label: its label.
        reason: why they would be refused, a value of ``Reason``.
        permission: the one asked for by name, else the route's.
        address: or the /64 of many.
    """

    access_token: str
    label: str
    reason: str
    permission: str | None
    route: str | None
    method: str | None
    address: str | None
    origin: str | None
    count: int
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Impact:
    """What a change would do to the calls of the last ``DAYS`` days, in numbers of calls.

    Attributes:
        allowed_before: those that were allowed, and still are without the change.
        refused_after: those of them that would be refused.
        unknown: further ones of which too little is kept to tell.
        complete: whether all calls were looked at, and all were told apart.
        bounded: whether there are calls that weren't looked at.
        distinct: how many different calls would be refused.
        items: the most frequent of them.
    """

    allowed_before: int = 0
    refused_after: int = 0
    unknown: int = 0
    complete: bool = True
    bounded: bool = False
    distinct: int = 0
    items: Sequence[NewlyRefused] = ()

    @property
    def seen(self) -> int:
        """How many calls there were to replay."""
        return self.allowed_before + self.unknown

    @property
    def tokens(self) -> int:
        """Of how many tokens the named calls are."""
        return len({each.access_token for each in self.items})

    def without_names(self) -> "Impact":
        """The numbers alone."""
        return replace(self, items=())


def of_token(reading: Reading, before: Rules, after: Rules) -> Impact:
    """What would become of one token's calls.

    Args:
        before, after: what decides about it without the change, and with it.
    """
    counting = _Counting(reading.now)
    found = seen(reading, [before.grant.id], since=_since(reading), most=MOST_ROWS)
    counting.add(before, after, found.of.get(before.grant.id, ()))
    return counting.impact(bounded=found.rows >= MOST_ROWS)


def of_company(
    reading: Reading,
    company: str,
    changed: Callable[[Rules], Rules],
    *,
    owners: Select[tuple[str]] | None = None,
) -> Impact:
    """What would become of the calls of a company's tokens, those used last first.

    Args:
        company: an id.
        changed: what decides about a token with the change.
        owners: selects the ids of the owners whose tokens it concerns; None is all.

    Raises:
        NotFound: there is no such company.
    """
    rules = published_rules(reading, company)
    tokens = _used_tokens(reading, company, owners)
    counting, left = _Counting(reading.now), MOST_ROWS
    for start in range(0, len(tokens), _TOKENS_AT_ONCE):
        if left <= 0:
            break
        some = tokens[start : start + _TOKENS_AT_ONCE]
        found = seen(reading, some, since=_since(reading), most=left)
        left -= found.rows
        grants = published_grants(reading, list(found.of))
        holders = published_holders(reading, {each.user for each in grants})
        for grant in grants:
            before = Rules(grant, holders.get(grant.user), rules)
            counting.add(before, changed(before), found.of[grant.id])
    return counting.impact(bounded=left <= 0)


class _Counting:
    """Adds up what becomes of calls."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._allowed_before = self._unknown = 0
        self._told_apart = True
        self._refused: list[NewlyRefused] = []

    def add(self, before: Rules, after: Rules, calls: Sequence[SeenCalls]) -> None:
        """Replay the calls of one token."""
        replay = Replay(before, after, self._now)
        for each in calls:
            outcome, reason = replay.outcome(each.call)
            if outcome == "refused before":
                continue
            self._told_apart = self._told_apart and each.call.apart
            if outcome == "unknown":
                self._unknown += each.count
                continue
            self._allowed_before += each.count
            if reason is not None:
                self._refused.append(_refused(before, each, reason))

    def impact(self, *, bounded: bool) -> Impact:
        """The sum."""
        refused = self._refused
        return Impact(
            allowed_before=self._allowed_before,
            refused_after=sum(each.count for each in refused),
            unknown=self._unknown,
            complete=self._told_apart and not bounded,
            bounded=bounded,
            distinct=len(refused),
            items=nlargest(NAMED, refused, key=lambda each: (each.count, each.last_at)),
        )


def _refused(rules: Rules, seen: SeenCalls, reason: Reason) -> NewlyRefused:
    call = seen.call
    return NewlyRefused(
        access_token=rules.grant.id,
        label=rules.grant.label,
        reason=reason.value,
        permission=call.permission,
        route=call.route,
        method=call.method,
        address=call.address,
        origin=call.origin,
        count=seen.count,
        first_at=seen.first_at,
        last_at=seen.last_at,
    )


def _used_tokens(
    reading: Reading, company: str, owners: Select[tuple[str]] | None
) -> Sequence[str]:
    """The ids of a company's active tokens with calls since then, those used last first."""
    recency = access_token_recency.c
    ids = (
        select(recency.id)
        .where(
            recency.company_id == company,
            recency.life == "active",
            recency.last_at >= _since(reading),
        )
        .order_by(recency.last_at.desc())
        # Each has a row of its calls.
        .limit(MOST_ROWS)
    )
    if owners is not None:
        token = access_tokens.c
        ids = ids.join(access_tokens, token.id == recency.id).where(token.owner_id.in_(owners))
    return reading.session.scalars(ids).all()


def _since(reading: Reading) -> int:
    return reading.now - DAYS * DAY_MS
