"""Parser of a catalogue's YAML that reports every problem with its line.

The file is parsed into YAML nodes, not values: nodes know their lines, keep duplicate keys, and
don't turn texts into dates or numbers. Aliases are refused, because a few lines of them can expand
to gigabytes.
"""

import re
from collections.abc import Collection, Iterator
from operator import itemgetter
from typing import Protocol

import msgspec
import yaml

from gatepass.core.permissions import (
    EVERYTHING,
    NOT_FOR_TOKENS,
    is_permission,
    is_wildcard,
    resource_wildcard,
)
from gatepass.core.routes import Route, RouteError

_TEXT = "tag:yaml.org,2002:str"
_NOTHING = "tag:yaml.org,2002:null"
#: Characters of a text.
LARGEST = 1_048_576
_DEEPEST = 8
_LONGEST_TITLE = 200
_LONGEST_PRESET = 60
_MOST_PRESETS = 20
#: As a token has at most.
_MOST_CHOSEN = 200
# libyaml, if PyYAML was built with it: the same nodes, ten times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MOST_SERVICES = 100
_service_name = re.compile(r"[a-z0-9][a-z0-9-]{0,59}", re.ASCII).fullmatch

_ROUTES = '["GET /v1/charges/{id}"]'
_PERMISSIONS = '["charges:get"]'

Problem = tuple[int, str]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One permission as the file defines it.

    Attributes:
        routes: complete: those of a service begin with its prefix.
        service: the name of the one that it belongs to, or "".
    """

    name: str
    title: str
    routes: tuple[str, ...]
    service: str = ""


class Service(msgspec.Struct, frozen=True, gc=False):
    """A service whose routes are below a path of its own."""

    name: str
    prefix: str


class Preset(msgspec.Struct, frozen=True, gc=False):
    """Permissions to choose together, as the file defines them.

    Attributes:
        description: in a sentence, or "".
        permissions: names, and ``resource:*`` of the file's own resources.
    """

    name: str
    description: str
    permissions: tuple[str, ...]


class Contents(msgspec.Struct, frozen=True, gc=False):
    """The contents of a file.

    Attributes:
        encoded_slash: the routes whose parameters may hold an encoded slash.
    """

    entries: tuple[Entry, ...] = ()
    encoded_slash: tuple[str, ...] = ()
    presets: tuple[Preset, ...] = ()
    services: tuple[Service, ...] = ()


def read_contents(text: str, taken: Collection[str]) -> tuple[Contents, list[Problem]]:
    """Parse a catalogue file.

    Args:
        text: the complete file.
        taken: names that the file must not define.

    Returns:
        The contents, and the (line, message) of each problem. Ignore the contents if there is one.
    """
    if len(text) > LARGEST:
        return Contents(), [(1, "the file must not be larger than 1 MiB")]
    try:
        unbounded = _unbounded(text)
        if unbounded is not None:
            return Contents(), [unbounded]
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        # PyYAML reports a missing end one line after the last.
        line = min(_line(error.problem_mark), text.count("\n") + 1)
        return Contents(), [(line, f"must be YAML: {error.problem or error.context}")]
    except (yaml.YAMLError, UnicodeError):
        return Contents(), [(1, "must be YAML: the file has characters that YAML does not allow")]
    reader = _Reader(taken)
    contents = reader.document(root)
    return contents, sorted(reader.problems, key=itemgetter(0))


def service_problem(service: Service) -> str | None:
    """Why a file can't have *service*, as a sentence; None if it can."""
    if not _service_name(service.name):
        return f"{service.name!r} must be a service's name: 1 to 60 of a-z, 0-9 and hyphens"
    try:
        shape = Route.parse(f"GET {service.prefix}").shape
    except RouteError:
        shape = ("",)
    if not all(shape):
        return f"the prefix of {service.name} must be a path of plain segments, like /billing"
    return None


class _Reader:
    """Walks the nodes and collects the problems."""

    def __init__(self, taken: Collection[str]) -> None:
        self.problems: list[Problem] = []
        self._taken = taken
        self._shapes: dict[Route, str] = {}
        # The line of each permission.
        self._defined: dict[str, int] = {}

    def document(self, root: yaml.Node | None) -> Contents:
        known = ("permissions", "services", "presets", "options")
        fields = {key: value for key, _, value in self._fields(root, "the file", known)}
        # Permissions first: presets refer to them, and options to their routes.
        entries = self._permissions(fields.get("permissions"))
        services, more = self._services(fields.get("services"))
        entries += more
        presets = self._presets(fields.get("presets"), {entry.name for entry in entries})
        return Contents(entries, self._options(fields.get("options")), presets, services)

    def _permissions(
        self, node: yaml.Node | None, service: Service | None = None
    ) -> tuple[Entry, ...]:
        service = service or Service("", "")
        entries = []
        for name, key, definition in self._fields(node, "permissions"):
            if not is_permission(name):
                self._note(key, f"{name!r} must be a permission such as charges:create")
            elif name in self._taken:
                self._note(key, f"{name} must not be one of the control plane's own permissions")
            elif name in self._defined:
                self._note(key, f"{name} must be defined once: it is on line {self._defined[name]}")
            self._defined.setdefault(name, _line(key.start_mark))
            entries.append(self._entry(name, definition, service))
        return tuple(entries)

    def _services(self, node: yaml.Node | None) -> tuple[tuple[Service, ...], tuple[Entry, ...]]:
        services: list[Service] = []
        entries: list[Entry] = []
        for name, key, definition in self._fields(node, "services"):
            if len(services) == _MOST_SERVICES:
                self._note(key, f"there must be at most {_MOST_SERVICES} services")
            where = f"the service {name!r}"
            known = ("prefix", "permissions")
            fields = {field: value for field, _, value in self._fields(definition, where, known)}
            service = self._service(name, key, fields.get("prefix"))
            services.append(service)
            entries += self._permissions(fields.get("permissions"), service)
        return tuple(services), tuple(entries)

    def _service(self, name: str, key: yaml.Node, prefix: yaml.Node | None) -> Service:
        """A service; without a prefix if there is a problem with it, which is noted."""
        if prefix is None:
            self._note(key, f"the service {name!r} must have a prefix, like /billing")
            return Service(name, "")
        text = self._text(prefix, f"the prefix of {name}")
        if text is None:
            return Service(name, "")
        service = Service(name, text)
        problem = service_problem(service)
        if problem is None:
            return service
        self._note(prefix if _service_name(name) else key, problem)
        return Service(name, "")

    def _options(self, node: yaml.Node | None) -> tuple[str, ...]:
        for _, _, value in self._fields(node, "options", ("encoded_slash",)):
            routes = []
            for item, text in self._texts(value, "route", "encoded_slash", _ROUTES):
                self._check_encoded_slash(item, text)
                routes.append(text)
            return tuple(routes)
        return ()

    def _check_encoded_slash(self, node: yaml.Node, text: str) -> None:
        route = self._route(node, text)
        if route is None:
            return
        if route not in self._shapes:
            self._note(node, f"{text!r} must be a route of one of the permissions")
        elif None not in route.shape:
            self._note(node, f"{text!r} must have a parameter, which may hold the encoded slash")

    def _entry(self, name: str, node: yaml.Node, service: Service) -> Entry:
        title = name
        routes: tuple[str, ...] = ()
        for key, _, value in self._fields(node, name, ("title", "routes")):
            if key == "title":
                title = self._printable(value, f"the title of {name}") or name
            else:
                routes = self._routes(name, value, service.prefix)
        return Entry(name, title, routes, service.name)

    def _printable(self, node: yaml.Node, what: str) -> str | None:
        text = self._text(node, what)
        if text is not None and not (text.isprintable() and 1 <= len(text) <= _LONGEST_TITLE):
            self._note(node, f"{what} must have 1 to {_LONGEST_TITLE} printable characters")
        return text

    def _routes(self, name: str, node: yaml.Node, prefix: str) -> tuple[str, ...]:
        routes = []
        for item, text in self._texts(node, "route", name, _ROUTES):
            method, space, path = text.partition(" ")
            # A text without a path is no route, with or without the prefix.
            whole = f"{method} {prefix}{path}" if space and path[:1] == "/" else text
            self._check_route(item, whole)
            routes.append(whole)
        return tuple(routes)

    def _texts(
        self, node: yaml.Node, what: str, where: str, example: str
    ) -> Iterator[tuple[yaml.Node, str]]:
        """Yield the texts in a list, each with its node."""
        if node.tag == _NOTHING:
            return
        if not isinstance(node, yaml.SequenceNode):
            self._note(node, f"the {what}s of {where} must be a list, like {example}")
            return
        for item in node.value:
            text = self._text(item, f"a {what} of {where}")
            if text is not None:
                yield item, text

    def _presets(self, node: yaml.Node | None, defined: set[str]) -> tuple[Preset, ...]:
        offered = defined | set(map(resource_wildcard, defined)) | set(self._taken)
        presets: list[Preset] = []
        for name, key, definition in self._fields(node, "presets"):
            if not (name.isprintable() and name.strip() and len(name) <= _LONGEST_PRESET):
                self._note(
                    key, f"a preset's name must have 1 to {_LONGEST_PRESET} printable characters"
                )
            if len(presets) == _MOST_PRESETS:
                self._note(key, f"there must be at most {_MOST_PRESETS} presets")
            presets.append(self._preset(name, key, definition, offered))
        return tuple(presets)

    def _preset(
        self, name: str, key: yaml.Node, node: yaml.Node, offered: Collection[str]
    ) -> Preset:
        description, before = "", len(self.problems)
        permissions: dict[str, None] = {}
        where = f"the preset {name!r}"
        for field, _, value in self._fields(node, where, ("description", "permissions")):
            if field == "description":
                description = self._printable(value, f"the description of {where}") or ""
                continue
            for item, text in self._texts(value, "permission", where, _PERMISSIONS):
                if text in permissions:
                    self._note(item, f"{text!r} must be given only once")
                else:
                    self._check_chosen(item, text, offered)
                permissions[text] = None
        if len(permissions) > _MOST_CHOSEN:
            self._note(key, f"{where} must have at most {_MOST_CHOSEN} permissions")
        if not permissions and len(self.problems) == before:
            self._note(key, f"{where} must have permissions, like {_PERMISSIONS}")
        return Preset(name, description, tuple(permissions))

    def _check_chosen(self, node: yaml.Node, name: str, offered: Collection[str]) -> None:
        """Note why an access token can't have the permission *name* of a preset."""
        problem = ""
        if name == EVERYTHING:
            problem = "must not be *: only a role can hold everything"
        elif name in NOT_FOR_TOKENS:
            problem = "must be left out: no access token can do it"
        elif is_wildcard(name) and name in map(resource_wildcard, self._taken):
            problem = "must be replaced by names: it covers the control plane's own permissions"
        elif is_wildcard(name) and name not in offered:
            problem = "must be of a resource with permissions in this file"
        elif name not in offered:
            problem = "must be a permission of this file, or one of the control plane's own"
        if problem:
            self._note(node, f"{name!r} {problem}")

    def _check_route(self, node: yaml.Node, text: str) -> None:
        route = self._route(node, text)
        if route is None:
            return
        if route in self._shapes:
            self._note(node, f"{text!r} must not have the same shape as {self._shapes[route]}")
        else:
            self._shapes[route] = f"{text!r} on line {_line(node.start_mark)}"

    def _route(self, node: yaml.Node, text: str) -> Route | None:
        try:
            return Route.parse(text)
        except RouteError as error:
            self._note(node, str(error))
            return None

    def _fields(
        self, node: yaml.Node | None, where: str, allowed: Collection[str] | None = None
    ) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Yield the fields of a mapping once each: the key, its node and the value's node."""
        if node is None or node.tag == _NOTHING:
            return
        if not isinstance(node, yaml.MappingNode):
            self._note(node, f"{where}: must have fields, like 'name: value'")
            return
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._note(key, f"{where}: a field's name must be plain text")
            elif key.value in seen:
                self._note(key, f"{key.value!r} must be given only once")
            elif allowed is not None and key.value not in allowed:
                known = " and ".join(allowed)
                self._note(key, f"{where}: unknown field {key.value!r}; known: {known}")
            else:
                seen.add(key.value)
                yield key.value, key, value

    def _text(self, node: yaml.Node, what: str) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == _TEXT:
            return str(node.value)
        self._note(node, f"{what} must be text; put it in quotes")
        return None

    def _note(self, node: yaml.Node, message: str) -> None:
        self.problems.append((_line(node.start_mark), message))


def _unbounded(text: str) -> Problem | None:
    """The first alias or too deep nesting, which could expand without bounds; None without one."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            return _line(event.start_mark), "must not use aliases (*name)"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                return _line(event.start_mark), "must not be nested so deeply"
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


class _Mark(Protocol):
    """A position in the file, as both PyYAML loaders provide it."""

    line: int


def _line(mark: _Mark | None) -> int:
    return 1 if mark is None else mark.line + 1
