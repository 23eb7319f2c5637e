"""A catalogue file brought up to date with an OpenAPI document: what people wrote in it stays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from gatepass.core.catalogue import CataloguePermission, parse_catalogue
from gatepass.core.openapi_import import ImportedPermission, catalogue_text, import_openapi

_Permissions = Mapping[str, CataloguePermission]


@dataclass(frozen=True, slots=True)
class Update:
    """The new text of a catalogue file, and how it differs.

    Attributes:
        left_out: operations without a route, each with the reason.
        differences: a line for each permission that is added, changed or dropped.
        dropped: the names of the last.
    """

    text: str
    left_out: Sequence[tuple[str, str]]
    differences: Sequence[str]
    dropped: Sequence[str]


def updated(document: str, former: str) -> Update:
    """Bring a catalogue file up to date.

    Names and titles that a permission has there stay, also where the document's differ, and so do
    permissions without routes, for which services ask by name, and everything but permissions.

    Args:
        document: an OpenAPI document.
        former: the file's text; "" for a new one.

    Raises:
        NotOpenAPI, CatalogueError: the document, or the file, can't be read.
    """
    before = _of_file(former)
    names = {route: known.name for known in before.values() for route in known.routes}
    imported = import_openapi(document, names)
    made: dict[str, ImportedPermission] = {}
    for name, found in imported.permissions.items():
        title = before[name].title if name in before else found.title
        made[name] = ImportedPermission(title, found.routes)
    for known in before.values():
        if not known.routes:
            made.setdefault(known.name, ImportedPermission(known.title))
    text = catalogue_text(made) + _rest(former)
    return Update(text, imported.left_out, *_differences(before, _of_file(text)))


def _of_file(text: str) -> dict[str, CataloguePermission]:
    found = parse_catalogue(text).permissions
    return {known.name: known for known in found if not known.built_in}


def _differences(before: _Permissions, after: _Permissions) -> tuple[list[str], list[str]]:
    lines = [
        f"adds {name}: {', '.join(after[name].routes)}" for name in after if name not in before
    ]
    for name in after:
        if name in before and set(before[name].routes) != set(after[name].routes):
            lines.append(f"changes {name}: {', '.join(after[name].routes) or 'no route'}")
    dropped = [name for name in before if name not in after]
    return lines + [f"drops {name}" for name in dropped], dropped


def _rest(text: str) -> str:
    """What a catalogue file has beside permissions, as it is written there."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return ""
    parts = [
        text[key.start_mark.index : value.end_mark.index].rstrip()
        for key, value in root.value
        if key.value != "permissions"
    ]
    return "".join(f"{part}\n" for part in parts)
