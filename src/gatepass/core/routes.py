"""Maps a method and a path to the catalogue's route, and so to the permission that they need.

A route is ``METHOD /path/{param}``; ``{param}`` matches one non-empty segment. A literal beats a
parameter, left to right, and a literal without a match further on falls back to the parameter. A
route may be ``/`` or end in ``/``, and then matches exactly that.

An ambiguous path is refused: the classic bypass of a gateway is a path that the gateway and the
service behind it parse differently. A parameter's segment is an id to both, so it may hold more
than a literal one: an encoded ``#``, ``;`` or ``%``. It may hold an encoded slash where the
catalogue says that the service treats it as part of the id.
"""

import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache, partial
from itertools import count
from urllib.parse import unquote_to_bytes

import msgspec

from gatepass.core.reason import Reason

_tags = count()
_MEMO_ENTRIES = 4_096
_MEMO_LONGEST = 512

_template = re.compile(r"([A-Z]+(?:-[A-Z]+)*) (/\S*)").fullmatch
_parameter = re.compile(r"\{[A-Za-z_][A-Za-z0-9_-]*\}").fullmatch
# Parameters and wildcards in the syntax of other programs.
_foreign_parameter = re.compile(r"\*|^:[A-Za-z_]|<[^<>]*>").search
_names = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*").findall

# As received: characters at which some servers fold or cut a path, controls, malformed escapes.
_ambiguous_raw = re.compile(r"[\\;#\x00-\x1f\x7f]|%(?![0-9A-Fa-f]{2})").search
# Decoded: characters that no segment may hold, and those that only a parameter's may.
_ambiguous = re.compile(r"[\\\x00-\x1f\x7f-\x9f]").search
_opaque = re.compile(r"[/#;%]").search
# Within a parameter's segment: an empty or dot segment for a server that decodes the slash, or cuts
# at ";" or "#".
_climbing = re.compile(r"(?:^|/)(?:(?:\.\.?)?(?:/|\Z)|\.\.?[;#])").search
# What a server that decodes twice would find. The surrogates are bytes that are no UTF-8, but a
# control or the start of an overlong "/" or "." to a careless decoder.
_escapes = re.compile(r"(?:%[0-9A-Fa-f]{2})+").finditer
_hidden = re.compile(r"[/\\.%;?#\x00-\x1f\x7f-\x9f\udc80-\udc9f\udcc0\udcc1]").search


class RouteError(ValueError):
    """The text isn't a route, or conflicts with another one; the message is a sentence."""


class Route(msgspec.Struct, frozen=True, gc=False):
    """One parsed route.

    Attributes:
        method: upper case; GET matches HEAD as well.
        shape: the decoded segments, None for a parameter. Two routes with equal method and shape
            would match the same calls.
    """

    method: str
    shape: tuple[str | None, ...]

    @classmethod
    def parse(cls, text: str) -> "Route":
        """Parse ``METHOD /path/{param}``. Raises RouteError."""
        match = _template(text)
        if match is None:
            raise RouteError(
                f"{text!r} must be an upper-case method, one space and a path that begins with "
                "a slash, like GET /v1/charges/{id}."
            )
        method, path = match.groups()
        if method == "HEAD":
            raise RouteError(f"{text!r}: the method must be GET, which matches HEAD as well.")
        if "?" in path:
            raise RouteError(f"{text!r} must have no query: leave out '?' and the rest.")
        raw = path[1:].split("/")
        if any(map(_foreign_parameter, raw)):
            written = "/".join(map(_braced, raw))
            raise RouteError(
                f"{text!r}: a parameter must be a whole segment in braces, and stands for one "
                f"segment alone. Write {method} /{written}."
            )
        split = _split(path)
        if split is None or any(map(_opaque, split.segments)):
            raise RouteError(
                f"{text!r} could never match: its path must have no empty segment before the "
                "end, no '.' or '..' segment, no character outside ASCII that isn't "
                "percent-encoded, and none of / \\ ; # % within a segment."
            )
        return cls(method, tuple(map(partial(_shape, text), raw, split.segments)))


class RequestLine(msgspec.Struct, frozen=True, gc=False):
    """The method and path of a call, to be matched with the routes that its decision reads."""

    method: str
    path: str


class CatalogueRoute(msgspec.Struct, frozen=True, gc=False):
    """A route with its permission, as a catalogue names it.

    Attributes:
        text: ``GET /v1/charges/{id}``.
        method, path: its two parts. Unlike a call's they are no caller's text.
        permission: what a call on it needs.
    """

    text: str
    method: str
    path: str
    permission: str


class _Node:
    """A node in the tree of one method's routes."""

    __slots__ = ("encoded_slash", "literals", "parameter", "route")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.route: CatalogueRoute | None = None
        self.encoded_slash = False


class _Split(msgspec.Struct, frozen=True, gc=False):
    """A path's decoded segments.

    Attributes:
        unusual: it ends in a slash, or a segment holds characters that only a parameter's may. It
            is ambiguous unless a route matches.
        encoded_slash: a segment holds a slash.
    """

    segments: list[str]
    unusual: bool = False
    encoded_slash: bool = False


class Routes:
    """All routes of a catalogue.

    Attributes:
        tag: tells these from all others of the process, also from equal ones.
    """

    def __init__(
        self, pairs: Iterable[tuple[str, str]], encoded_slash: Collection[str] = ()
    ) -> None:
        """Build the tree of ``("GET /v1/charges/{id}", "charges:get")`` pairs.

        Args:
            encoded_slash: the routes whose parameters may hold an encoded slash.

        Raises:
            RouteError: one isn't a route, or two have the same method and shape.
        """
        self.tag = str(next(_tags))
        self._methods: dict[str, _Node] = {}
        self._memos: dict[str, Callable[[str], CatalogueRoute | Reason]] = {}
        slashed = frozenset(map(Route.parse, encoded_slash))
        for text, permission in pairs:
            self._add(text, permission, slashed)

    def match(self, method: str, path: str) -> CatalogueRoute | Reason:
        """The route of a call.

        Args:
            method: compared exactly, in upper case; HEAD counts as GET.
            path: as received, still percent-encoded; ignored from the first ``?``.

        Returns:
            The route, or ``Reason.path_ambiguous``, or ``Reason.route_unknown``.
        """
        if "?" in path:
            path = path[: path.index("?")]
        memo = self._memos.get(method)
        # Bounded in number and in size, so that a stranger's paths can't fill the memory.
        if memo is not None and len(path) <= _MEMO_LONGEST:
            return memo(path)
        return _matched(self._methods.get("GET" if method == "HEAD" else method), path)

    def _add(self, text: str, permission: str, slashed: Collection[Route]) -> None:
        route = Route.parse(text)
        node = self._methods.setdefault(route.method, _Node())
        # Only for the catalogue's methods, so that strangers can't add caches.
        if route.method not in self._memos:
            self._memos[route.method] = lru_cache(_MEMO_ENTRIES)(partial(_matched, node))
        for literal in route.shape:
            if literal is None:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(literal, _Node())
        if node.route is not None:
            raise RouteError(f"{text!r} must not have the same shape as another route.")
        method, _, path = text.partition(" ")
        node.route = CatalogueRoute(text, method, path, permission)
        node.encoded_slash = route in slashed


def _matched(root: _Node | None, path: str) -> CatalogueRoute | Reason:
    split = _split(path)
    if split is None:
        return Reason.path_ambiguous
    found = None if root is None else _find(root, split.segments)
    if found is None or found.route is None:
        return Reason.path_ambiguous if split.unusual else Reason.route_unknown
    # The service selects the first route that matches, whatever its parameters hold. So that route
    # must allow the slash; no other may replace it.
    if split.encoded_slash and not found.encoded_slash:
        return Reason.path_ambiguous
    return found.route


def _find(root: _Node, segments: list[str]) -> _Node | None:
    # A node is tried at most once for a path, so falling back can't cost more than the catalogue's
    # number of segments. Depth first: the last node pushed is the first one popped.
    untried = [(root, 0)]
    while untried:
        node, at = untried.pop()
        if at == len(segments):
            if node.route is not None:
                return node
            continue
        # The segment after a trailing slash is empty, and matches no parameter.
        if node.parameter is not None and segments[at]:
            untried.append((node.parameter, at + 1))
        literal = node.literals.get(segments[at])
        if literal is not None:
            untried.append((literal, at + 1))
    return None


def _split(path: str) -> _Split | None:
    """Split and decode *path*; None if it is ambiguous."""
    if path[:1] != "/" or not path.isascii() or _ambiguous_raw(path):
        return None
    segments = path[1:].split("/")
    if "%" in path:
        try:
            segments = [unquote_to_bytes(segment).decode("utf-8") for segment in segments]
        except UnicodeDecodeError:
            return None
    unusual = not segments[-1]
    for segment in segments[:-1] if unusual else segments:
        if segment in ("", ".", "..") or _ambiguous(segment):
            return None
        if _opaque(segment):
            if _climbing(segment) or _hides(segment):
                return None
            unusual = True
    return _Split(segments, unusual, unusual and any("/" in segment for segment in segments))


def _hides(segment: str) -> bool:
    """Whether decoding *segment* again would yield characters that split or fold a path."""
    return any(
        _hidden(unquote_to_bytes(run[0]).decode("utf-8", "surrogateescape"))
        for run in _escapes(segment)
    )


def _shape(text: str, raw: str, decoded: str) -> str | None:
    """None for a parameter, else the literal. An encoded brace is a literal brace."""
    if _parameter(raw) is not None:
        return None
    if "{" in raw or "}" in raw:
        raise RouteError(
            f"{text!r}: a parameter must be a whole segment, such as {{id}}, named with letters, "
            "digits, '-' and '_'."
        )
    return decoded


def _braced(raw: str) -> str:
    """A segment with another program's parameter, in this module's syntax."""
    if _foreign_parameter(raw) is None:
        return raw
    # The last name is the parameter's: <int:id>, *path, :id.
    return f"{{{(_names(raw) or ['name'])[-1]}}}"
