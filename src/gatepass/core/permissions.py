"""Permission names, wildcards and coverage.

A permission is ``resource:action``. ``resource:*`` covers every present and future action of a
resource; ``*`` covers everything within the company, and only a role can hold it.
"""

import re
from collections.abc import Collection, Iterable

EVERYTHING = "*"
#: What no access token can do, also under a wildcard: a leaked one must not create successors.
NOT_FOR_TOKENS = frozenset(
    (
        "access-requests:decide",
        "access-tokens:approve",
        "access-tokens:create",
        "access-tokens:modify",
        "company:modify",
        "company:webhooks",
        "roles:manage",
        "service-accounts:manage",
        "users:manage",
    )
)

_concrete = re.compile(r"[a-z0-9-]+:[a-z0-9-]+").fullmatch
_wildcard = re.compile(r"[a-z0-9-]+:\*").fullmatch


def is_permission(name: object) -> bool:
    """Whether *name* is one concrete permission, ``resource:action``."""
    return isinstance(name, str) and _concrete(name) is not None


def is_wildcard(name: object) -> bool:
    """Whether *name* is ``resource:*``; ``*`` alone is not."""
    return isinstance(name, str) and _wildcard(name) is not None


def covers(held: Collection[str], wanted: str) -> bool:
    """Whether *held* covers *wanted*.

    Args:
        held: names, ``resource:*`` and ``*``, as stored.
        wanted: a permission; or ``resource:*``, which only itself or ``*`` covers; or ``*``, which
            only itself covers. Nothing covers a malformed name, not even ``*``.
    """
    if wanted in held:
        return True
    if not (is_permission(wanted) or is_wildcard(wanted)):
        return False
    return EVERYTHING in held or resource_wildcard(wanted) in held


def effective(chosen: Iterable[str], role: Collection[str]) -> tuple[str, ...]:
    """The effective permissions of an access token: *chosen* and *role* intersected, sorted.

    ``charges:*`` under a role with only ``charges:get`` is ``charges:get``. A role with ``*`` keeps
    everything in *chosen*. ``NOT_FOR_TOKENS`` are left out.
    """
    names: set[str] = set()
    for name in chosen:
        if covers(role, name):
            names.add(name)
        elif name == EVERYTHING:
            names.update(role)
        elif is_wildcard(name):
            names.update(held for held in role if resource_wildcard(held) == name)
    return tuple(sorted(names - NOT_FOR_TOKENS))


def resource_wildcard(name: str) -> str:
    """The ``resource:*`` of a permission's resource."""
    return name.partition(":")[0] + ":*"
