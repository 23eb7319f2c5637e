"""The narrowest access token that would have sufficed for the calls of the last days."""

from collections.abc import Collection
from dataclasses import dataclass

from gatepass.core.grants import DECOY
from gatepass.core.narrowing import Limits, narrowed
from gatepass.core.observed_call import DAY_MS
from gatepass.core.replay import SeenCall
from gatepass.registry.actor import Actor
from gatepass.registry.grants.compaction import CALLS_KEPT_DAYS
from gatepass.registry.input.days import days_problem
from gatepass.registry.input.text import Problems
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls.impact import MOST_ROWS
from gatepass.registry.tokens.calls.seen_calls import seen
from gatepass.registry.tokens.records import AccessToken

#: Fewer calls say too little about what a token is for.
FEWEST_CALLS = 20
#: How far back calls are looked at, unless it is said.
DAYS = 30
MOST_DAYS = CALLS_KEPT_DAYS


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The limits that would have sufficed for a token's calls.

    Attributes:
        limits: these.
        unused: the entries of the token's limits that no call needed.
        addresses: how many different ones calls came from.
        calls: how many were allowed.
        told_apart: False if some were too many to be told apart: then no limit is narrowed.
        since: the calls are those since then (Unix ms).
    """

    limits: Limits
    unused: Limits
    addresses: int
    calls: int
    told_apart: bool
    since: int

    def narrows(self, token: AccessToken) -> bool:
        """Whether the limits are other ones than the token's."""
        return any(
            set(one) != set(other) for one, other in zip(self.limits, limits_of(token), strict=True)
        )


def find(reading: Reading, actor: Actor, token_id: str, *, days: int = DAYS) -> Suggestion | None:
    """The limits that would have sufficed for a token's calls; None if too few were seen.

    Args:
        days: how far back, up to ``MOST_DAYS``.

    Raises:
        Forbidden: without ``access-tokens:get``.
        NotFound: there is no such token, or it is another company's.
        InvalidInput: for ``days``.
    """
    actor.refuse_portal_session()
    token = access_tokens.get(reading, actor, token_id)
    if not 1 <= days <= MOST_DAYS:
        problems = Problems()
        problems.add("days", days_problem(MOST_DAYS))
        problems.settle()
    found = of_token(reading, token, days=days)
    return found if found.calls >= FEWEST_CALLS else None


def of_token(reading: Reading, token: AccessToken, *, days: int = DAYS) -> Suggestion:
    """The limits that would have sufficed, however few calls there were.

    Performs no permission check: the caller must have done it.
    """
    since = max(reading.now - days * DAY_MS, token.created_at)
    equal = seen(reading, [token.id], since=since, most=MOST_ROWS).of.get(token.id, [])
    calls: Collection[SeenCall] = [each.call for each in equal] if token.kind != DECOY else []
    limits, unused = narrowed(token.kind, limits_of(token), calls)
    return Suggestion(
        limits,
        unused,
        addresses=len({call.address for call in calls if call.address is not None}),
        calls=sum(each.count for each in equal),
        told_apart=all(call.apart for call in calls),
        since=since,
    )


def limits_of(token: AccessToken) -> Limits:
    """The limits that a token has."""
    return Limits(token.permissions, token.networks, token.domains)
