"""Self-rotation: an access token replaces itself, and a second use of an old one is detected.

A token and those that follow from it by rotating themselves are a family. The answer to a request
may get lost, so an old token may ask again, as long as nobody used its successor. Once somebody
did, two parties have a text of the family, and one of them shouldn't: all of it is deactivated.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Row, func, or_, select

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, TooManyAttempts
from gatepass.core.permissions import covers
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import access_tokens, token_use
from gatepass.registry.tokens import rotation, store
from gatepass.registry.tokens.policy import token_policies
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.tokens.rotation_records import BY_ITSELF

PERMISSION = "own-token:rotate"
#: How long the old token works too, in seconds.
SHORTEST_OVERLAP_S, LONGEST_OVERLAP_S, OVERLAP_S = 60, 3_600, 600
#: How many tokens of a family may be created within an hour. A loop, or somebody who has a token,
#: could fill the database otherwise.
MOST_AN_HOUR = 240

HOUR_MS = 3_600_000
_token = access_tokens.c
_next, _member = access_tokens.alias("next_token"), access_tokens.alias("family_member")

#: What a request by a token to rotate itself means.
Meaning = Literal["rotate", "replace_successor", "reuse", "already_rotated"]


@dataclass(frozen=True, slots=True)
class Member:
    """What a token's successor has been through.

    Attributes:
        used: whether a use of it is counted.
        rotated_itself: whether it has a successor that it asked for.
        replaced: whether people replaced it.
        deactivated: whether it is, for any other cause.
    """

    used: bool = False
    rotated_itself: bool = False
    replaced: bool = False
    deactivated: bool = False


@dataclass(frozen=True, slots=True)
class Reuse:
    """A token was used to rotate itself although its successor was in use.

    Attributes:
        token: the id of the one that asked.
        owner: the id of its owner.
        deactivated: how many tokens of its family were active.
    """

    token: str
    company: str
    owner: str
    deactivated: int


def meaning(*, replaced: bool, successor: Member | None) -> Meaning:
    """What a request by a token to rotate itself means.

    Args:
        replaced: whether the token was replaced by people.
        successor: the token that it asked for before, if any.
    """
    if successor is None:
        return "already_rotated" if replaced else "rotate"
    if successor.used or successor.rotated_itself:
        return "reuse"
    # People decided what comes next, and an old text doesn't undo it.
    if successor.replaced or successor.deactivated:
        return "already_rotated"
    return "replace_successor"


def rotate(change: Change, actor: Actor, after: int = OVERLAP_S) -> tuple[AccessToken, str] | Reuse:
    """Replace the access token in use; return the new one with its text.

    Args:
        after: how long the old one works too, in seconds, unless it expires sooner.

    Returns:
        ``Reuse`` if the token asked again although its successor was used. Its family is
        deactivated then, whatever request was repeated.

    Raises:
        Forbidden: ``access_token_required``; without ``own-token:rotate``.
        InvalidInput: for ``after``; or for ``networks``: the company's policy requires some, and
            the token has none.
        Conflict: ``already_rotated``, ``no_expiry``, ``longest_life_reached``,
            ``owner_deactivated``, ``approval_required``.
        TooManyAttempts: the family has grown too fast.
        Repeated: as ``acting`` says.
    """
    if actor.kind != "token":
        raise Forbidden("Only an access token can rotate itself.", reason="access_token_required")
    # The first answer has the successor's text, which a repeated request must not get once somebody
    # uses it. So reuse is looked for first.
    answered, change.on_admitted = change.on_admitted, None
    actor = acting(change, actor, PERMISSION)
    row = store.find(change, actor.company, actor.credential or "")
    successor = _successor(change, row)
    asked = meaning(
        replaced=row.replaced_by is not None and successor is None,
        successor=None if successor is None else _been_through(successor),
    )
    if asked == "reuse":
        return _end_family(change, actor, row)
    if answered is not None:
        change.on_admitted = answered
        answered()
    if not SHORTEST_OVERLAP_S <= after <= LONGEST_OVERLAP_S:
        message = f"Must be {SHORTEST_OVERLAP_S} to {LONGEST_OVERLAP_S:,} seconds."
        raise InvalidInput([("after", message)])
    if asked == "already_rotated" or (successor is not None and not _within(successor, row)):
        raise Conflict(
            f"This token was replaced by {row.replaced_by}, and people have changed or replaced "
            "that one since, or this one.",
            reason="already_rotated",
        )
    return _replace(change, actor, row, successor, Closing("after", after, by_itself=True))


def asked_again_after_use(reading: Reading) -> Sequence[str]:
    """The ids of tokens that were given another successor although the former one was used.

    The use wasn't counted yet when they asked. Only those whose family still has a token that
    works.
    """
    its = _member.c
    works = or_(its.expires_at.is_(None), its.expires_at > reading.now)
    family = select(its.id).where(its.family_id == _token.family_id, its.deactivated_at.is_(None))
    return reading.session.scalars(
        select(_token.replaces)
        .join(token_use, token_use.c.token_id == _token.id)
        .join(_next, _next.c.id == _token.replaced_by)
        .where(
            _token.rotation_close == "now",
            _token.family_id.is_not(None),
            # Not what people made of it: that is another family.
            _next.c.family_id == _token.family_id,
            family.where(works).exists(),
        )
        .distinct()
        .order_by(_token.replaces)
    ).all()


def end_family_of(change: Change, token_id: str) -> Reuse | None:
    """Deactivate the family of a token that asked again; None if that was done meanwhile."""
    if token_id not in asked_again_after_use(change):
        return None
    return _end_family(change, Actor.system(), store.find(change, None, token_id))


def _successor(reading: Reading, row: Row[Any]) -> Row[Any] | None:
    """The row of the token that replaces that of *row*, if it asked for it."""
    if row.rotation_close != BY_ITSELF:
        return None
    return store.find(reading, row.company_id, row.replaced_by)


def _been_through(successor: Row[Any]) -> Member:
    by_itself = successor.rotation_close == BY_ITSELF
    return Member(
        used=successor.last_at is not None,
        rotated_itself=by_itself,
        replaced=successor.replaced_by is not None and not by_itself,
        deactivated=successor.deactivated_at is not None,
    )


def _within(successor: Row[Any], row: Row[Any]) -> bool:
    """Whether a token may do no more than the one of *row*: people may have changed either."""
    return (
        successor.owner_id == row.owner_id
        and all(covers(row.permissions, name) for name in successor.permissions)
        and _narrower(successor.networks, row.networks)
        and _narrower(successor.domains, row.domains)
        and _sooner(successor.unused_days, row.unused_days)
    )


def _narrower(entries: Collection[str], than: Collection[str]) -> bool:
    # An empty list is no limit.
    return not than or (bool(entries) and set(entries) <= set(than))


def _sooner(days: int | None, than: int | None) -> bool:
    # None is never.
    return than is None or (days is not None and days <= than)


def _replace(
    change: Change, actor: Actor, row: Row[Any], former: Row[Any] | None, closing: Closing
) -> tuple[AccessToken, str]:
    """Give the token of *row* a successor, in place of the *former* one."""
    family = row.family_id or row.id
    _require_slow(change, family)
    model = row if former is None else former
    changed = {"replaces": row.id, "expires_at": _expiry(change, model, family)}
    token, text = rotation.add_copy(change, actor, model, changed, may_wait=False)
    for each in {row.id, token.id}:
        update_row(change, access_tokens, each, family_id=family)
    rotation.begin_closing(
        change, actor, row, closing, token, instead_of=None if former is None else former.id
    )
    if former is not None:
        ended = {"replaced_by": token.id, "rotated_at": change.now, "rotation_close": "now"}
        update_row(change, access_tokens, former.id, **ended)
        store.revoke(change, replace(actor, cause="rotation"), [former.id])
    return token, text


def _expiry(reading: Reading, model: Row[Any], family: str) -> int:
    """The new token's expiry: it lives as long as *model*, and the family within the policy."""
    expires_at = rotation.renewed(model, reading.now)
    if expires_at is None:
        raise Conflict("This token never expires, so it needn't rotate.", reason="no_expiry")
    latest = _latest_expiry(reading, model.company_id, family)
    if latest is None:
        return expires_at
    if latest <= reading.now:
        raise Conflict(
            "This token and those before it have lived as long as the company's policy allows. "
            "Somebody must create a new one.",
            reason="longest_life_reached",
        )
    return min(expires_at, latest)


def _latest_expiry(reading: Reading, company: str, family: str) -> int | None:
    """Until when the policy lets a family live (Unix ms), from its first token on; None is for
    ever."""
    created_at = reading.session.scalars(select(_token.created_at).where(_token.id == family)).one()
    return token_policies.of(reading, company).latest_expiry(created_at)


def _require_slow(reading: Reading, family: str) -> None:
    count, first_at = reading.session.execute(
        select(func.count(), func.min(_token.created_at)).where(
            _token.family_id == family, _token.created_at > reading.now - HOUR_MS
        )
    ).one()
    if count >= MOST_AN_HOUR:
        wait_ms = first_at + HOUR_MS - reading.now
        raise TooManyAttempts(
            max(1, -(-wait_ms // 1_000)),
            "This token and those before it have rotated themselves too often.",
        )


def _end_family(change: Change, actor: Actor, row: Row[Any]) -> Reuse:
    """Deactivate all tokens of a family.

    One that expired more than an hour ago stays as it is: a family of years has thousands. For
    those of the last hour, another node's clock may be slow.
    """
    recent = or_(_token.expires_at.is_(None), _token.expires_at > change.now - HOUR_MS)
    ids = change.session.scalars(
        select(_token.id)
        .where(_token.family_id == row.family_id, _token.deactivated_at.is_(None), recent)
        .order_by(_token.created_at, _token.id)
    ).all()
    system = replace(Actor.system(), cause="reuse", address=actor.address)
    store.revoke(change, system, ids)
    log.record(
        change,
        actor,
        "access_token.reuse_detected",
        Subject("access_token", row.id, row.label),
        company=row.company_id,
        after={"access_tokens_ended": len(ids), "replaced_by": row.replaced_by},
    )
    return Reuse(row.id, row.company_id, row.owner_id, len(ids))
