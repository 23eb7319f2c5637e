"""The catalogue as a person chooses from it: by resource, and only what they hold themselves."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby

from gatepass.core.catalogue import Catalogue, CataloguePermission
from gatepass.core.permissions import is_wildcard, resource_wildcard
from gatepass.registry.actor import Actor


@dataclass(frozen=True)
class PermissionGroup:
    """One resource's permissions.

    Attributes:
        resource: as in permission names; ``name``: in words.
        wildcard: ``resource:*``, or "" where the actor may not hand that out.
        permissions: those that the actor holds.
        is_chosen: one of them, or all, is ticked.
    """

    resource: str
    name: str
    wildcard: str
    permissions: tuple[CataloguePermission, ...]
    is_chosen: bool


@dataclass(frozen=True)
class PermissionRow:
    """One permission of a token: what it is, and whether it counts under its maker's role now."""

    name: str
    title: str
    counts: bool


def offered(
    catalogue: Catalogue, actor: Actor, chosen: Collection[str], *, built_in: bool
) -> list[PermissionGroup]:
    """The groups to choose from: the control plane's own resources, or those of the file."""
    held = [
        permission
        for permission in catalogue.permissions
        if permission.built_in == built_in and actor.may(permission.name)
    ]
    # A resource may be scattered over the file; groupby needs its lines together, in first order.
    order = {resource: at for at, resource in reversed(list(enumerate(map(_resource, held))))}
    held.sort(key=lambda permission: order[_resource(permission)])
    return [
        _group(resource, tuple(members), actor, chosen)
        for resource, members in groupby(held, key=_resource)
    ]


def without_covered(names: Iterable[str]) -> list[str]:
    """*names* without repetition, and without those that a ``resource:*`` among them covers."""
    distinct = list(dict.fromkeys(names))
    wildcards = {name for name in distinct if is_wildcard(name)}
    return [
        name for name in distinct if name in wildcards or resource_wildcard(name) not in wildcards
    ]


def permission_rows(
    catalogue: Catalogue, chosen: Iterable[str], effective: Collection[str]
) -> list[PermissionRow]:
    """What was chosen for a token, with titles.

    Where ``resource:*`` was chosen and its maker's role holds only some of it, those are listed
    beneath it.
    """
    titles = {permission.name: permission.title for permission in catalogue.permissions}
    rows = []
    for name in sorted(chosen):
        if is_wildcard(name):
            resource = _words(name.partition(":")[0])
            rows.append(PermissionRow(name, f"All of {resource}, now and later", name in effective))
            if name not in effective:
                rows += [
                    PermissionRow(part, titles.get(part, ""), True)
                    for part in sorted(effective)
                    if resource_wildcard(part) == name
                ]
        else:
            title = titles.get(name, "No longer in the catalogue")
            rows.append(PermissionRow(name, title, name in effective))
    return rows


def _group(
    resource: str,
    permissions: tuple[CataloguePermission, ...],
    actor: Actor,
    chosen: Collection[str],
) -> PermissionGroup:
    wildcard = resource + ":*"
    names = {permission.name for permission in permissions} | {wildcard}
    return PermissionGroup(
        resource=resource,
        name=_words(resource),
        wildcard=wildcard if actor.may(wildcard) else "",
        permissions=permissions,
        is_chosen=not names.isdisjoint(chosen),
    )


def _resource(permission: CataloguePermission) -> str:
    return permission.name.partition(":")[0]


def _words(resource: str) -> str:
    return resource.replace("-", " ")
