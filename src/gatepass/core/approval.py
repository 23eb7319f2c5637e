"""Which permissions of an access token need the approval of a second person."""

from collections.abc import Collection

from gatepass.core.permissions import covers


def needing_approval(
    permissions: Collection[str], required: Collection[str], *, held: Collection[str] = ()
) -> tuple[str, ...]:
    """What *permissions* cover of those for which approval is *required*, sorted.

    Args:
        permissions, required: wildcards are allowed. Where one covers the other, the narrower one
            is named.
        held: permissions that are passed over, and what they cover.
    """
    found = {
        each if covers((name,), each) else name
        for name in permissions
        for each in required
        if covers((name,), each) or covers((each,), name)
    }
    return tuple(sorted(each for each in found if not covers(held, each)))
