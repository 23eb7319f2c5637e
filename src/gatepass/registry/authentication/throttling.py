"""Throttling of failed sign-ins, per account and per address; and of wrong portal codes.

From the 11th failure of an account, or the 101st from an address, within 15 minutes, attempts are
refused until enough failures have aged out. Refused attempts don't count; else a retrying program
would lock an account forever.

* The key of an account is a digest of the typed e-mail address. So accounts that don't exist are
  throttled alike, and the table discloses no addresses.
* An address is known if the account was opened or its password reset from there in the last 30
  days. Each known address has a count of its own, with the account's limit, so that strangers who
  fail on purpose can't lock out the owner. A failure there neither adds to the account's count nor
  is refused by it.
* An IPv6 address counts by its /64, the least that a provider assigns to one customer.

A code of a portal session that can't be redeemed counts against its address alone.
"""

import hashlib
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import delete, exists, func, insert, or_, select

from gatepass.core.errors import NotFound, TooManyAttempts
from gatepass.core.networks import format_address, parse_address
from gatepass.registry.actor import Actor
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
from gatepass.registry.input.emails import fold_email
from gatepass.registry.input.text import folded
from gatepass.registry.storage.database import AdvisoryLock, Reading, Write, take_advisory_lock
from gatepass.registry.storage.database_time import AHEAD_MS
from gatepass.registry.storage.tables import authentications, password_resets, sign_in_failures
from gatepass.registry.storage.tables import users as users_table

WINDOW_MS = 15 * 60 * 1000
MOST_PER_ACCOUNT = 10
MOST_PER_ADDRESS = 100
KNOWN_FOR_MS = 30 * 86_400_000

_V4_BYTES = 4
_V6_COUNTED_BYTES = 8
# A failure adds up to three rows. It removes more than that, but not so many that others wait.
_REMOVED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to sign in, or to re-authenticate, by what it counts against.

    Attributes:
        account: a digest of the e-mail address as typed.
        source: the source address, as ``source_of`` writes it; None counts as one address.
        known: whether the account was opened, or its password reset, from there lately.
    """

    account: str
    source: str | None
    known: bool

    @property
    def limits(self) -> dict[str, int]:
        """The limits that apply, by key."""
        own = self._here if self.known else self._account
        return {own: MOST_PER_ACCOUNT, self._address: MOST_PER_ADDRESS}

    @property
    def keys(self) -> list[str]:
        """The keys under which its failure counts.

        The account-and-address key counts before the address is known, too: a success in between
        must not begin a new count.
        """
        return [self._here, self._address, *([] if self.known else [self._account])]

    @property
    def _account(self) -> str:
        return f"account:{self.account}"

    @property
    def _here(self) -> str:
        return f"account:{self.account}:{self.source}"

    @property
    def _address(self) -> str:
        return f"address:{self.source}"


@dataclass(frozen=True, slots=True)
class CodeAttempt:
    """An attempt to redeem the code of a portal session, by the address that it counts against.

    Attributes:
        source: as ``Attempt`` has it.
    """

    source: str | None

    @property
    def limits(self) -> dict[str, int]:
        """The limit that applies, by key."""
        return {self._address: MOST_PER_ADDRESS}

    @property
    def keys(self) -> list[str]:
        """The key under which its failure counts."""
        return [self._address]

    @property
    def _address(self) -> str:
        # Apart from sign-ins: customers who share an address must not lock users out.
        return f"portal:{self.source}"


class Counted(Protocol):
    """An attempt by the keys that its failure counts under, and their limits."""

    @property
    def limits(self) -> dict[str, int]: ...
    @property
    def keys(self) -> list[str]: ...


def source_of(address: str | None) -> str | None:
    """The source that failures are counted by: an IPv6 /64, or an IPv4 address (also if mapped).

    None if *address* can't be parsed.
    """
    packed = parse_address(address)
    if packed is None:
        return None
    if len(packed) == _V4_BYTES:
        return format_address(packed)
    network = packed[:_V6_COUNTED_BYTES].ljust(len(packed), b"\0")
    return f"{format_address(network)}/{8 * _V6_COUNTED_BYTES}"


def begin(reading: Reading, email: str, address: str | None) -> Attempt:
    """Begin an attempt.

    The same statements run whether or not the account exists, so that timing discloses nothing.

    Args:
        email: as typed.
        address: the request's source address, as text; None if it is unknown.

    Raises:
        TooManyAttempts: too many have failed lately.
    """
    source = source_of(address)
    attempt = Attempt(_digest(email), source, _is_known(reading, email, source))
    check(reading, attempt)
    return attempt


def check(reading: Reading, attempt: Counted) -> None:
    """Raise TooManyAttempts if a limit is exceeded."""
    refused = refusal(reading, attempt)
    if refused is not None:
        raise refused


def refusal(reading: Reading, attempt: Counted) -> TooManyAttempts | None:
    """The refusal of an attempt if a limit is exceeded, else None."""
    now = reading.now
    table = sign_in_failures.c
    lately = (table.at > now - WINDOW_MS) & (table.at <= now + AHEAD_MS)
    for key, most in attempt.limits.items():
        # The failure that must age out before another attempt is accepted.
        at = reading.session.execute(
            select(table.at)
            .where(table.key == key, lately)
            .order_by(table.at.desc())
            .offset(most)
            .limit(1)
        ).scalar_one_or_none()
        if at is not None:
            return TooManyAttempts(max(1, -((now - WINDOW_MS - at) // 1000)))
    return None


def count_failure(write: Write, attempt: Counted) -> bool:
    """Count a failed attempt; ``refusal`` then reports whether a limit is exceeded.

    Serialized by an advisory lock: concurrent attempts can't all read the same count.

    Returns:
        Whether it was counted; not if concurrent attempts reached a limit first.
    """
    take_advisory_lock(write, AdvisoryLock.failed_sign_ins)
    if refusal(write, attempt) is not None:
        return False
    now = write.now
    table = sign_in_failures.c
    old = select(table.number).where(table.at <= now - WINDOW_MS).limit(_REMOVED_AT_ONCE)
    write.session.execute(delete(sign_in_failures).where(table.number.in_(old)))
    write.session.execute(
        insert(sign_in_failures), [{"key": key, "at": now} for key in attempt.keys]
    )
    return True


def clear(write: Write, email: str) -> None:
    """Delete an account's failures, including those from known addresses.

    An address's own count, over all accounts, stays.
    """
    account = f"account:{_digest(email)}"
    key = sign_in_failures.c.key
    # A range scan on the index: ";" follows ":" in ASCII.
    write.session.execute(delete(sign_in_failures).where(key >= account, key < f"{account};"))


def unlock(write: Write, actor: Actor, email: str) -> User:
    """Unlock a user's account. Performs no permission check.

    Raises:
        NotFound: no user has that e-mail address.
    """
    user = users.by_email(write, email)
    if user is None:
        raise NotFound("There is no such user.")
    clear(write, user.email)
    users.record(write, actor, "unlocked", user)
    return user


def _digest(email: str) -> str:
    account = fold_email(email) or folded(email)
    return hashlib.sha256(account.encode(errors="surrogatepass")).hexdigest()


def _is_known(reading: Reading, email: str, source: str | None) -> bool:
    # One statement, with the same index look-ups whether or not the user exists.
    user = (
        select(func.coalesce(func.max(users_table.c.id), ""))
        .where(
            users_table.c.email_folded == fold_email(email), users_table.c.deactivated_at.is_(None)
        )
        .scalar_subquery()
    )
    since, source = reading.now - KNOWN_FOR_MS, source or ""
    opened, reset = authentications.c, password_resets.c
    known = or_(
        exists().where(opened.user_id == user, opened.source == source, opened.created_at > since),
        # Clearing the count isn't enough: an attacker who continues fills it again within seconds.
        exists().where(reset.user_id == user, reset.used_from == source, reset.used_at > since),
    )
    return bool(reading.session.execute(select(known)).scalar_one())
