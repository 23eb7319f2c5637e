"""Method and path to the permission they need.

A route is ``METHOD /path/{param}``; ``{param}`` stands for one non-empty segment. A literal beats a
parameter, left to right, and a literal that leads nowhere falls back to the parameter. A route may
be ``/`` or end in ``/``, and then matches exactly that.

A path that two programs could read differently is refused: the classic way round a gateway is a
path that the gateway and the service behind it don't split alike. A parameter's segment is an id to
both, so it may hold more than a literal one: an encoded ``#``, ``;`` or ``%``, and where the
catalogue says that the service takes it for a part of the id, an encoded slash.
"""

import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache, partial
from urllib.parse import unquote_to_bytes

import msgspec

from gatepass.core.reason import Reason

_MEMO_ENTRIES = 4_096
_MEMO_LONGEST = 512

_template = re.compile(r"([A-Z]+(?:-[A-Z]+)*) (/\S*)").fullmatch
_parameter = re.compile(r"\{[A-Za-z_][A-Za-z0-9_-]*\}").fullmatch
# How other programs write parameters and wildcards.
_foreign_parameter = re.compile(r"\*|^:[A-Za-z_]|<[^<>]*>").search
_names = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*").findall

# As it came: what some servers fold or cut a path at, controls, malformed escapes.
_ambiguous_raw = re.compile(r"[\\;#\x00-\x1f\x7f]|%(?![0-9A-Fa-f]{2})").search
# Decoded: what no segment may hold, and what only a parameter's may.
_ambiguous = re.compile(r"[\\\x00-\x1f\x7f-\x9f]").search
_opaque = re.compile(r"[/#;%]").search
# Within a parameter's segment: what would be an empty or dot segment to a server that takes an
# encoded slash for a slash, or cuts at ";" or "#".
_climbing = re.compile(r"(?:^|/)(?:(?:\.\.?)?(?:/|\Z)|\.\.?[;#])").search
# What a server that decodes twice would come upon; the surrogates are bytes that are no UTF-8, but
# a control or the beginning of an overlong "/" or "." to a careless decoder.
_escapes = re.compile(r"(?:%[0-9A-Fa-f]{2})+").finditer
_hidden = re.compile(r"[/\\.%;?#\x00-\x1f\x7f-\x9f\udc80-\udc9f\udcc0\udcc1]").search


class RouteError(ValueError):
    """The text is not a route, or clashes with another one; the message is a sentence about it."""


class Route(msgspec.Struct, frozen=True, gc=False):
    """One route as it matches.

    Attributes:
        method: upper case; GET stands for HEAD too.
        shape: the decoded segments, None where there is a parameter. Two routes with equal method
            and shape would match the same calls.
    """

    method: str
    shape: tuple[str | None, ...]

    @classmethod
    def parse(cls, text: str) -> "Route":
        """Read ``METHOD /path/{param}``. Raises RouteError."""
        match = _template(text)
        if match is None:
            raise RouteError(
                f"{text!r} must be an upper-case method, one space and a path that begins with "
                "a slash, like GET /v1/charges/{id}."
            )
        method, path = match.groups()
        if method == "HEAD":
            raise RouteError(f"{text!r}: HEAD counts as GET, so write GET.")
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


class _Node:
    """A place in the tree of one method's routes."""

    __slots__ = ("encoded_slash", "literals", "parameter", "permission")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.permission: str | None = None
        self.encoded_slash = False


class _Split(msgspec.Struct, frozen=True, gc=False):
    """A path's decoded segments.

    Attributes:
        unusual: it ends in a slash, or a segment holds what only a parameter's may: it can be read
            in more than one way unless a route says that it can't.
        encoded_slash: a segment holds a slash.
    """

    segments: list[str]
    unusual: bool = False
    encoded_slash: bool = False


class Routes:
    """All routes of a catalogue."""

    def __init__(
        self, pairs: Iterable[tuple[str, str]], encoded_slash: Collection[str] = ()
    ) -> None:
        """Take ``("GET /v1/charges/{id}", "charges:get")`` pairs.

        Args:
            encoded_slash: those of the routes whose parameters may hold an encoded slash.

        Raises:
            RouteError: one of them is no route, or two have the same method and shape.
        """
        self._methods: dict[str, _Node] = {}
        self._memos: dict[str, Callable[[str], str | Reason]] = {}
        slashed = frozenset(map(Route.parse, encoded_slash))
        for text, permission in pairs:
            self._add(text, permission, slashed)

    def match(self, method: str, path: str) -> str | Reason:
        """The permission that a call needs.

        Args:
            method: compared exactly, in upper case; HEAD counts as GET.
            path: as it came over the wire, still percent-encoded; from the first ``?`` on it is
                not looked at.

        Returns:
            The permission, or ``Reason.path_ambiguous``, or ``Reason.route_unknown``.
        """
        if "?" in path:
            path = path[: path.index("?")]
        memo = self._memos.get(method)
        # Bounded in number and in size, so that a stranger's paths can't fill the memory.
        if memo is not None and len(path) <= _MEMO_LONGEST:
            return memo(path)
        return _needed(self._methods.get("GET" if method == "HEAD" else method), path)

    def _add(self, text: str, permission: str, slashed: Collection[Route]) -> None:
        route = Route.parse(text)
        node = self._methods.setdefault(route.method, _Node())
        # Only the catalogue's methods: a stranger's own get no memo.
        if route.method not in self._memos:
            self._memos[route.method] = lru_cache(_MEMO_ENTRIES)(partial(_needed, node))
        for literal in route.shape:
            if literal is None:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(literal, _Node())
        if node.permission is not None:
            raise RouteError(f"{text!r} must not have the same shape as another route.")
        node.permission = permission
        node.encoded_slash = route in slashed


def _needed(root: _Node | None, path: str) -> str | Reason:
    split = _split(path)
    if split is None:
        return Reason.path_ambiguous
    found = None if root is None else _find(root, split.segments)
    if found is None or found.permission is None:
        return Reason.path_ambiguous if split.unusual else Reason.route_unknown
    # The route that the service takes is the first that matches, whatever its parameters hold:
    # that one has to let the slash stand, and no other stands in for it.
    if split.encoded_slash and not found.encoded_slash:
        return Reason.path_ambiguous
    return found.permission


def _find(root: _Node, segments: list[str]) -> _Node | None:
    # A node has one place in the tree and is tried at most once for a path, so falling back can't
    # cost more than the catalogue has segments. The last one put down is the first one taken up.
    untried = [(root, 0)]
    while untried:
        node, at = untried.pop()
        if at == len(segments):
            if node.permission is not None:
                return node
            continue
        # What follows a trailing slash is empty, and no parameter.
        if node.parameter is not None and segments[at]:
            untried.append((node.parameter, at + 1))
        literal = node.literals.get(segments[at])
        if literal is not None:
            untried.append((literal, at + 1))
    return None


def _split(path: str) -> _Split | None:
    """Split and decode *path*; None if it can be read in more than one way."""
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
    """Whether decoding *segment* once more would bring about what splits or folds a path."""
    return any(
        _hidden(unquote_to_bytes(run[0]).decode("utf-8", "surrogateescape"))
        for run in _escapes(segment)
    )


def _shape(text: str, raw: str, decoded: str) -> str | None:
    """None for a parameter, else the literal. An encoded brace is a literal one."""
    if _parameter(raw) is not None:
        return None
    if "{" in raw or "}" in raw:
        raise RouteError(
            f"{text!r}: a parameter must be a whole segment, such as {{id}}, named with letters, "
            "digits, '-' and '_'."
        )
    return decoded


def _braced(raw: str) -> str:
    """A segment with another program's parameter, as it is written here."""
    if _foreign_parameter(raw) is None:
        return raw
    # The last name is the parameter's own: <int:id>, *path, :id.
    return f"{{{(_names(raw) or ['name'])[-1]}}}"
