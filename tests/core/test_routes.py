"""Method and path to permission, held against the vectors and a naive reading of the rules."""

import re
import unicodedata
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.decision import Reason
from gatepass.core.routes import CatalogueRoute, Route, RouteError, Routes
from tests.support.matched import matched
from tests.support.vector_files import cases, load

SENTENCES = {
    "form": "must be an upper-case method, one space and a path",
    "head": "must be GET",
    "query": "must have no query",
    "path": "could never match",
    "parameter": "a parameter must be a whole segment, such as",
    "foreign": "a parameter must be a whole segment in braces",
    "shape": "same shape",
}
VECTORS = load("routes.yaml")
SLASHES = VECTORS["slashes"]
catalogue = Routes(VECTORS["catalogue"].items())
slashes = Routes(SLASHES["routes"].items(), SLASHES["encoded_slash"])
pieces = st.sampled_from(
    [
        *"abz/.%;#\\?{}~ \0\x1f\x7f\u0085\u00e9\ud800",
        *("%2e", "%2F", "%41", "%C3%A9", "%c2%80", "%25", "%23", "%3B"),
        *("%252e", "%2541", "%25c2%2580", "%25e9", "v1/charges/"),
    ]
)
paths = st.lists(pieces, max_size=8).map("".join)
likely_paths = paths.map("/{}".format) | st.text(st.characters(), max_size=10).map("/{}".format)


def control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def once(text: str) -> str:
    """Percent-decoded once, bytes that are no UTF-8 as surrogates."""
    escaped = re.sub(
        b"%([0-9a-fA-F]{2})", lambda escape: bytes([int(escape[1], 16)]), text.encode()
    )
    return escaped.decode("utf-8", "surrogateescape")


def hides(decoded: str) -> bool:
    """Whether a second decoding would bring about what splits a path, or nonsense that could."""
    bare, twice = re.sub("%[0-9a-fA-F]{2}", "", decoded), once(decoded)
    dangerous = [c for c in twice if c in "/\\.%;?#" or control(c) or "\udc80" <= c <= "\udc9f"]
    return any(twice.count(character) > bare.count(character) for character in dangerous)


def ambiguous(path: str, templates: Collection[str]) -> bool:
    """The rule's clauses on a path without query, one after the other."""
    if any(ord(character) > 127 for character in path) or not path.startswith("/"):
        return True
    if any(character in "\\;#" or control(character) for character in path):
        return True
    if re.search("%(?![0-9a-fA-F][0-9a-fA-F])", path):
        return True
    segments = [once(segment) for segment in path[1:].split("/")]
    opaque = False
    for segment in segments[:-1] if segments[-1] == "" else segments:
        if segment in ("", ".", "..") or any("\udc80" <= c <= "\udcff" for c in segment):
            return True
        if "/" in segment or any(character == "\\" or control(character) for character in segment):
            return True
        if any(character in "#;%" for character in segment):
            opaque = True
            if hides(segment) or segment.split(";")[0].split("#")[0] in (".", ".."):
                return True
    if opaque or segments[-1] == "":
        return not any(fits(template, segments) for template in templates)
    return False


def fits(template: str, segments: list[str]) -> bool:
    own = template[1:].split("/")
    return len(own) == len(segments) and all(
        sent != "" if segment[:1] == "{" else once(segment) == sent
        for segment, sent in zip(own, segments, strict=True)
    )


@pytest.mark.parametrize("case", cases("routes.yaml", "calls"))
def test_calls(case: dict[str, str]) -> None:
    """A call needs one permission, or is refused for one reason; asked again, the same."""
    method, _, path = case["call"].partition(" ")
    for _ in range(2):
        outcome = matched(catalogue, method, path)
        assert outcome == case["is"]
        assert isinstance(outcome, Reason) == (case["is"] in ("path_ambiguous", "route_unknown"))


@pytest.mark.parametrize("case", SLASHES["calls"], ids=lambda case: case["shows"])
def test_encoded_slashes(case: dict[str, str]) -> None:
    """An encoded slash stands in the parameters of those routes that let it, and nowhere else."""
    method, _, path = case["call"].partition(" ")
    assert matched(slashes, method, path) == case["is"]
    if "%2f" in path.lower():
        without = Routes(SLASHES["routes"].items())
        assert matched(without, method, path) is Reason.path_ambiguous


@pytest.mark.parametrize("case", cases("routes.yaml", "broken"))
def test_broken_routes(case: dict[str, Any]) -> None:
    """A route that can't match, or matches what another one does, is an error that says why."""
    *good, bad = case["routes"]
    Routes((route, "charges:get") for route in good)
    with pytest.raises(RouteError, match=SENTENCES[case["failure"]]) as refused:
        Routes((route, "charges:get") for route in (*good, bad))
    if "right" in case:
        assert f"Write {case['right']}." in str(refused.value)
        Route.parse(case["right"])


def test_methods_are_apart() -> None:
    """The same path under two methods is two routes."""
    routes = Routes([("GET /a/b", "a:get"), ("POST /a/{x}", "a:create")])
    assert matched(routes, "POST", "/a/b") == "a:create"
    assert matched(routes, "GET", "/a/c") is Reason.route_unknown


def test_a_match_is_the_catalogues_own_text() -> None:
    """Not the call's, whose path may hold anything; HEAD is the route's GET."""
    routes = Routes([("GET /v1/{id}", "a:get"), ("GET /v1/b", "a:get")])
    found = routes.match("HEAD", "/v1/secret?and=more")
    assert found == CatalogueRoute("GET /v1/{id}", "GET", "/v1/{id}", "a:get")
    assert routes.match("GET", "/v1/b") != found


def test_no_routes_match_nothing() -> None:
    """An empty catalogue knows no route."""
    assert matched(Routes([]), "GET", "/a") is Reason.route_unknown
    assert matched(Routes([]), "GET", "/a/") is Reason.path_ambiguous


def test_a_route_as_it_matches() -> None:
    """The parsed form has the decoded literals, and None for each parameter."""
    assert Route.parse("GET /v1/%63/{id}/%7Bid%7D") == Route("GET", ("v1", "c", None, "{id}"))


@given(paths | likely_paths)
def test_ambiguity_is_what_the_rule_says(path: str) -> None:
    """Every clause and no other makes a path ambiguous; no path raises."""
    for method in ("GET", "PUT", "BREW"):
        templates = [
            route.removeprefix(f"{method} ")
            for route in VECTORS["catalogue"]
            if route.startswith(f"{method} ")
        ]
        outcome = matched(catalogue, method, path)
        assert (outcome is Reason.path_ambiguous) == ambiguous(path.split("?")[0], templates)


@given(likely_paths, st.text(st.characters(), max_size=8))
def test_the_query_is_never_looked_at(path: str, query: str) -> None:
    """Whatever follows the first question mark changes nothing."""
    assert matched(catalogue, "GET", f"{path}?{query}") == matched(catalogue, "GET", f"{path}?")


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
    found = matched(routes, "GET", "/" + "/".join(path))
    expected = best(shapes, path)
    assert found == (Reason.route_unknown if expected is None else "/".join(expected))
    assert matched(routes, "HEAD", "/" + "/".join(path)) == found
    assert matched(routes, "POST", "/" + "/".join(path)) is Reason.route_unknown


def test_the_memory_of_paths_is_bounded() -> None:
    """A stranger's paths neither fill the memory nor change an answer."""
    routes = Routes([("GET /v1/{id}", "a:get")])
    for number in range(10_000):
        assert matched(routes, "GET", f"/v1/{number}") == "a:get"
    memo: Any = routes._memos["GET"]
    before = memo.cache_info().currsize
    assert before <= 4_096
    assert matched(routes, "GET", "/v1/" + "x" * 10_000) == "a:get"
    assert matched(routes, "X" * 10_000, "/v1/x") is Reason.route_unknown
    assert (memo.cache_info().currsize, list(routes._memos)) == (before, ["GET"])


def test_falling_back_stays_cheap() -> None:
    """Routes made to be tried in every order are not: each place in the tree is tried once."""
    depth = 14
    shapes = [format(number, f"0{depth}b") for number in range(2**9)]
    routes = Routes(
        ("GET /" + "/".join("a" if bit == "0" else "{x}" for bit in shape) + "/end", "a:get")
        for shape in shapes
    )
    assert matched(routes, "GET", "/a" * depth + "/nowhere") is Reason.route_unknown


@pytest.mark.parametrize("piece", ["/", "/a", "a", "%41", "%", "/.", "/%2e", "\ud800", "\0", "?"])
def test_absurdly_long_paths_are_cheap(piece: str) -> None:
    """A megabyte of path is answered (at a cost that grew with its square it would hang here)."""
    outcome = matched(catalogue, "GET", "/x" + piece * (1_000_000 // len(piece)))
    assert outcome in (Reason.path_ambiguous, Reason.route_unknown, "pages:get")


def test_a_route_of_very_many_segments() -> None:
    """Depth is not the interpreter's stack."""
    path = "/a" * 5_000
    assert matched(Routes([(f"GET {path}", "a:get")]), "GET", path) == "a:get"
