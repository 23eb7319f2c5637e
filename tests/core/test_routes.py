"""Method and path to permission, held against the vectors and a naive reading of the rules."""

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.decision import Reason
from gatepass.core.routes import Route, RouteError, Routes
from vector_files import cases, load

SENTENCES = {
    "form": "is not a route",
    "head": "write GET",
    "query": "query is never looked at",
    "path": "could never match",
    "parameter": "a parameter is a whole segment",
    "shape": "same shape",
}
catalogue = Routes(load("routes.yaml")["catalogue"].items())
pieces = st.sampled_from(
    [*"abz/.%;#\\?{}~ \0\x1f\x7f\u0085\u00e9\ud800", "%2e", "%2F", "%41", "%C3%A9", "%c2%80", "%25"]
)
paths = st.lists(pieces, max_size=8).map("".join)
likely_paths = paths.map("/{}".format) | st.text(st.characters(), max_size=10).map("/{}".format)


def ambiguous(path: str) -> bool:
    """The rule's clauses on a path without query, one after the other."""
    if any(ord(character) > 127 for character in path) or not path.startswith("/"):
        return True
    for segment in path[1:].split("/"):
        if re.search("%(?![0-9a-fA-F][0-9a-fA-F])", segment):
            return True
        escaped = re.sub("%(..)", lambda escape: chr(int(escape[1], 16)), segment, flags=re.DOTALL)
        try:
            decoded = escaped.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            return True
        if segment in ("", ".", "..") or decoded in ("", ".", ".."):
            return True
        if any(c in "/\\;#%" or unicodedata.category(c) == "Cc" for c in decoded):
            return True
    return False


@pytest.mark.parametrize("case", cases("routes.yaml", "calls"))
def test_calls(case: dict[str, str]) -> None:
    """A call needs one permission, or is refused for one reason; asked again, the same."""
    method, _, path = case["call"].partition(" ")
    for _ in range(2):
        outcome = catalogue.match(method, path)
        assert outcome == case["is"]
        assert isinstance(outcome, Reason) == (case["is"] in ("path_ambiguous", "route_unknown"))


@pytest.mark.parametrize("case", cases("routes.yaml", "broken"))
def test_broken_routes(case: dict[str, Any]) -> None:
    """A route that can't match, or matches what another one does, is an error that says why."""
    *good, bad = case["routes"]
    Routes((route, "charges:get") for route in good)
    with pytest.raises(RouteError, match=SENTENCES[case["failure"]]):
        Routes((route, "charges:get") for route in (*good, bad))


def test_methods_are_apart() -> None:
    """The same path under two methods is two routes."""
    routes = Routes([("GET /a/b", "a:get"), ("POST /a/{x}", "a:create")])
    assert routes.match("POST", "/a/b") == "a:create"
    assert routes.match("GET", "/a/c") is Reason.route_unknown


def test_no_routes_match_nothing() -> None:
    """An empty catalogue knows no route."""
    assert Routes([]).match("GET", "/a") is Reason.route_unknown
    assert Routes([]).match("GET", "/a/") is Reason.path_ambiguous


def test_a_route_as_it_matches() -> None:
    """The parsed form has the decoded literals, and None for each parameter."""
    assert Route.parse("GET /v1/%63/{id}/%7Bid%7D") == Route("GET", ("v1", "c", None, "{id}"))


@given(paths | likely_paths)
def test_ambiguity_is_what_the_rule_says(path: str) -> None:
    """Every clause and no other makes a path ambiguous; no path raises."""
    outcome = catalogue.match("GET", path)
    assert (outcome is Reason.path_ambiguous) == ambiguous(path.split("?")[0])


@given(likely_paths, st.text(st.characters(), max_size=8))
def test_the_query_is_never_looked_at(path: str, query: str) -> None:
    """Whatever follows the first question mark changes nothing."""
    assert catalogue.match("GET", f"{path}?{query}") == catalogue.match("GET", f"{path}?")


segments = st.sampled_from(["a", "b", "c"])
templates = st.lists(segments | st.just("{x}"), min_size=1, max_size=4).map(tuple)


def best(shapes: set[tuple[str, ...]], path: list[str]) -> tuple[str, ...] | None:
    """Of all templates that match, the one with literals furthest to the left."""
    matching = [
        shape
        for shape in shapes
        if len(shape) == len(path)
        and all(own in ("{x}", sent) for own, sent in zip(shape, path, strict=True))
    ]
    return min(matching, key=lambda shape: [own == "{x}" for own in shape], default=None)


@given(st.sets(templates, max_size=12), st.lists(segments, min_size=1, max_size=4))
def test_matching_is_the_naive_one(shapes: set[tuple[str, ...]], path: list[str]) -> None:
    """The tree finds what trying every route, and preferring literals left to right, finds."""
    routes = Routes(("GET /" + "/".join(shape), "/".join(shape)) for shape in shapes)
    found = routes.match("GET", "/" + "/".join(path))
    expected = best(shapes, path)
    assert found == (Reason.route_unknown if expected is None else "/".join(expected))
    assert routes.match("HEAD", "/" + "/".join(path)) == found
    assert routes.match("POST", "/" + "/".join(path)) is Reason.route_unknown


def test_the_memory_of_paths_is_bounded() -> None:
    """A stranger's paths neither fill the memory nor change an answer."""
    routes = Routes([("GET /v1/{id}", "a:get")])
    for number in range(10_000):
        assert routes.match("GET", f"/v1/{number}") == "a:get"
    memo = routes._memos["GET"]
    assert len(memo) <= 4_096
    before = len(memo)
    assert routes.match("GET", "/v1/" + "x" * 10_000) == "a:get"
    assert routes.match("X" * 10_000, "/v1/x") is Reason.route_unknown
    assert (len(memo), list(routes._memos)) == (before, ["GET"])


def test_falling_back_stays_cheap() -> None:
    """Routes made to be tried in every order are not: each place in the tree is tried once."""
    depth = 14
    shapes = [format(number, f"0{depth}b") for number in range(2**9)]
    routes = Routes(
        ("GET /" + "/".join("a" if bit == "0" else "{x}" for bit in shape) + "/end", "a:get")
        for shape in shapes
    )
    assert routes.match("GET", "/a" * depth + "/nowhere") is Reason.route_unknown


@pytest.mark.parametrize("piece", ["/", "/a", "a", "%41", "%", "/.", "/%2e", "\ud800", "\0", "?"])
def test_absurdly_long_paths_are_cheap(piece: str) -> None:
    """A megabyte of path is answered (at a cost that grew with its square it would hang here)."""
    outcome = catalogue.match("GET", "/x" + piece * (1_000_000 // len(piece)))
    assert outcome in (Reason.path_ambiguous, Reason.route_unknown, "pages:get")


def test_a_route_of_very_many_segments() -> None:
    """Depth is not the interpreter's stack."""
    path = "/a" * 5_000
    assert Routes([(f"GET {path}", "a:get")]).match("GET", path) == "a:get"
