"""Parser of a catalogue's YAML that reports every problem with its line.

The file is parsed into YAML nodes, not values: nodes know their lines, keep duplicate keys, and
don't turn texts into dates or numbers. Aliases are refused, because a few lines of them can expand
to gigabytes.
"""

from collections.abc import Collection, Iterator
from operator import itemgetter
from typing import Protocol

import msgspec
import yaml

from gatepass.core.permissions import is_permission
from gatepass.core.routes import Route, RouteError

_TEXT = "tag:yaml.org,2002:str"
_NOTHING = "tag:yaml.org,2002:null"
_LARGEST = 1_048_576
_DEEPEST = 8
_LONGEST_TITLE = 200
# libyaml, if PyYAML was built with it: the same nodes, ten times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Problem = tuple[int, str]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One permission as the file defines it."""

    name: str
    title: str
    routes: tuple[str, ...]


class Contents(msgspec.Struct, frozen=True, gc=False):
    """The contents of a file.

    Attributes:
        encoded_slash: the routes whose parameters may hold an encoded slash.
    """

    entries: tuple[Entry, ...] = ()
    encoded_slash: tuple[str, ...] = ()


def read_contents(text: str, taken: Collection[str]) -> tuple[Contents, list[Problem]]:
    """Parse a catalogue file.

    Args:
        text: the complete file.
        taken: names that the file must not define.

    Returns:
        The contents, and the (line, message) of each problem. Ignore the contents if there is one.
    """
    if len(text) > _LARGEST:
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


class _Reader:
    """Walks the nodes and collects the problems."""

    def __init__(self, taken: Collection[str]) -> None:
        self.problems: list[Problem] = []
        self._taken = taken
        self._shapes: dict[Route, str] = {}

    def document(self, root: yaml.Node | None) -> Contents:
        known = ("permissions", "options")
        fields = {key: value for key, _, value in self._fields(root, "the file", known)}
        # Permissions first: options refer to their routes.
        entries = self._permissions(fields.get("permissions"))
        return Contents(entries, self._options(fields.get("options")))

    def _permissions(self, node: yaml.Node | None) -> tuple[Entry, ...]:
        entries = []
        for name, key, definition in self._fields(node, "permissions"):
            if not is_permission(name):
                self._note(key, f"{name!r} must be a permission such as charges:create")
            elif name in self._taken:
                self._note(key, f"{name} must not be one of the control plane's own permissions")
            entries.append(self._entry(name, definition))
        return tuple(entries)

    def _options(self, node: yaml.Node | None) -> tuple[str, ...]:
        for _, _, value in self._fields(node, "options", ("encoded_slash",)):
            routes = []
            for item, text in self._texts("encoded_slash", value):
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

    def _entry(self, name: str, node: yaml.Node) -> Entry:
        title = name
        routes: tuple[str, ...] = ()
        for key, _, value in self._fields(node, name, ("title", "routes")):
            if key == "title":
                title = self._title(name, value)
            else:
                routes = self._routes(name, value)
        return Entry(name, title, routes)

    def _title(self, name: str, node: yaml.Node) -> str:
        title = self._text(node, f"the title of {name}")
        if title is not None and not (title.isprintable() and 1 <= len(title) <= _LONGEST_TITLE):
            self._note(
                node, f"the title of {name} must have 1 to {_LONGEST_TITLE} printable characters"
            )
        return title or name

    def _routes(self, name: str, node: yaml.Node) -> tuple[str, ...]:
        routes = []
        for item, text in self._texts(name, node):
            self._check_route(item, text)
            routes.append(text)
        return tuple(routes)

    def _texts(self, where: str, node: yaml.Node) -> Iterator[tuple[yaml.Node, str]]:
        """Yield the routes in a list, each with its node."""
        if node.tag == _NOTHING:
            return
        if not isinstance(node, yaml.SequenceNode):
            self._note(
                node, f'the routes of {where} must be a list, like ["GET /v1/charges/{{id}}"]'
            )
            return
        for item in node.value:
            text = self._text(item, f"a route of {where}")
            if text is not None:
                yield item, text

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
