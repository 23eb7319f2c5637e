"""Labels that are taken, for a hint: two active tokens may have the same one."""

from sqlalchemy import or_, select

from gatepass.registry.actor import Actor
from gatepass.registry.input.text import folded, storable
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import access_tokens

_token = access_tokens.c


def is_taken(reading: Reading, actor: Actor, label: str, *, but: str | None = None) -> bool:
    """Whether an active or pending token of the actor's company has *label*, ignoring case.

    Without ``access-tokens:search`` the answer is no: the actor can't list them either.

    Args:
        but: the id of a token that doesn't count.
    """
    if not label or not storable(label) or not actor.may("access-tokens:search"):
        return False
    one = select(_token.id).where(
        _token.company_id == actor.company,
        _token.label_folded == folded(label),
        _token.deactivated_at.is_(None),
        _token.lapsed_at.is_(None),
        or_(_token.expires_at.is_(None), _token.expires_at > reading.now),
        _token.id != (but or ""),
    )
    return reading.session.execute(one.limit(1)).first() is not None
