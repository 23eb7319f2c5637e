"""``POST /v1/feed/use``: adds embedded verifiers' usage counts to the nodes' own.

A follower spools counts as a node does (``verify.usage``) and sends the spools in order, some lines
at a time. The transaction that adds the counts also advances the spool's offset. So a report that
is sent twice counts once, and the answer says where to continue.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, structs
from sqlalchemy import select

from gatepass.core.domains import parse_origin
from gatepass.core.errors import InvalidInput
from gatepass.core.networks import format_address, parse_address
from gatepass.core.observed_call import (
    LONGEST_ORIGIN,
    LONGEST_ROUTE,
    CountedCall,
    ObservedCall,
)
from gatepass.core.permissions import is_permission
from gatepass.core.reason import Reason
from gatepass.core.routes import Route, RouteError
from gatepass.node.node import Node
from gatepass.registry.notifications import decoy_alarms
from gatepass.registry.notifications.token_alarms import tell_of_late_use
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.calls import usage
from gatepass.verify.clock import TOLERANCE_MS
from gatepass.web.feed import request_body

#: Upper limit of times and offsets.
_MOST = 1 << 53
#: Upper limit of the uses in a batch, which covers a few seconds.
_MOST_USES = 10**9
_IDS_AT_ONCE = 500
# The names of nodes' spools have no prefix, so followers can't write to those.
_PREFIX = "embedded/"
_REASONS = frozenset(reason.value for reason in Reason)

_Count = Annotated[int, Meta(ge=1, le=_MOST_USES)]
_Moment = Annotated[int, Meta(ge=0, le=_MOST)]
_Offset = Annotated[int, Meta(ge=0, le=_MOST)]
_TokenId = Annotated[str, Meta(pattern=r"^gp(at|im)_[0-9A-Za-z]{16}$", max_length=21)]
_Address = Annotated[str, Meta(max_length=45)]
_Name = Annotated[str, Meta(max_length=200)]
_Reason = Annotated[str, Meta(pattern=r"^[a-z_]+$", max_length=40)]


class UsageBatch(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a spool.

    `tokens`: by token the number of allowed calls, and of the last one the time (Unix ms), address
    and permission ("" if none was asked for). `decisions`: by reason the number of decisions,
    "allowed" among them.
    """

    tokens: dict[_TokenId, tuple[_Count, _Moment, _Address | None, _Name]]
    decisions: Annotated[dict[_Reason, _Count], Meta(max_length=100)]


class CallFacts(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a call, as a list: the decision's reason, the permissions that it needed,
    path and method of the catalogue's route, address, origin.

    Newer followers may add to the list.
    """

    reason: _Reason
    needed: Annotated[tuple[_Name, ...], Meta(max_length=2)]
    route: Annotated[str, Meta(max_length=LONGEST_ROUTE)] | None
    method: Annotated[str, Meta(max_length=LONGEST_ROUTE)] | None
    address: _Address | None
    origin: Annotated[str, Meta(max_length=LONGEST_ORIGIN)] | None


class ReportedCalls(msgspec.Struct, frozen=True, array_like=True):
    """Equal calls of a token, as a list: the token, whether they were allowed, the call (null for
    those over a bound), their number, the times of the first and the last (Unix ms).
    """

    token: _TokenId
    allowed: bool
    call: CallFacts | None
    count: _Count
    first_at: _Moment
    last_at: _Moment


class UsageReport(msgspec.Struct, forbid_unknown_fields=True):
    """The batches and the observed calls of a spool from byte `start` to `end`.

    `finished`: the follower has removed the spool, so its offset may be deleted.
    """

    spool: Annotated[str, Meta(pattern=r"^[0-9A-Za-z-]+\Z", min_length=16, max_length=64)]
    start: _Offset
    end: _Offset
    batches: Annotated[list[UsageBatch], Meta(max_length=10_000)]
    calls: Annotated[list[ReportedCalls], Meta(max_length=10_000)] = []
    finished: bool = False


def fold_report(node: Node, content: bytes, companies: frozenset[str] | None) -> int:
    """Add a follower's counts to the registry's; returns the offset up to which they are counted.

    Unknown tokens, and reasons that this version doesn't know, are ignored. A use in the future, by
    our clock, counts as of now.

    Args:
        companies: the ids of those that the verifier key is limited to, whose tokens alone are
            known to it; None is no limit.

    Raises:
        BrokenJSON, InvalidInput: the body isn't valid.
        Unavailable: the registry can't be written.
    """
    sent = request_body.read(content, UsageReport)
    problem = _problem(sent)
    if problem is not None:
        raise InvalidInput([problem])
    name, now = _PREFIX + sent.spool, node.clock.now()
    with node.database.auxiliary_write(now) as write:
        tokens = {token for batch in sent.batches for token in batch.tokens}
        tokens.update(calls.token for calls in sent.calls)
        known = _known(write, tokens, companies)
        if sent.start < sent.end:
            counted = [_counted(batch, known, now) for batch in sent.batches]
            observed = [_observed(calls, now) for calls in sent.calls if _is_known(calls, known)]
            if usage.fold(write, name, sent.start, sent.end, counted, observed):
                decoy_alarms.raise_alarms(write, observed)
                tell_of_late_use(write, observed)
        folded_to = usage.folded_to(write, name)
        if sent.finished and folded_to == sent.end:
            usage.forget(write, name)
    return folded_to


def _problem(sent: UsageReport) -> tuple[str, str] | None:
    if sent.end < sent.start or ((sent.batches or sent.calls) and sent.end == sent.start):
        return "end", "Must be after start, and equal to it without batches and calls."
    for number, batch in enumerate(sent.batches):
        for token, (_, _, address, permission) in batch.tokens.items():
            field = f"batches.{number}.tokens.{token}"
            if address is not None and parse_address(address) is None:
                return field, "Must have an IP address."
            if permission and not is_permission(permission):
                return field, "Must have a permission."
    for number, calls in enumerate(sent.calls):
        if calls.first_at > calls.last_at:
            return f"calls.{number}", "Must begin before it ends."
        wrong = None if calls.call is None else _wrong(calls.call)
        if wrong is not None:
            return f"calls.{number}", wrong
    return None


def _wrong(call: CallFacts) -> str | None:
    if call.address is not None and parse_address(call.address) is None:
        return "Must have an IP address."
    if not all(map(is_permission, call.needed)):
        return "Must have permissions."
    if call.origin is not None and str(parse_origin(call.origin)) != call.origin:
        return "Must have an origin."
    try:
        if call.route is not None or call.method is not None:
            Route.parse(f"{call.method} {call.route}")
    except RouteError:
        return "Must have a route."
    return None


def _counted(batch: UsageBatch, known: set[str], now: int) -> UsageBatch:
    return structs.replace(
        batch,
        tokens={
            token: (count, min(at, now), address, permission)
            for token, (count, at, address, permission) in batch.tokens.items()
            if token in known
        },
        decisions={
            reason: count for reason, count in batch.decisions.items() if reason in _REASONS
        },
    )


def _is_known(calls: ReportedCalls, known: set[str]) -> bool:
    return calls.token in known and (calls.call is None or calls.call.reason in _REASONS)


def _observed(calls: ReportedCalls, now: int) -> CountedCall:
    first, last = calls.first_at, calls.last_at
    # Within the tolerance times are kept: the day is part of a refusal's id.
    if last > now + TOLERANCE_MS:
        first, last = min(first, now), now
    call, allowed = None, calls.allowed
    if calls.call is not None:
        call = ObservedCall(*structs.astuple(calls.call))
        packed, allowed = parse_address(call.address), call.reason == Reason.allowed.value
        call = structs.replace(call, address=None if packed is None else format_address(packed))
    return CountedCall(calls.token, allowed, call, calls.count, first, last)


def _known(reading: Reading, tokens: set[str], companies: frozenset[str] | None) -> set[str]:
    ids, table, found = sorted(tokens), tables.access_tokens.c, set[str]()
    own = [] if companies is None else [table.company_id.in_(companies)]
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[start : start + _IDS_AT_ONCE]
        found.update(reading.session.scalars(select(table.id).where(table.id.in_(some), *own)))
    return found
