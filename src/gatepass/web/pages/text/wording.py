"""Permissions, limits and counts in words: what a token or role can do, read before saving it.

A time at the end of a sentence is left to the template, which shows it in the viewer's time zone.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from gatepass.core.catalogue import ADMIN, CONTROL_PLANE, CUSTOMER_SERVICE, MANAGER, REPORTING
from gatepass.core.permissions import EVERYTHING
from gatepass.registry.directory.role_records import Role

_VERBS = {"get": "read", "modify": "edit", "update": "edit"}
#: Verbs in the order people say them; others stand where None is, by name.
_ORDER = ("read", "search", "create", "edit", None, "deactivate", "delete", "manage")
#: Together these are called managing a resource. Anything less is listed, so that no choice in a
#: form leaves its summary unchanged.
_MANAGED = (("get",), ("search",), ("create",), ("modify", "update"), ("deactivate", "delete"))
_RESOURCES = {
    "audit": "the audit log",
    "company": "company settings",
    "own-token": "the access token in use",
}
#: Permissions whose action is a noun.
_READ_AS = {
    "access-requests:decide": "access-requests:answer",
    "company:webhooks": "webhooks:manage",
}
_OWN_RESOURCES = frozenset(
    _READ_AS.get(each.name, each.name).partition(":")[0] for each in CONTROL_PLANE
)
_MOST_CLAUSES = 4
#: Built-in roles are computed from the catalogue: a list would be long and say less.
_BUILT_IN_ROLES = {
    ADMIN.id: "do everything in this company",
    MANAGER.id: "do everything except change roles, webhooks and company settings",
    CUSTOMER_SERVICE.id: "do everything in your product; read access tokens",
    REPORTING.id: "read everything",
}


def role_can(role: Role) -> str:
    """What people with *role* can do, as a verb phrase."""
    return _BUILT_IN_ROLES[role.id] if role.built_in else can(role.permissions)


def can(permissions: Iterable[str]) -> str:
    """What *permissions* allow: ``read and refund charges; manage access tokens``.

    Resources with the same verbs share a clause, your product's before Gatepass's own.
    """
    read = {_READ_AS.get(name, name) for name in permissions}
    names = sorted(read, key=lambda name: (_resource(name) in _OWN_RESOURCES, name))
    if EVERYTHING in names:
        return "do everything"
    clauses: dict[str, list[str]] = {}
    for resource, group in groupby(names, key=_resource):
        verbs = _verbs({name.partition(":")[2] for name in group})
        things = _RESOURCES.get(resource, resource.replace("-", " "))
        clauses.setdefault(verbs, []).append(things)
    said = [f"{verbs} {some(resources)}" for verbs, resources in clauses.items()]
    if len(said) > _MOST_CLAUSES:
        others = sum(map(len, list(clauses.values())[_MOST_CLAUSES - 1 :]))
        said = [*said[: _MOST_CLAUSES - 1], f"use {counted(others, 'more resource')}"]
    return "; ".join(said) or "do nothing"


def sentence_case(text: str) -> str:
    """*text* with a capital letter at its start."""
    return text[:1].upper() + text[1:]


def where(networks: Sequence[str], domains: Sequence[str]) -> str:
    """``on shop.example.com, from 203.0.113.0/24``; ``from anywhere`` without restrictions."""
    parts = []
    if domains:
        parts.append(f"on {some(domains)}")
    if networks:
        parts.append(f"from {some(networks)}")
    return ", ".join(parts) or "from anywhere"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(number: int, word: str) -> str:
    """``1 token``, ``1,250 tokens``."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def duration(seconds: int) -> str:
    """``72 hours``, ``90 seconds``: in the largest exact unit, up to hours."""
    for length, word in ((3600, "hour"), (60, "minute")):
        if seconds % length == 0:
            return counted(seconds // length, word)
    return counted(seconds, "second")


def some(entries: Sequence[str]) -> str:
    """``a, b and c``; of more than three the first two, and how many more there are."""
    if len(entries) <= 3:
        return listed(entries)
    return f"{', '.join(entries[:2])} and {len(entries) - 2:,} more"


def _resource(name: str) -> str:
    return name.partition(":")[0]


def _verbs(actions: Collection[str]) -> str:
    if "*" in actions:
        return "do everything with"
    if all(any(action in actions for action in ways) for ways in _MANAGED):
        actions = {"manage", *actions}.difference(*_MANAGED)
    verbs = {_VERBS.get(action, action.replace("-", " ")) for action in actions}
    return listed(sorted(verbs, key=lambda verb: (_ORDER.index(_known(verb)), verb)))


def _known(verb: str) -> str | None:
    return verb if verb in _ORDER else None
