"""Observed calls of access tokens: which distinct calls each made, allowed and refused.

One row for equal calls of a token on one day (UTC), folded in with the use counts. A caller with a
token chooses paths, addresses and origins, so the rows of a token and day are bounded: beyond
``ADDRESSES_TOLD_APART`` an IPv6 address counts as its /64, beyond ``MOST_ROWS`` a call counts in
one row for all that are allowed, or one for all that are refused.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, TypedDict, Unpack

import msgspec
from sqlalchemy import (
    BindParameter,
    Row,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    update,
)

from gatepass.core.networks import parse_network
from gatepass.core.observed_call import (
    DAY_MS,
    CountedCall,
    ObservedCall,
    decision_id,
    is_decision_id,
)
from gatepass.registry.grants.compaction import CALLS_KEPT_DAYS
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.paging import Page, newest_first
from gatepass.registry.storage.tables import access_tokens, observed_calls

#: Rows of a token and day, besides the two for those over a bound.
MOST_ROWS = 200
#: IPv6 addresses of a token and day that are kept whole.
ADDRESSES_TOLD_APART = 20
#: How many callers of a token are named.
CALLERS_NAMED = 50
#: The largest count of a row: all of a token's together are less than 2^63, so sums can't overflow.
MOST = 2**48

Outcome = Literal["allowed", "refused"]

#: How many refused calls each token had on each day, as rows with ``uses``.
REFUSED_PER_DAY = (
    select(
        observed_calls.c.token_id,
        observed_calls.c.day,
        func.sum(observed_calls.c.uses).label("uses"),
    )
    .where(~observed_calls.c.allowed)
    .group_by(observed_calls.c.token_id, observed_calls.c.day)
)

_TOKENS_AT_ONCE = 100
_KEY_BYTES = 12
_table = observed_calls.c
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class CallRecord:
    """Equal calls of a token on one day. Times are Unix ms.

    Attributes:
        decision: the id of the refusal; None for allowed calls, and for those over a bound. If the
            row's address or origin is shortened, it is the first call's.
        reason: of the decision. Like all that follows None for calls over a bound.
        permission: the one asked for by name, else the route's.
        route, method: of the catalogue's route; None if none matched, or none was asked about.
        address: or the /64 of many.
        count: how many calls.
    """

    decision: str | None
    outcome: Outcome
    reason: str | None
    permission: str | None
    route: str | None
    method: str | None
    address: str | None
    origin: str | None
    count: int
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Where allowed calls came from, and the permission that they needed.

    Attributes:
        address: None if it isn't known; or the /64 of many.
        last_at: of the last call, in Unix ms.
        count: how many, of whole days.
    """

    address: str | None
    permission: str | None
    last_at: int
    count: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """The refused calls that have the id of a decision.

    Attributes:
        needed: the permissions that they needed, the one asked for by name first.
    """

    token_id: str
    call: CallRecord
    needed: tuple[str, ...]


class Filters(TypedDict, total=False):
    """Filters of a token's calls. A filter that is absent or None selects all.

    Attributes:
        outcome: ``allowed`` or ``refused``.
        since, until: rows with calls at or after, and before, this time (Unix ms).
    """

    outcome: Outcome | None
    since: int | None
    until: int | None


def list_(
    reading: Reading,
    token_id: str,
    *,
    limit: int | None = None,
    cursor: str | None = None,
    **filters: Unpack[Filters],
) -> Page[CallRecord]:
    """A page of a token's observed calls, the last made first. They are some seconds late.

    Performs no permission check: the caller must have done it.

    Raises:
        InvalidInput: for ``cursor`` or ``limit``.
    """
    outcome = filters.get("outcome")
    since, until = filters.get("since"), filters.get("until")
    rows = select(observed_calls).where(_table.token_id == token_id)
    if outcome is not None:
        rows = rows.where(_table.allowed == (outcome == "allowed"))
    if since is not None:
        rows = rows.where(_table.day >= since // DAY_MS, _table.last_at >= since)
    if until is not None:
        rows = rows.where(_table.day <= until // DAY_MS, _table.first_at < until)
    found, more = newest_first(
        reading, rows, observed_calls, limit=limit, cursor=cursor, by="last_at", key="call"
    )
    return Page([_record(row) for row in found], more)


def over_days(
    reading: Reading,
    token_id: str,
    *,
    since: int,
    outcome: Outcome | None,
    most: int,
    skipped: int = 0,
    last_since: int = 0,
) -> list[CallRecord]:
    """A token's observed calls since the day of a time (Unix ms), equal ones of all days together.

    Refused ones first, and of each outcome the last made. Performs no permission check: the caller
    must have done it.

    Args:
        most: of the list.
        skipped: so many of the first are left out.
        last_since: days on which a call was last made before that time (Unix ms) are left out.

    Returns:
        Records with the ``decision`` of the last day.
    """
    facts = (
        *(_table.allowed, _table.reason, _table.permission, _table.route, _table.method),
        *(_table.address, _table.origin),
    )
    rows = select(
        *facts,
        _table.decision,
        func.sum(_table.uses).over(partition_by=facts).label("uses"),
        func.min(_table.first_at).over(partition_by=facts).label("first_at"),
        _table.last_at,
        func.row_number()
        .over(partition_by=facts, order_by=(_table.last_at.desc(), _table.call))
        .label("nth"),
    ).where(
        _table.token_id == token_id,
        _table.day >= since // DAY_MS,
        _table.last_at >= last_since,
    )
    if outcome is not None:
        rows = rows.where(_table.allowed == (outcome == "allowed"))
    each = rows.subquery()
    # By all columns, so that those of the same time are in the same order each time.
    order = (each.c.allowed, each.c.last_at.desc(), *(each.c[fact.name] for fact in facts))
    latest = select(each).where(each.c.nth == 1).order_by(*order)
    return [_record(row) for row in reading.session.execute(latest.limit(most).offset(skipped))]


def refusal(reading: Reading, decision: str) -> Refusal | None:
    """The refused calls with the id *decision*; None if there are none yet, or any more.

    Performs no permission check: the caller must have done it.
    """
    if not is_decision_id(decision):
        return None
    oldest = reading.now // DAY_MS - CALLS_KEPT_DAYS
    row = reading.session.execute(
        select(observed_calls).where(_table.decision == decision, _table.day >= oldest).limit(1)
    ).first()
    if row is None:
        return None
    needed = tuple(name for name in (row.permission, row.second_permission) if name is not None)
    return Refusal(row.token_id, _record(row), needed)


def callers(reading: Reading, since: Mapping[str, int]) -> dict[str, list[Caller]]:
    """Where the allowed calls of tokens came from, the latest first; no token is left out.

    Of each at most ``CALLERS_NAMED``. Performs no permission check: the caller must have done it.

    Args:
        since: a time (Unix ms) for each token.
    """
    found: dict[str, list[Caller]] = {token: [] for token in since}
    if not since:
        return found
    by_time: dict[int, list[str]] = {}
    for token, at in since.items():
        by_time.setdefault(at, []).append(token)
    last_at = func.max(_table.last_at)
    order = (last_at.desc(), _table.address, _table.permission)
    ranked = (
        select(
            _table.token_id,
            _table.address,
            _table.permission,
            last_at.label("last_at"),
            func.sum(_table.uses).label("uses"),
            func.row_number().over(partition_by=_table.token_id, order_by=order).label("nth"),
        )
        .where(
            _table.allowed,
            or_(
                *(
                    and_(
                        _table.token_id.in_(tokens),
                        _table.day >= at // DAY_MS,
                        _table.last_at >= at,
                    )
                    for at, tokens in by_time.items()
                )
            ),
        )
        .group_by(_table.token_id, _table.address, _table.permission)
        .subquery()
    )
    rows = select(ranked).where(ranked.c.nth <= CALLERS_NAMED).order_by(ranked.c.nth)
    for row in reading.session.execute(rows):
        caller = Caller(row.address, row.permission, row.last_at, int(row.uses))
        found[row.token_id].append(caller)
    return found


def allowed_today(reading: Reading, ids: Collection[str]) -> dict[str, int]:
    """How many calls of each token were allowed on the present day (UTC); none is left out.

    Performs no permission check: the caller must have done it.
    """
    today = (_table.token_id.in_(ids), _table.day == reading.now // DAY_MS, _table.allowed)
    counted = select(_table.token_id, func.sum(_table.uses)).where(*today)
    rows = reading.session.execute(counted.group_by(_table.token_id))
    return {token: int(uses) for token, uses in rows}


def totals(reading: Reading, ids: Collection[str], reason: str) -> dict[str, int]:
    """How many calls of each token had *reason*, as far as they are told apart; none is left out.

    Performs no permission check: the caller must have done it.
    """
    found = dict.fromkeys(ids, 0)
    if ids:
        counted = select(_table.token_id, func.sum(_table.uses)).where(
            _table.token_id.in_(ids), _table.reason == reason
        )
        rows = reading.session.execute(counted.group_by(_table.token_id))
        found |= {token: int(uses) for token, uses in rows}
    return found


def last_seen(reading: Reading, ids: Collection[str]) -> dict[str, int]:
    """The last call with each token's secret, allowed or refused (Unix ms), where there was one.

    Performs no permission check: the caller must have done it.
    """
    if not ids:
        return {}
    seen = select(_table.token_id, func.max(_table.last_at).label("last_at")).where(
        _table.token_id.in_(ids)
    )
    rows = reading.session.execute(seen.group_by(_table.token_id))
    return {row.token_id: row.last_at for row in rows}


def fold(write: Write, calls: Iterable[CountedCall]) -> None:
    """Add calls to the rows. The caller must have serialized it (``AdvisoryLock.usage``).

    Those of unknown tokens, and of days that aren't kept any more, are ignored.
    """
    oldest = write.now // DAY_MS - CALLS_KEPT_DAYS
    by_token: dict[str, list[CountedCall]] = {}
    for each in calls:
        for call in _by_day(each):
            if call.last_at // DAY_MS >= oldest:
                by_token.setdefault(call.token, []).append(call)
    tokens = list(by_token)
    for start in range(0, len(tokens), _TOKENS_AT_ONCE):
        some = tokens[start : start + _TOKENS_AT_ONCE]
        _fold(write, {token: by_token[token] for token in some})


def _by_day(call: CountedCall) -> Sequence[CountedCall]:
    """*call*, or its parts if its calls are of two days.

    A process counts for some seconds, so that hardly any is. Then a refusal must be found on both
    days, by the id that it has on each.
    """
    if call.first_at // DAY_MS == call.last_at // DAY_MS or call.count < 2:
        return (call,)
    first = msgspec.structs.replace(call, count=1, last_at=call.first_at)
    return (
        first,
        msgspec.structs.replace(call, count=call.count - 1, first_at=call.last_at),
    )


class _Day:
    """The rows of a token and day.

    Attributes:
        counted: what is added to rows that exist, by their key.
        added: new rows, by their key.
    """

    def __init__(self, day: int) -> None:
        self.day = day
        self.counted: dict[str, _Counts] = {}
        self.added: dict[str, dict[str, Any]] = {}
        self._existing: set[str] = set()
        self._rows = 0
        self._addresses: set[str] = set()

    def exists(self, key: str, address: str | None) -> None:
        """There is a row with that key and address."""
        self._existing.add(key)
        self._occupy(key, address)

    def add(self, call: CountedCall, digest: bytes) -> None:
        """Count *call*, in a new row if there is none for it.

        Args:
            digest: of its token.
        """
        key = _key(call)
        if self.count(key, call):
            return
        observed = call.call
        if observed is not None:
            kept = self._shortened(observed)
            if kept is not observed:
                key = _key(msgspec.structs.replace(call, call=kept))
                if self.count(key, call):
                    return
            if self._rows < MOST_ROWS:
                decision = None if call.allowed else decision_id(digest, observed, call.first_at)
                self.added[key] = _columns(call, self.day, key, kept, decision)
                self._occupy(key, kept.address)
                return
            key = _key(msgspec.structs.replace(call, call=None))
            if self.count(key, call):
                return
        self.added[key] = _columns(call, self.day, key, None, None)

    def count(self, key: str, call: CountedCall) -> bool:
        """Count *call* in the row with that key; False if there is none."""
        new = self.added.get(key)
        if new is not None:
            new["uses"] = min(new["uses"] + call.count, MOST)
            new["first_at"] = min(new["first_at"], call.first_at)
            new["last_at"] = max(new["last_at"], call.last_at)
            return True
        if key not in self._existing:
            return False
        counted = self.counted.get(key) or _Counts(0, call.first_at, call.last_at)
        self.counted[key] = _Counts(
            min(counted.uses + call.count, MOST),
            min(counted.first_at, call.first_at),
            max(counted.last_at, call.last_at),
        )
        return True

    def _occupy(self, key: str, address: str | None) -> None:
        if key not in _REST:
            self._rows += 1
        if address is not None and ":" in address and "/" not in address:
            self._addresses.add(address)

    def _shortened(self, call: ObservedCall) -> ObservedCall:
        address = call.address
        if (
            address is None
            or ":" not in address
            or address in self._addresses
            or len(self._addresses) < ADDRESSES_TOLD_APART
        ):
            return call
        return msgspec.structs.replace(call, address=str(parse_network(f"{address}/64")))


@dataclass(frozen=True, slots=True)
class _Counts:
    uses: int
    first_at: int
    last_at: int


def _fold(write: Write, by_token: dict[str, list[CountedCall]]) -> None:
    days: dict[tuple[str, int], _Day] = {}
    for calls in by_token.values():
        for call in calls:
            day = call.last_at // DAY_MS
            days.setdefault((call.token, day), _Day(day))
    existing = write.session.execute(
        select(_table.token_id, _table.day, _table.call, _table.address).where(
            _table.token_id.in_(by_token), _table.day.in_({day for _, day in days})
        )
    )
    for row in existing:
        found = days.get((row.token_id, row.day))
        if found is not None:
            found.exists(row.call, row.address)
    new = [
        call
        for calls in by_token.values()
        for call in calls
        if not days[call.token, call.last_at // DAY_MS].count(_key(call), call)
    ]
    digests = _digests(write, {call.token for call in new})
    # The first calls of a day get the rows.
    for call in sorted(new, key=lambda each: each.first_at):
        digest = digests.get(call.token)
        if digest is not None:
            days[call.token, call.last_at // DAY_MS].add(call, digest)
    added = [columns for day in days.values() for columns in day.added.values()]
    if added:
        write.session.execute(insert(observed_calls), added)
    counted = [
        {
            "its_token": token,
            "its_day": day,
            "its_call": key,
            "more": counts.uses,
            "first": counts.first_at,
            "last": counts.last_at,
        }
        for (token, day), rows in days.items()
        for key, counts in rows.counted.items()
    ]
    if counted:
        write.session.connection().execute(_COUNT, counted)


def _digests(reading: Reading, tokens: Collection[str]) -> dict[str, bytes]:
    """The digests of the tokens that are known."""
    if not tokens:
        return {}
    ids = access_tokens.c.id
    rows = reading.session.execute(select(ids, access_tokens.c.digest).where(ids.in_(tokens)))
    return {row.id: row.digest for row in rows}


_more: BindParameter[int] = bindparam("more")
_first: BindParameter[int] = bindparam("first")
_last: BindParameter[int] = bindparam("last")
_COUNT = (
    update(observed_calls)
    .where(
        _table.token_id == bindparam("its_token"),
        _table.day == bindparam("its_day"),
        _table.call == bindparam("its_call"),
    )
    .values(
        # An overflow would fail every time, and nothing would be counted any more.
        uses=case((_table.uses > MOST - _more, MOST), else_=_table.uses + _more),
        first_at=case((_table.first_at > _first, _first), else_=_table.first_at),
        last_at=case((_table.last_at < _last, _last), else_=_table.last_at),
    )
)

#: The keys of the rows for calls over a bound.
_REST = ("allowed", "refused")


def _key(call: CountedCall) -> str:
    """What tells a row of a token and day from others."""
    if call.call is None:
        return _REST[0] if call.allowed else _REST[1]
    return blake2b(_encode(call.call), digest_size=_KEY_BYTES).hexdigest()


def _columns(
    call: CountedCall, day: int, key: str, kept: ObservedCall | None, decision: str | None
) -> dict[str, Any]:
    needed = () if kept is None else kept.needed
    return {
        "token_id": call.token,
        "day": day,
        "call": key,
        "allowed": call.allowed,
        "reason": None if kept is None else kept.reason,
        "permission": needed[0] if needed else None,
        "second_permission": needed[1] if len(needed) > 1 else None,
        "route": None if kept is None else kept.route,
        "method": None if kept is None else kept.method,
        "address": None if kept is None else kept.address,
        "origin": None if kept is None else kept.origin,
        "decision": decision,
        "uses": min(call.count, MOST),
        "first_at": call.first_at,
        "last_at": call.last_at,
    }


def _record(row: Row[Any]) -> CallRecord:
    return CallRecord(
        decision=row.decision,
        outcome="allowed" if row.allowed else "refused",
        reason=row.reason,
        permission=row.permission,
        route=row.route,
        method=row.method,
        address=row.address,
        origin=row.origin,
        count=int(row.uses),
        first_at=row.first_at,
        last_at=row.last_at,
    )
