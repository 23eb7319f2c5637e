"""Which access tokens wait for a second person, and who that can be.

A token that covers a permission of the policy's ``approval_required`` waits, however it is created.
``store`` asks here, so that no way to a new token passes by. Imported keys exist already, and don't
wait. The policy is read at that moment alone: a policy that changes later neither ends a token nor
approves one.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select

from gatepass.core.approval import needing_approval
from gatepass.core.errors import Conflict
from gatepass.core.permissions import covers
from gatepass.registry.actor import Actor
from gatepass.registry.directory.people_holding import people_holding
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.policy import token_policies
from gatepass.registry.tokens.records import AccessToken

#: The permission that approving takes.
APPROVE = "access-tokens:approve"

_APPROVED = ("approved_at", "approved_by", "approved_by_name")


def needing(
    reading: Reading,
    company: str,
    permissions: Collection[str],
    *,
    held: Collection[str] = (),
) -> tuple[str, ...]:
    """What *permissions* cover that needs a second person by the policy of a company.

    Args:
        held: permissions that are passed over, and what they cover.
    """
    required = token_policies.of(reading, company).approval_required
    return needing_approval(permissions, required, held=held)


def of_new_token(reading: Reading, company: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a new token that say whether it waits.

    Args:
        found: its other columns; with those of ``kept``, it is approved.
    """
    waits = found.get("approved_at") is None and needing(reading, company, found["permissions"])
    return {"pending_since": reading.now} if waits else {}


def kept(replaced: Row[Any]) -> dict[str, Any]:
    """The approval of a token, as columns of the one that replaces it; {} if it has none."""
    return {name: getattr(replaced, name) for name in _APPROVED} if replaced.approved_at else {}


def first_persons_kept(replaced: Row[Any], actor: Actor) -> dict[str, Any]:
    """The columns of a token that replaces another, if no person makes it: who made that one, or
    extended it, chose what it can do."""
    persons = {
        *(replaced.extended_by or ()),
        *([replaced.created_by] if replaced.created_by else ()),
    }
    return {} if actor.person.id or not persons else {"extended_by": sorted(persons)}


def of_changed_token(
    reading: Reading, actor: Actor, token: AccessToken, permissions: Collection[str]
) -> dict[str, Any]:
    """The columns of a token that gets other *permissions*.

    Those who add some to a pending token can't approve it: nobody else would know of them.

    Raises:
        Conflict: ``approval_required``, with the ``current`` record: *token* is active, and gets
            one that needs a second person.
    """
    if token.status == "pending":
        extends = any(not covers(token.permissions, name) for name in permissions)
        if not extends or actor.user is None or token.approval is None:
            return {}
        return {"extended_by": sorted({*token.approval.extended_by, actor.user})}
    waits = needing(reading, token.company, permissions, held=token.permissions)
    if waits:
        verb = "needs" if len(waits) == 1 else "need"
        raise Conflict(
            f"By the token policy {' and '.join(waits)} {verb} a second person: create another "
            "token, which can be approved.",
            reason="approval_required",
            current=token,
        )
    return {}


def first_persons(token: AccessToken) -> frozenset[str]:
    """The ids of those who can't approve *token*: who made it, owns it, or extended it since."""
    extended = () if token.approval is None else token.approval.extended_by
    made = () if token.created_by.id is None else (token.created_by.id,)
    return frozenset((token.owner.id, *made, *extended))


def makers_of_family(reading: Reading, token: AccessToken) -> frozenset[str]:
    """``first_persons``, and who made the token that *token* follows from by rotating itself: they
    may have its text. Also of a token that never waited, who extended it (``first_persons_kept``).
    """
    this, first = access_tokens.alias(), access_tokens.alias()
    made = select(first.c.created_by, this.c.extended_by).select_from(this)
    made = made.outerjoin(first, this.c.family_id == first.c.id)
    row = reading.session.execute(made.where(this.c.id == token.id)).one()
    maker = () if row.created_by is None else (row.created_by,)
    return first_persons(token).union(maker, row.extended_by or ())


def may_approve(user: str | None, permits: Collection[str], token: AccessToken) -> bool:
    """Whether a user is a second person who can approve *token*.

    Args:
        permits: the permissions of the user's role.
    """
    return user not in first_persons(token) and _suffice(permits, token)


def approvers(reading: Reading, token: AccessToken, *, most: int) -> Sequence[Any]:
    """Ids, names and addresses of users who can approve *token*, the first ones first."""
    return people_holding(
        reading, token.company, _needed(token), most=most, but=first_persons(token)
    )


def _suffice(permits: Collection[str], token: AccessToken) -> bool:
    return all(covers(permits, name) for name in _needed(token))


def _needed(token: AccessToken) -> tuple[str, ...]:
    return (APPROVE, *token.permissions)
