"""A catalogue from an OpenAPI document (3.0 or 3.1): a permission for each operation.

The permission is, in this order,

1. the first scope that the operation's security requires, if it reads as ``resource:action``;
2. a resource from the operation's first tag, else from its path, and an action from its
   ``operationId``, else from its method and path.

An operation that changes something never shares a permission with one that reads, whatever their
names are: holding the one would be holding the other.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

from gatepass.core.catalogue import CONTROL_PLANE
from gatepass.core.errors import GatepassError
from gatepass.core.permissions import is_permission
from gatepass.core.routes import Route, RouteError

#: Of a document. Large public APIs have some.
MOST_BYTES = 32 << 20

_METHODS = ("get", "post", "put", "patch", "delete")
_READING = ("get",)
_LONGEST_TITLE, _LONGEST_NAME = 200, 120
_TAKEN = frozenset(known.name for known in CONTROL_PLANE)
#: An action for a method on a collection, and on one of its records.
_ACTIONS = {
    "get": ("search", "get"),
    "post": ("create", "create"),
    "put": ("replace", "replace"),
    "patch": ("modify", "modify"),
    "delete": ("delete", "delete"),
}
#: Words of an operationId that say nothing of the action.
_FILLERS = frozenset(
    ("a", "an", "all", "api", "by", "for", "from", "id", "ids", "in", "of", "the", "to")
)
_version = re.compile(r"v[0-9]+(?:[._-]?[a-z0-9]+)?|api|rest").fullmatch
_words = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+").findall
_separators = re.compile(r"[:./]")
_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotOpenAPI(GatepassError):
    """The document can't be read as OpenAPI 3.0 or 3.1; the message says why."""

    reason = "openapi_invalid"


@dataclass(frozen=True, slots=True)
class Imported:
    """The result.

    Attributes:
        permissions: by name, their titles and routes.
        left_out: operations that have no route here, each with the reason.
    """

    permissions: Mapping[str, "ImportedPermission"]
    left_out: Sequence[tuple[str, str]]


@dataclass(slots=True)
class ImportedPermission:
    """One permission."""

    title: str
    routes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Operation:
    method: str
    path: str
    facts: Mapping[str, Any]
    #: None if the document doesn't say.
    security: Sequence[Any] | None

    @property
    def public(self) -> bool:
        """Whether it says that no credential is needed."""
        return self.security is not None and not self.security

    @property
    def route(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def reads(self) -> bool:
        return self.method in _READING


def import_openapi(text: str, kept: Mapping[str, str] | None = None) -> Imported:
    """Read a document, in YAML or JSON.

    Args:
        kept: the permissions that routes have in a catalogue of before, by the route's text: names
            that somebody may have chosen by hand.

    Raises:
        NotOpenAPI: it isn't one, or isn't readable.
    """
    document = _parsed(text)
    version = document.get("openapi")
    if not isinstance(version, str | float) or not str(version).startswith(("3.0", "3.1")):
        raise NotOpenAPI("openapi must be 3.0 or 3.1")
    permissions: dict[str, ImportedPermission] = {}
    left_out: list[tuple[str, str]] = []
    shapes: dict[Route, str] = {}
    reading: dict[str, bool] = {}
    for operation in _operations(document):
        problem = _problem(operation, shapes)
        if problem is not None:
            left_out.append((operation.route, problem))
            continue
        name = (kept or {}).get(operation.route) or _name(operation)
        while reading.setdefault(name, operation.reads) is not operation.reads:
            name = f"{name}-{operation.method}"
        if len(name) > _LONGEST_NAME:
            left_out.append((operation.route, "its name would be too long"))
            continue
        found = permissions.setdefault(name, ImportedPermission(_title(operation, name)))
        found.routes.append(operation.route)
    return Imported(permissions, left_out)


def catalogue_text(permissions: Mapping[str, "ImportedPermission"]) -> str:
    """Permissions as a catalogue file, each on a line."""
    lines = ["permissions:" if permissions else "permissions: {}"]
    for name, found in permissions.items():
        routes = ", ".join(_quoted(route) for route in found.routes)
        listed = f", routes: [{routes}]" if routes else ""
        lines.append(f"  {name}: {{title: {_quoted(found.title)}{listed}}}")
    return "".join(f"{line}\n" for line in lines)


def _quoted(text: str) -> str:
    # A double-quoted scalar of YAML; the texts are printable.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        document = _of_json(text) or _of_yaml(text)
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise NotOpenAPI(f"the document is neither YAML nor JSON{where}") from None
    if not isinstance(document, Mapping):
        raise NotOpenAPI("the document must be an object")
    return document


def _of_json(text: str) -> Any:
    """The document if it is JSON, which YAML reads as well, but not each of its strings."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _of_yaml(text: str) -> Any:
    for event in yaml.parse(text, Loader=_loader):
        if isinstance(event, yaml.AliasEvent):
            # A few lines of them can expand to gigabytes.
            raise NotOpenAPI("the document must not use YAML aliases (*name)")
    return yaml.load(text, Loader=_loader)  # noqa: S506 - a safe loader


def _operations(document: Mapping[str, Any]) -> Iterator[_Operation]:
    paths = document.get("paths")
    if not isinstance(paths, Mapping):
        raise NotOpenAPI("paths must be an object")
    common = document.get("security")
    for path, item in paths.items():
        if not isinstance(path, str) or not path.startswith("/"):
            raise NotOpenAPI("each path must begin with a slash")
        if not isinstance(item, Mapping):
            raise NotOpenAPI(f"{path!r} must be an object")
        if "$ref" in item:
            raise NotOpenAPI(f"{path!r} must not be a $ref: bundle the document first")
        prefix = _prefix(item.get("servers") or document.get("servers"))
        for method in _METHODS:
            facts = item.get(method)
            if facts is None:
                continue
            if not isinstance(facts, Mapping):
                raise NotOpenAPI(f"{method} {path!r} must be an object")
            security = facts.get("security", common)
            yield _Operation(
                method, prefix + path, facts, security if isinstance(security, list) else None
            )


def _prefix(servers: Any) -> str:
    """The path of the first server, which comes before each path."""
    first = servers[0] if isinstance(servers, list) and servers else None
    url = first.get("url") if isinstance(first, Mapping) else None
    if not isinstance(url, str):
        return ""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    # Variables of a server's path can't be known.
    return "" if "{" in path else path.rstrip("/")


def _problem(operation: _Operation, shapes: dict[Route, str]) -> str | None:
    """Why an operation can't be a route; None if it can."""
    if operation.public:
        return "needs no credential"
    try:
        route = Route.parse(operation.route)
    except RouteError as error:
        return str(error)
    if route in shapes:
        return f"has the same shape as {shapes[route]}"
    shapes[route] = operation.route
    return None


def _name(operation: _Operation) -> str:
    for scope in _scopes(operation):
        name = _as_permission(scope)
        if name is not None:
            return name
    resource = _resource(operation)
    return _free(f"{resource}:{_action(operation, resource)}")


def _scopes(operation: _Operation) -> Iterator[str]:
    for requirement in operation.security or ():
        if isinstance(requirement, Mapping):
            for scopes in requirement.values():
                if isinstance(scopes, list):
                    yield from (scope for scope in scopes if isinstance(scope, str))


def _as_permission(scope: str) -> str | None:
    """A scope as a permission; None if it has no single reading as one."""
    parts = [_slug(part) for part in _separators.split(scope)]
    if len(parts) != 2 or not all(parts):
        return None
    first, second = parts
    # Some write the action first.
    if first in ("read", "write", "admin", "delete", "create", "update", "manage"):
        first, second = second, first
    name = f"{first}:{second}"
    return _free(name) if is_permission(name) else None


def _free(name: str) -> str:
    """A name that is none of the control plane's."""
    resource, _, action = name.partition(":")
    return f"api-{resource}:{action}" if name in _TAKEN else name


def _resource(operation: _Operation) -> str:
    tags = operation.facts.get("tags")
    if isinstance(tags, list) and tags and isinstance(tags[0], str) and _slug(tags[0]):
        return _slug(tags[0])
    for segment in operation.path.split("/"):
        if "{" not in segment and not _version(segment.lower()) and _slug(segment):
            return _slug(segment)
    return "api"


def _action(operation: _Operation, resource: str) -> str:
    named = operation.facts.get("operationId")
    if isinstance(named, str):
        own = {form for word in resource.split("-") for form in _forms(word)}
        words = [word.lower() for word in _words(named)]
        left = [word for word in words if word not in own and word not in _FILLERS]
        if left:
            return "-".join(left)
    segments = [one for one in operation.path.split("/") if one]
    last = segments[-1] if segments else ""
    collection, record = _ACTIONS[operation.method]
    if "{" in last:
        return record
    slug = _slug(last)
    if operation.method == "post" and slug and slug not in _forms(resource) and len(segments) > 2:
        # A call such as POST /charges/{id}/capture.
        return slug
    return collection


def _forms(word: str) -> frozenset[str]:
    """A word in singular and plural, as far as a letter tells."""
    stem = word.removesuffix("s")
    return frozenset(
        (word, stem, stem + "s", stem + "es", stem.removesuffix("e"), stem.removesuffix("ie") + "y")
    )


def _title(operation: _Operation, name: str) -> str:
    summary = operation.facts.get("summary")
    text = " ".join(str(summary).split()).rstrip(".") if isinstance(summary, str) else ""
    text = "".join(sign for sign in text if sign.isprintable())[:_LONGEST_TITLE].strip()
    return text or name


def _slug(text: str) -> str:
    """Lower-case words with hyphens between them."""
    plain = "-".join(_words(text)).lower()
    return plain if plain.isascii() else ""
