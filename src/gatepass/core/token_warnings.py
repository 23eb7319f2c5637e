"""When the owner of an access token is warned that it ends."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from gatepass.core.token_policy import DAY_MS

#: Why a token ends by itself: by its expiry, or because nobody uses it.
Because = Literal["expiry", "unused"]
#: How many days before a token ends because nobody uses it its owner is warned.
UNUSED_WARN_DAYS = (7, 1)


@dataclass(frozen=True, slots=True)
class End:
    """An end of a token that its owner is warned of.

    Attributes:
        at: Unix ms.
        days: how many days before it; 0 is the end itself.
    """

    at: int
    because: Because
    days: tuple[int, ...]

    @property
    def moments(self) -> tuple[int, ...]:
        """When its owner is warned, Unix ms."""
        return tuple(self.at - days * DAY_MS for days in self.days)


@dataclass(frozen=True, slots=True)
class EndingToken:
    """A token as a mail tells of its end. Times are Unix ms.

    Attributes:
        owner: the name of its owner, if that isn't the reader.
        ends_at: in the past if it has ended.
        days: how many are left until then (``days_left``); 0 if it has ended.
        last_used_at: None if it never was.
        callers: how many have used it within a day.
    """

    id: str
    label: str
    owner: str | None
    ends_at: int
    because: Because
    days: int
    last_used_at: int | None
    callers: int


def of_expiry(expires_at: int, warn_days: Collection[int]) -> End:
    """The end by expiry (Unix ms), with the warning days of the company's policy."""
    return End(expires_at, "expiry", (*warn_days, 0))


def of_unused(ends_at: int) -> End:
    """The end of a token that isn't used until then (Unix ms)."""
    return End(ends_at, "unused", UNUSED_WARN_DAYS)


def due(ends: Collection[End], *, since: int, now: int) -> End | None:
    """The end to warn of now, the first to come; None if there is none.

    Of several moments that have passed, after an outage for instance, one warning comes.

    Args:
        since: the owner knows what was to be said until then: the token's creation, its last
            warning, or the last change of its expiry. Unix ms.
    """
    passed = (
        end
        for end in ends
        # Too late to use it: it ends as soon as a round finds it.
        if (end.because == "expiry" or now < end.at)
        and any(since < moment <= now for moment in end.moments)
    )
    return min(passed, key=lambda end: end.at, default=None)


def next_moment(ends: Collection[End], now: int) -> int | None:
    """The first moment of a warning after *now*; None if there is none. Unix ms."""
    return min((at for end in ends for at in end.moments if at > now), default=None)


def days_left(at: int, now: int) -> int:
    """How many days are left until *at*, rounded, and at least 1; 0 once it has passed."""
    return max(1, (at - now + DAY_MS // 2) // DAY_MS) if now < at else 0
