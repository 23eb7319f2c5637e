"""A catalogue file brought up to date with an OpenAPI document: what people wrote in it stays."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import yaml

from gatepass.core.catalogue import CataloguePermission, parse_catalogue
from gatepass.core.catalogue_differences import Differences, differences
from gatepass.core.catalogue_file import Contents, Entry, Service, service_problem
from gatepass.core.errors import Misconfigured
from gatepass.core.openapi_import import ImportedPermission, catalogue_text, import_openapi

# libyaml, if PyYAML was built with it: its marks count characters, too.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Update:
    """The new text of a catalogue file, and how it differs.

    Attributes:
        left_out: operations without a route, each with the reason.
        differences: a line for each permission that is added, changed or dropped.
        lost: what no longer permits anything, by name.
    """

    text: str
    left_out: Sequence[tuple[str, str]]
    differences: Sequence[str]
    lost: Sequence[str]


def updated(
    document: str, former: str, service: str | None = None, prefix: str | None = None
) -> Update:
    """Bring a catalogue file, or one service in it, up to date.

    Names and titles that a permission has there stay, also where the document's differ, and so do
    permissions without routes, for which services ask by name, and everything but the permissions
    that are brought up to date. A name that is another service's gets this one's before it.

    Args:
        document: an OpenAPI document.
        former: the file's text; "" for a new one.
        service: the only one to bring up to date; None is what belongs to no service.
        prefix: the path of its routes; None is its present one, or ``/`` and its name.

    Raises:
        NotOpenAPI, CatalogueError: the document, or the file, can't be read, or the new one
            couldn't.
        Misconfigured: the service's name or prefix isn't one.
    """
    before = parse_catalogue(former)
    contents = before.contents
    name = service or ""
    known = {each.name: each.prefix for each in contents.services}
    path = known.get(name, f"/{name}") if prefix is None else prefix
    own = Service(name, path if service else "")
    if service is not None:
        _require_service(own)
    entries = [entry for entry in contents.entries if entry.service == name]
    others = {entry.name for entry in contents.entries if entry.service != name}
    former_prefix = known.get(name, "")
    imported = import_openapi(document, _names(entries, former_prefix))
    made = _merged(entries, imported.permissions, others, service or "api")
    if service is None:
        text = catalogue_text(made) + _rest(former, "permissions")
    else:
        text = _rest(former, "services") + _services_text(contents, own, made)
    found = differences(before, parse_catalogue(text))
    return Update(text, imported.left_out, lines(found), found.lost)


def lines(found: Differences) -> list[str]:
    """A line for each permission that is added, changed or dropped."""
    added = [f"adds {each.name}: {_routes(each)}" for each in found.added]
    changed = [
        f"changes {each.after.name}: {_routes(each.after)}"
        for each in found.changed
        if each.routes_differ
    ]
    return added + changed + [f"drops {each.name}" for each in found.dropped]


def _routes(known: CataloguePermission) -> str:
    return ", ".join(known.routes) or "no route"


def _names(entries: Iterable[Entry], prefix: str) -> dict[str, str]:
    """The permission of each route, as a document of the service would name the route."""
    return {_without(prefix, route): entry.name for entry in entries for route in entry.routes}


def _without(prefix: str, route: str) -> str:
    method, _, path = route.partition(" ")
    return f"{method} {path.removeprefix(prefix)}"


def _merged(
    entries: Sequence[Entry],
    imported: Mapping[str, ImportedPermission],
    others: Collection[str],
    before: str,
) -> dict[str, ImportedPermission]:
    titles = {entry.name: entry.title for entry in entries}
    made: dict[str, ImportedPermission] = {}
    for name, found in imported.items():
        free = f"{before}-{name}" if name in others else name
        made[free] = ImportedPermission(titles.get(free, found.title), found.routes)
    for entry in entries:
        if not entry.routes:
            made.setdefault(entry.name, ImportedPermission(entry.title))
    return made


def _require_service(service: Service) -> None:
    """Require a name and a prefix that a catalogue file can have."""
    problem = service_problem(service)
    if problem is not None:
        raise Misconfigured(problem)


def _services_text(
    contents: Contents, changed: Service, made: Mapping[str, ImportedPermission]
) -> str:
    """The services of a file, with *changed* as it becomes."""
    services = {each.name: each for each in contents.services} | {changed.name: changed}
    text = "services:\n"
    for service in services.values():
        permissions = made if service is changed else _permissions(contents, service)
        text += f"  {service.name}:\n    prefix: {service.prefix}\n"
        text += "".join(f"    {line}\n" for line in catalogue_text(permissions).splitlines())
    return text


def _permissions(contents: Contents, service: Service) -> dict[str, ImportedPermission]:
    return {
        entry.name: ImportedPermission(
            entry.title, [_without(service.prefix, route) for route in entry.routes]
        )
        for entry in contents.entries
        if entry.service == service.name
    }


def _rest(text: str, field: str) -> str:
    """What a catalogue file has beside *field*, as it is written there."""
    root = yaml.compose(text, Loader=_Loader)
    if not isinstance(root, yaml.MappingNode):
        return ""
    parts = [
        text[key.start_mark.index : value.end_mark.index].rstrip()
        for key, value in root.value
        if key.value != field
    ]
    return "".join(f"{part}\n" for part in parts)
