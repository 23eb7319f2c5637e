"""Method and path to the permission they need.

A route is ``METHOD /path/{param}``; ``{param}`` stands for one non-empty segment. A literal beats a
parameter, left to right, and a literal that leads nowhere falls back to the parameter. A path that
two programs could read differently is refused before anything is matched: the classic way round a
gateway is a path that the gateway and the service behind it don't split alike.
"""

import re
from collections.abc import Iterable
from functools import partial
from urllib.parse import unquote_to_bytes

import msgspec

from gatepass.core.reason import Reason

_MEMO_ENTRIES = 4_096
_MEMO_LONGEST = 512

_template = re.compile(r"([A-Z]+(?:-[A-Z]+)*) (/\S*)").fullmatch
_parameter = re.compile(r"\{[A-Za-z_][A-Za-z0-9_-]*\}").fullmatch
# Slashes that were encoded, what some servers cut at or fold, what is still encoded, and controls.
_ambiguous = re.compile(r"[/\\;#%\x00-\x1f\x7f-\x9f]").search


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
                f"{text!r} is not a route. Write an upper-case method, one space and a path "
                "that begins with a slash, like GET /v1/charges/{id}."
            )
        method, path = match.groups()
        if method == "HEAD":
            raise RouteError(f"{text!r}: HEAD counts as GET, so write GET.")
        if "?" in path:
            raise RouteError(f"{text!r}: a query is never looked at; leave out '?' and the rest.")
        segments = _segments(path)
        if segments is None:
            raise RouteError(
                f"{text!r} could never match: its path has an empty, '.' or '..' segment, a "
                "trailing slash, a character outside ASCII that isn't percent-encoded, or one of "
                "/ \\ ; # % within a segment."
            )
        raw = path[1:].split("/")
        return cls(method, tuple(map(partial(_shape, text), raw, segments)))


class _Node:
    """A place in the tree of one method's routes."""

    __slots__ = ("literals", "parameter", "permission")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.permission: str | None = None


class Routes:
    """All routes of a catalogue."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take ``("GET /v1/charges/{id}", "charges:get")`` pairs.

        Raises:
            RouteError: one of them is no route, or two have the same method and shape.
        """
        self._methods: dict[str, _Node] = {}
        self._memos: dict[str, dict[str, str | Reason]] = {}
        for text, permission in pairs:
            self._add(text, permission)

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
        if memo is None:
            return self._match(method, path)
        known = memo.get(path)
        if known is not None:
            return known
        outcome = self._match(method, path)
        # Bounded in number and in size, so that a stranger's paths can't fill the memory.
        if len(path) <= _MEMO_LONGEST:
            if len(memo) >= _MEMO_ENTRIES:
                memo.clear()
            memo[path] = outcome
        return outcome

    def _match(self, method: str, path: str) -> str | Reason:
        segments = _segments(path)
        if segments is None:
            return Reason.path_ambiguous
        root = self._methods.get("GET" if method == "HEAD" else method)
        permission = None if root is None else _find(root, segments)
        return Reason.route_unknown if permission is None else permission

    def _add(self, text: str, permission: str) -> None:
        route = Route.parse(text)
        node = self._methods.setdefault(route.method, _Node())
        # Only the catalogue's methods: a stranger's own get no memo.
        self._memos.setdefault(route.method, {})
        for literal in route.shape:
            if literal is None:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(literal, _Node())
        if node.permission is not None:
            raise RouteError(f"{text!r} has the same shape as another route.")
        node.permission = permission


def _find(root: _Node, segments: list[str]) -> str | None:
    # A node has one place in the tree and is tried at most once for a path, so falling back can't
    # cost more than the catalogue has segments. The last one put down is the first one taken up.
    untried = [(root, 0)]
    while untried:
        node, at = untried.pop()
        if at == len(segments):
            if node.permission is not None:
                return node.permission
            continue
        if node.parameter is not None:
            untried.append((node.parameter, at + 1))
        literal = node.literals.get(segments[at])
        if literal is not None:
            untried.append((literal, at + 1))
    return None


def _segments(path: str) -> list[str] | None:
    """The decoded segments of *path*, or None if it can be read in more than one way."""
    if path[:1] != "/" or not path.isascii():
        return None
    segments = path[1:].split("/")
    if "%" in path:
        try:
            # A "." is still one after decoding, and a malformed escape keeps its "%": both are seen
            # below, where there is one look at what came of either.
            segments = [unquote_to_bytes(segment).decode("utf-8") for segment in segments]
        except UnicodeDecodeError:
            return None
    if any(segment in ("", ".", "..") or _ambiguous(segment) for segment in segments):
        return None
    return segments


def _shape(text: str, raw: str, decoded: str) -> str | None:
    """None for a parameter, else the literal. An encoded brace is a literal one."""
    if _parameter(raw) is not None:
        return None
    if "{" in raw or "}" in raw:
        raise RouteError(
            f"{text!r}: a parameter is a whole segment, such as {{id}}, named with letters, "
            "digits, '-' and '_'."
        )
    return decoded
