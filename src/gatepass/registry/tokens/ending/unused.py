"""Tokens that end when nobody uses them: when each ends, and the round that ends them.

A token's days count from its last use, from when they were set, from its approval, and from the
last restore of a backup, whichever is the latest. A verifier that reported no use for an hour or
longer may have allowed a call meanwhile: nothing ends while it runs, and once it is gone the days
count from its end. What it leaves unreported when it stops, some seconds, counts for nothing:
otherwise no token would ever end where verifiers come and go.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from sqlalchemy import func, or_, select

from gatepass.core.token_policy import DAY_MS
from gatepass.registry.replication import use_reports
from gatepass.registry.storage.database import Database, Reading
from gatepass.registry.storage.tables import access_token_recency, access_tokens, companies
from gatepass.registry.tokens.calls.silence import restored_at
from gatepass.registry.tokens.ending.rounds import deactivate_due

#: The most tokens that a round ends.
MOST_AT_ONCE = 1_000

_token = access_tokens.c
#: The moments from which a token's days count; the latest one decides.
_FROM = (_token.unused_set_at, _token.approved_at, access_token_recency.c.last_at)


@dataclass(frozen=True, slots=True)
class Ending:
    """When a token ends unless somebody uses it (Unix ms)."""

    company: str
    token: str
    at: int


def endings(reading: Reading, before: int, ids: Collection[str] | None = None) -> Iterator[Ending]:
    """The active tokens that end unless somebody uses them, at *before* (Unix ms) at the latest.

    One whose moment is past ends with the first round that knows of all its use.

    Args:
        ids: only these; None is all.
    """
    spans = _Spans(reading)
    length = _token.unused_days * DAY_MS
    wanted = (
        select(_token.company_id, _token.id, length.label("length"), *_FROM)
        .join(access_token_recency, access_token_recency.c.id == _token.id)
        .where(
            _token.unused_days.is_not(None),
            _token.deactivated_at.is_(None),
            # One that waits for its approval can't be used.
            _token.pending_since.is_(None),
            or_(_token.expires_at.is_(None), _token.expires_at > reading.now),
            *(func.coalesce(moment, 0) <= before - length for moment in _FROM),
        )
        .order_by(_token.unused_set_at, _token.id)
    )
    if ids is not None:
        wanted = wanted.where(_token.id.in_(ids))
    for company, token, span, *moments in reading.session.execute(wanted):
        since = max(spans.floor(company), *(moment or 0 for moment in moments))
        if since + span <= before:
            yield Ending(company, token, since + span)


def ending_of(reading: Reading, token_id: str) -> int | None:
    """When the token with that id ends unless somebody uses it (Unix ms); None if it doesn't."""
    return next((found.at for found in endings(reading, _NEVER, [token_id])), None)


def end_unused(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """End those that are due, ``MOST_AT_ONCE`` at most (``rounds.deactivate_due``)."""
    return deactivate_due(
        database,
        now,
        pause,
        cause="unused",
        candidates=lambda reading: [id for _, id in _due(reading, None)],
        due=_due,
        most=MOST_AT_ONCE,
    )


def _due(reading: Reading, ids: Sequence[str] | None) -> list[tuple[str, str]]:
    """Company and id of those tokens, of *ids* if given, that a round ends now."""
    spans = _Spans(reading)
    return [
        (found.company, found.token)
        for found in endings(reading, reading.now, ids)
        if found.at <= spans.reported_until(found.company)
    ]


class _Spans:
    """What is known of the use of companies' tokens, in one transaction."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._reports = lru_cache(maxsize=None)(
            lambda company: use_reports.of_company(reading, company)
        )
        self.floor = lru_cache(maxsize=None)(self._floor)

    def reported_until(self, company: str) -> int:
        """Up to when all use is known; 0 while a verifier is an hour late."""
        reports = self._reports(company)
        return 0 if reports.is_long_late else reports.until

    def _floor(self, company: str) -> int:
        """No token of the company may be taken for unused before."""
        deleted = self._reading.session.scalar(
            select(companies.c.unreported_until).where(companies.c.id == company)
        )
        gone = [one.until for one in self._reports(company).gone if one.is_long]
        return max(self._restored_at, deleted or 0, *gone)

    @cached_property
    def _restored_at(self) -> int:
        return restored_at(self._reading)


#: After every ending.
_NEVER = 2**62
