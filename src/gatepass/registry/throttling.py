"""How many failed sign-ins are too many.

From the 11th failure of an account, or the 101st from an address, within 15 minutes, whoever tries
is told to come back later. An account is named by a digest of the address that was typed, so those
that don't exist are throttled alike and the table lists nobody. Attempts that are turned away for
this reason are no failures: otherwise a stubborn program would shut an account for good.
"""

import hashlib

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from gatepass.core.errors import TooManyAttempts
from gatepass.registry.database import Turn, wait_for_turn
from gatepass.registry.emails import fold_email
from gatepass.registry.fields import folded
from gatepass.registry.tables import sign_in_failures

WINDOW_MS = 15 * 60 * 1000
MOST_PER_ACCOUNT = 10
MOST_PER_ADDRESS = 100


def keys(email: str, address: str | None) -> dict[str, int]:
    """What a sign-in counts against, and how many failures each bears.

    Args:
        address: None if it could not be told; those count together.
    """
    account = fold_email(email) or folded(email)
    digest = hashlib.sha256(account.encode(errors="surrogatepass")).hexdigest()
    return {f"account:{digest}": MOST_PER_ACCOUNT, f"address:{address}": MOST_PER_ADDRESS}


def check(session: Session, counted: dict[str, int]) -> None:
    """Raise TooManyAttempts if one of the keys has borne more than it may."""
    now: int = session.info["now"]
    for key, most in counted.items():
        # The failure that must grow old before there is room for another.
        at = session.execute(
            select(sign_in_failures.c.at)
            .where(sign_in_failures.c.key == key, sign_in_failures.c.at > now - WINDOW_MS)
            .order_by(sign_in_failures.c.at.desc())
            .offset(most)
            .limit(1)
        ).scalar_one_or_none()
        if at is not None:
            raise TooManyAttempts(max(1, -((now - WINDOW_MS - at) // 1000)))


def count_failure(session: Session, counted: dict[str, int]) -> None:
    """Count a failed sign-in, within ``counting``; ``check`` afterwards says if it was too many.

    One at a time: of many at once each finds those counted before it.
    """
    now: int = session.info["now"]
    wait_for_turn(session, Turn.failed_sign_ins)
    session.execute(delete(sign_in_failures).where(sign_in_failures.c.at <= now - WINDOW_MS))
    session.execute(insert(sign_in_failures), [{"key": key, "at": now} for key in counted])
