"""Permission names, their wildcards, and what covers what.

A permission is ``resource:action``. ``resource:*`` covers every action of a resource, now and
later; ``*`` covers everything of one's own company, and only a role holds it.
"""

import re
from collections.abc import Collection, Iterable

EVERYTHING = "*"

_concrete = re.compile(r"[a-z0-9-]+:[a-z0-9-]+").fullmatch
_wildcard = re.compile(r"[a-z0-9-]+:\*").fullmatch


def is_permission(name: object) -> bool:
    """Whether *name* is one concrete permission, ``resource:action``."""
    return isinstance(name, str) and _concrete(name) is not None


def is_wildcard(name: object) -> bool:
    """Whether *name* is ``resource:*``. The bare ``*`` is not."""
    return isinstance(name, str) and _wildcard(name) is not None


def covers(held: Collection[str], wanted: str) -> bool:
    """Whether someone who holds *held* has *wanted*.

    Args:
        held: names, ``resource:*`` and ``*``, as stored.
        wanted: a concrete permission, a ``resource:*``, which needs itself or ``*``, or ``*``,
            which needs itself. A malformed name is covered by nothing, not even by ``*``.
    """
    if wanted in held:
        return True
    if not (is_permission(wanted) or is_wildcard(wanted)):
        return False
    return EVERYTHING in held or resource_wildcard(wanted) in held


def effective(chosen: Iterable[str], role: Collection[str]) -> tuple[str, ...]:
    """What counts of *chosen* under *role*: their intersection, sorted, without repetition.

    ``charges:*`` under a role with ``charges:get`` alone is ``charges:get``; a role with ``*``
    leaves everything that was chosen.
    """
    counts: set[str] = set()
    for name in chosen:
        if covers(role, name):
            counts.add(name)
        elif name == EVERYTHING:
            counts.update(role)
        elif is_wildcard(name):
            counts.update(held for held in role if resource_wildcard(held) == name)
    return tuple(sorted(counts))


def resource_wildcard(name: str) -> str:
    """The ``resource:*`` of a permission's resource."""
    return name.partition(":")[0] + ":*"
