"""What needs attention about an access token in a list."""

from collections.abc import Sequence
from dataclasses import dataclass

from gatepass.core.grants import DECOY
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.filters import EXPIRING_DAYS
from gatepass.web.pages.text.times import DAY
from gatepass.web.pages.text.wording import counted

#: A token without a use is worth a look after so many days.
_SETTLED_DAYS = 7
#: So many refused calls, and at least this share of all, are more than a slip now and then.
_MANY_REFUSED = 10
_LARGE_SHARE = 0.05


@dataclass(frozen=True)
class Mark:
    """A mark beside a token's label.

    Attributes:
        look: the badge's class.
        words: what it says; ``title``: more on hover, or "".
    """

    look: str
    words: str
    title: str = ""


def marks_of(
    token: AccessToken, allowed: Sequence[int], refused: Sequence[int], now: int
) -> list[Mark]:
    """The marks of a token; an ended one has none.

    Args:
        allowed, refused: its calls per day, for some days.
        now: Unix ms.
    """
    if token.status not in ("active", "pending"):
        return []
    marks = []
    if token.expires_at is not None and token.expires_at < now + EXPIRING_DAYS * DAY:
        marks.append(Mark("soon", "Expires soon"))
    is_old = token.created_at < now - _SETTLED_DAYS * DAY
    # Nobody should use a decoy.
    if token.last_used is None and is_old and token.kind != DECOY:
        marks.append(Mark("unused", "Never used"))
    denied, calls = sum(refused), sum(allowed) + sum(refused)
    if denied >= _MANY_REFUSED and denied >= calls * _LARGE_SHARE:
        title = f"{denied:,} of {counted(calls, 'call')} in the last {len(refused)} days"
        marks.append(Mark("refused", f"{denied:,} refused", title))
    if token.rehearsal is not None:
        marks.append(Mark("soon", "Rehearsal running"))
    if token.rotation is not None and token.rotation.replaced_by is not None:
        marks.append(Mark("waiting", "Being replaced"))
    return marks
