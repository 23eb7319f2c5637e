"""The rules of handing an access token over to another owner.

What a token can do is limited by its owner's role. The new owner's role must grant all that the
token has, and the token must not gain what the former owner's role didn't grant any more: people
who know its text would have more than before.
"""

from collections.abc import Collection

from gatepass.core.permissions import NOT_FOR_TOKENS, covers, effective


def lacking(permissions: Collection[str], role: Collection[str]) -> tuple[str, ...]:
    """Those of a token's *permissions* that the new owner's role doesn't grant, sorted.

    ``NOT_FOR_TOKENS`` are left out: they permit a token nothing.
    """
    wanted = sorted(set(permissions) - NOT_FOR_TOKENS)
    return tuple(name for name in wanted if not covers(role, name))


def kept(permissions: Collection[str], former_role: Collection[str]) -> tuple[str, ...]:
    """The permissions that a token has after the hand-over, of its former *permissions*.

    All of them, unless the former owner's role doesn't grant one; then those that were effective.
    """
    if all(covers(former_role, name) for name in permissions):
        return tuple(permissions)
    return effective(permissions, former_role)
