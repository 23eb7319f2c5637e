"""The permissions that a user can choose from: their own, by resource."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby

from gatepass.core.catalogue import Catalogue, CataloguePermission
from gatepass.core.permissions import NOT_FOR_TOKENS, is_wildcard, resource_wildcard
from gatepass.registry.actor import Actor

#: A picker with more permissions than these opens with its resources folded.
_FEW = 24
#: The choices of a line, and their names. "Choose" is its permissions one by one.
LEVELS = (("none", "None"), ("read", "Read"), ("choose", "Choose"))


@dataclass(frozen=True)
class PermissionGroup:
    """One resource's permissions: a line of the picker.

    Attributes:
        resource: as in permission names; ``name``: in words.
        wildcard: ``resource:*``, or "" if the actor doesn't have it.
        permissions: those that the actor has.
        chosen: how many of them are selected, one by one.
        level: of ``LEVELS``, as selected.
        is_open: whether the line shows its permissions at first.
    """

    resource: str
    name: str
    wildcard: str
    permissions: tuple[CataloguePermission, ...]
    chosen: int = 0
    level: str = "none"
    is_open: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its permissions."""
        return tuple(permission.name for permission in self.permissions)

    @property
    def reading(self) -> tuple[str, ...]:
        """The names of those that only read."""
        return tuple(permission.name for permission in self.permissions if permission.reads)

    @property
    def levels(self) -> tuple[tuple[str, str], ...]:
        """Those of ``LEVELS`` that it has."""
        return LEVELS if self.reading else (LEVELS[0], LEVELS[-1])


@dataclass(frozen=True)
class PermissionRow:
    """One permission of a token. ``lost``: why it permits nothing now, in words, or ""."""

    name: str
    title: str
    lost: str = ""


def offered(
    catalogue: Catalogue,
    actor: Actor,
    chosen: Collection[str],
    *,
    built_in: bool,
    of_role: bool = False,
) -> list[PermissionGroup]:
    """The groups to choose from: Gatepass's own resources, or those of the catalogue file.

    Args:
        of_role: whether a role is to hold them; a token can't hold all.
    """
    held = [
        permission
        for permission in catalogue.permissions
        if permission.built_in == built_in
        and actor.may(permission.name)
        # A token of before may have one that no token can do any more.
        and (of_role or permission.name not in NOT_FOR_TOKENS or permission.name in chosen)
    ]
    # The file may list a resource in several places; groupby needs its permissions together.
    order = {resource: at for at, resource in reversed(list(enumerate(map(_resource, held))))}
    held.sort(key=lambda permission: order[_resource(permission)])
    selected, is_open = frozenset(chosen), len(held) <= _FEW
    return [
        _group(resource, tuple(members), actor, selected, is_open)
        for resource, members in groupby(held, key=_resource)
    ]


def without_covered(names: Iterable[str]) -> list[str]:
    """*names* without duplicates, and without those that a ``resource:*`` among them covers."""
    distinct = list(dict.fromkeys(names))
    wildcards = {name for name in distinct if is_wildcard(name)}
    return [
        name for name in distinct if name in wildcards or resource_wildcard(name) not in wildcards
    ]


def permission_rows(
    catalogue: Catalogue, chosen: Iterable[str], effective: Collection[str]
) -> list[PermissionRow]:
    """The permissions of a token, with titles.

    If ``resource:*`` was chosen and the creator's role includes only part of it, that part is
    listed below it.
    """
    titles = {permission.name: permission.title for permission in catalogue.permissions}
    rows = []
    for name in sorted(chosen):
        lost = "" if name in effective else "not in the role"
        if name in NOT_FOR_TOKENS:
            lost = "no access token can do it"
        if is_wildcard(name):
            resource = _words(name.partition(":")[0])
            rows.append(PermissionRow(name, f"All of {resource}, now and later", lost))
            if lost:
                rows += [
                    PermissionRow(part, titles.get(part, ""))
                    for part in sorted(effective)
                    if resource_wildcard(part) == name
                ]
        else:
            title = titles.get(name, "No longer in the catalogue")
            rows.append(PermissionRow(name, title, lost))
    return rows


def _group(
    resource: str,
    permissions: tuple[CataloguePermission, ...],
    actor: Actor,
    chosen: Collection[str],
    is_open: bool,
) -> PermissionGroup:
    wildcard = resource + ":*"
    selected = [permission for permission in permissions if permission.name in chosen]
    reading = [permission for permission in permissions if permission.reads]
    level = "choose"
    if wildcard not in chosen and selected in ([], reading):
        level = "read" if selected else "none"
    return PermissionGroup(
        resource=resource,
        name=_words(resource),
        wildcard=wildcard if actor.may(wildcard) else "",
        permissions=permissions,
        chosen=len(selected),
        level=level,
        is_open=is_open,
    )


def _resource(permission: CataloguePermission) -> str:
    return permission.name.partition(":")[0]


def _words(resource: str) -> str:
    return resource.replace("-", " ")
