"""Permission names, wildcards, and the algebra that decisions rest on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.permissions import (
    covers,
    effective,
    is_permission,
    is_wildcard,
    resource_wildcard,
)

resources = st.sampled_from(["charges", "charges-old", "users", "a"])
actions = st.sampled_from(["get", "create", "get-all"])
concrete = st.builds("{}:{}".format, resources, actions)
wildcards = resources.map("{}:*".format)
wanted = concrete | wildcards
role_names = st.frozensets(wanted | st.just("*"), max_size=6)
chosen_names = st.frozensets(wanted, max_size=6)
anything = st.text(st.characters(), max_size=12) | st.text("ab-:*A_ ", max_size=6)


@pytest.mark.parametrize("name", ["charges:create", "a:b", "0:1", "access-tokens:get", "-:-"])
def test_permissions(name: str) -> None:
    """Lower case, digits and hyphens on both sides of one colon."""
    assert is_permission(name)
    assert not is_wildcard(name)


@pytest.mark.parametrize("name", ["charges:*", "a:*", "access-tokens:*"])
def test_wildcards(name: str) -> None:
    """All actions of one resource."""
    assert is_wildcard(name)
    assert not is_permission(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ":", "*", "*:*", "*:get", "charges", "charges:", ":get", "charges::get", "a:b:c"),
        *("Charges:get", "charges:GET", "charges:get ", " charges:get", "charges:get\n"),
        *("charges:get\0", "char_ges:get", "charges:ge*", "charges:**", "ch\u00e4rges:get"),
        *("charges:\u0661", "charges:*\n", "charges.get", "charges:get,charges:create"),
        *(None, 0, True, b"charges:get", ["charges:get"], {"charges:get": 1}),
    ],
)
def test_neither(name: object) -> None:
    """Anything else is no name, also what JSON may bring along."""
    assert not is_permission(name)
    assert not is_wildcard(name)


@pytest.mark.parametrize(
    ("held", "name", "covered"),
    [
        (["charges:get"], "charges:get", True),
        (["charges:get"], "charges:create", False),
        (["charges:*"], "charges:get", True),
        (["charges:*"], "charges:invented-tomorrow", True),
        (["charges:*"], "charges:*", True),
        (["charges:*"], "charges-old:get", False),
        (["charges-old:*"], "charges:get", False),
        (["charges:get", "charges:create"], "charges:*", False),
        (["*"], "charges:get", True),
        (["*"], "charges:*", True),
        (["*"], "*", True),
        (["charges:*"], "*", False),
        (["*"], "", False),
        (["*"], "charges", False),
        (["*"], "*:*", False),
        (["*"], "charges:GET", False),
        (["charges:*"], "charges:get:all", False),
        (["charges:*"], "charges:ge*", False),
        ([], "charges:get", False),
        ([], "*", False),
    ],
)
def test_covers(held: list[str], name: str, covered: bool) -> None:
    """What someone who holds *held* has; a malformed name is nobody's."""
    assert covers(held, name) == covered
    assert covers(frozenset(held), name) == covered


@pytest.mark.parametrize(
    ("chosen", "role", "counts"),
    [
        (["charges:get"], ["charges:get"], ("charges:get",)),
        (["charges:*"], ["charges:get"], ("charges:get",)),
        (["charges:*"], ["charges:get", "users:get"], ("charges:get",)),
        (["charges:*"], ["charges:*", "charges:get"], ("charges:*",)),
        (["charges:get"], ["charges:*"], ("charges:get",)),
        (["charges:get", "users:*"], ["*"], ("charges:get", "users:*")),
        (["users:get", "charges:get"], ["*"], ("charges:get", "users:get")),
        (["charges:*"], ["charges-old:get"], ()),
        (["*"], ["charges:get", "users:*"], ("charges:get", "users:*")),
        (["*"], ["*"], ("*",)),
        ([], ["*"], ()),
        (["charges:get"], [], ()),
    ],
)
def test_effective(chosen: list[str], role: list[str], counts: tuple[str, ...]) -> None:
    """What counts of a choice under a role."""
    assert effective(chosen, role) == counts


@given(chosen_names | role_names, role_names, wanted)
def test_effective_is_the_intersection(
    chosen: frozenset[str], role: frozenset[str], name: str
) -> None:
    """One holds effectively what both the choice and the role cover, no more and no less."""
    assert covers(effective(chosen, role), name) == (covers(chosen, name) and covers(role, name))


@given(chosen_names, role_names)
def test_effective_is_sorted_and_stays(chosen: frozenset[str], role: frozenset[str]) -> None:
    """The outcome is sorted, without repetition, and narrowing it again changes nothing."""
    counts = effective(chosen, role)
    assert list(counts) == sorted(set(counts))
    assert effective(counts, role) == counts
    assert effective(chosen, {"*"}) == tuple(sorted(chosen))


@given(role_names, wanted, concrete)
def test_a_wildcard_covers_whatever_its_actions_do(
    held: frozenset[str], extra: str, name: str
) -> None:
    """Holding more never covers less, and covering a resource covers each action of it."""
    assert not covers(held, name) or covers(held | {extra}, name)
    assert not covers(held, resource_wildcard(name)) or covers(held, name)


@given(role_names, anything)
def test_any_text_is_answered(held: frozenset[str], text: str) -> None:
    """Malformed names are covered by nothing, whatever they look like."""
    known = is_permission(text) or is_wildcard(text) or text == "*"
    assert known or not covers(held, text)
