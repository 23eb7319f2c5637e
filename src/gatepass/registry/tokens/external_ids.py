"""External ids of access tokens, unique among a company's active ones."""

from sqlalchemy import or_, select

from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, Forbidden
from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.lists import lapsing

_token = access_tokens.c


def require_allowed(actor: Actor, external_id: str | None, former: str | None = None) -> None:
    """Require that *actor* may give a token *external_id*, in place of *former*.

    Raises:
        Forbidden: ``portal_session``. It would find out, or take away, the external ids of tokens
            of the company's other owners.
    """
    if external_id not in (None, former) and actor.is_portal_session:
        raise Forbidden("A portal session can't set an external id.", reason="portal_session")


def claim(change: Change, company: str, external_id: str | None, *, but: str = "") -> None:
    """Require that no active token of *company* has *external_id*, so that one can get it.

    Args:
        but: the id of the token that gets it.

    Raises:
        Conflict: ``external_id_taken``.
    """
    if external_id is None:
        return
    others = (
        _token.company_id == company,
        _token.external_id == external_id,
        _token.deactivated_at.is_(None),
        _token.id != but,
    )
    unexpired = or_(_token.expires_at.is_(None), _token.expires_at > change.now)
    taken = select(_token.id).where(*others, unexpired)
    if change.session.execute(taken).first() is not None:
        raise Conflict(
            f"An active access token has the external id {isolated(external_id)} already.",
            reason="external_id_taken",
        )
    # The unique index has an expired token until a round of ``lapsing`` records it.
    expired = change.session.scalars(select(_token.id).where(*others, _token.lapsed_at.is_(None)))
    lapsing.record(change, expired.all())
