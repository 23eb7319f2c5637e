"""``POST /v1/feed/use``: what embedded verifiers counted, added to what nodes count themselves.

A follower keeps spools as a node does (``verify.usage``) and sends them in their order, some lines
at a time. How far a spool has been counted moves in the transaction that adds the counts; so what
is sent twice counts once, and the answer says where to go on.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, structs
from sqlalchemy import select

from gatepass.core.errors import InvalidInput
from gatepass.core.networks import parse_address
from gatepass.core.permissions import is_permission
from gatepass.core.reason import Reason
from gatepass.node.node import Node
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import usage
from gatepass.web.feed import body

#: Past this a moment or an offset is nobody's.
_MOST = 1 << 53
#: Past this nobody counts in the moments that a batch is of.
_MOST_USES = 10**9
_IDS_AT_ONCE = 500
# Spools of nodes have names without a prefix; nobody outside can touch those.
_PREFIX = "embedded/"
_REASONS = frozenset(reason.value for reason in Reason)

_Count = Annotated[int, Meta(ge=1, le=_MOST_USES)]
_Moment = Annotated[int, Meta(ge=0, le=_MOST)]
_Offset = Annotated[int, Meta(ge=0, le=_MOST)]
_TokenId = Annotated[str, Meta(pattern=r"^gpat_[0-9A-Za-z]{16}$", max_length=21)]
_Address = Annotated[str, Meta(max_length=45)]
_Name = Annotated[str, Meta(max_length=200)]
_Reason = Annotated[str, Meta(pattern=r"^[a-z_]+$", max_length=40)]


class UseBatch(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a spool: by token how often it was allowed something, when last (Unix ms), from
    which address, for which permission ("" if it wasn't asked for one); and by reason the decisions
    that there were, "allowed" among them."""

    tokens: dict[_TokenId, tuple[_Count, _Moment, _Address | None, _Name]]
    decisions: Annotated[dict[_Reason, _Count], Meta(max_length=100)]


class Use(msgspec.Struct, forbid_unknown_fields=True):
    """What the spool of that name holds from byte *start* to *end*. *finished*: the spool is
    removed and nothing more will come of it; its name may be forgotten."""

    spool: Annotated[str, Meta(pattern=r"^[0-9A-Za-z-]+\Z", min_length=16, max_length=64)]
    start: _Offset
    end: _Offset
    batches: Annotated[list[UseBatch], Meta(max_length=10_000)]
    finished: bool = False


def fold_use(node: Node, content: bytes) -> int:
    """Count what a follower sent; how far its spool has been counted.

    What is sent of tokens that don't exist, or of reasons that this version doesn't know, counts
    nowhere. A use in the future, by our clock, counts as of now.

    Raises:
        BrokenJSON, InvalidInput: it can't be read.
        Unavailable: the registry can't be written.
    """
    sent = body.read(content, Use)
    problem = _problem(sent)
    if problem is not None:
        raise InvalidInput([problem])
    name, now = _PREFIX + sent.spool, node.clock.now()
    with node.database.auxiliary_write(now) as write:
        known = _known(write, {token for batch in sent.batches for token in batch.tokens})
        if sent.start < sent.end:
            counted = [_counted(batch, known, now) for batch in sent.batches]
            usage.fold(write, name, sent.start, sent.end, counted)
        folded_to = usage.folded_to(write, name)
        if sent.finished and folded_to == sent.end:
            usage.forget(write, name)
    return folded_to


def _problem(sent: Use) -> tuple[str, str] | None:
    if sent.end < sent.start or (sent.batches and sent.end == sent.start):
        return "end", "Must be after start, and equal to it without batches."
    for number, batch in enumerate(sent.batches):
        for token, (_, _, address, permission) in batch.tokens.items():
            field = f"batches.{number}.tokens.{token}"
            if address is not None and parse_address(address) is None:
                return field, "Must have an IP address."
            if permission and not is_permission(permission):
                return field, "Must have a permission."
    return None


def _counted(batch: UseBatch, known: set[str], now: int) -> UseBatch:
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


def _known(reading: Reading, tokens: set[str]) -> set[str]:
    ids, column, found = sorted(tokens), tables.access_tokens.c.id, set[str]()
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[start : start + _IDS_AT_ONCE]
        found.update(reading.session.scalars(select(column).where(column.in_(some))))
    return found
