"""Disabling another user's second factor, after they lost the app and the recovery codes."""

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions, totp
from gatepass.registry.directory import users
from gatepass.registry.directory.user_privileges import require_no_operator, require_not_above
from gatepass.registry.directory.user_search import find
from gatepass.registry.directory.users import User
from gatepass.registry.grants.authorization import acting
from gatepass.registry.storage.database import Change


def turn_off_second_factor(change: Change, actor: Actor, user_id: str) -> User:
    """Disable a user's second factor, so that they can sign in with the password alone.

    The same transaction deactivates all their authentications: an attacker who talked an
    administrator into this must not keep a stolen session. Idempotent.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``, or without a permission
            of the user's role; ``operator_required``.
        NotFound: there is none, or it is another company's.
        Conflict: ``own_second_factor``: the actor's own requires the password and a code; else a
            stolen session could take the account over.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = find(change, actor, user_id)
    require_of_someone_else(actor, user)
    require_not_above(change, actor, user)
    require_no_operator(actor, user)
    if not user.second_factor:
        return user
    totp.remove(change, user.id)
    ended = sessions.end_of_user(change, actor, user.id)
    after = {"authentications_ended": ended}
    users.record(change, actor, "second_factor_disabled", user, after=after)
    return find(change, actor, user.id)


def require_of_someone_else(actor: Actor, user: User) -> None:
    """Raise Conflict (``own_second_factor``) if *user* is the actor."""
    if user.id == actor.user:
        raise Conflict(
            "Your own second factor is turned off in My account, with your password and a code.",
            reason="own_second_factor",
            current=user,
        )
