"""Confusable role names: vectors, and invisible characters between letters."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.directory import roles
from gatepass.registry.directory.role_names import look_alike
from gatepass.registry.directory.role_records import Role, built_in
from tests.support.database.small_registry import SmallRegistry, nothing_changes
from tests.support.vector_files import cases

BUILT_IN = built_in(parse_catalogue("permissions: {}"))
#: What leaves no ink, and so makes no other name.
inkless = st.text(
    st.characters(categories=["Zs", "Cf", "Cc", "Me"]) | st.sampled_from("\u3164\u2800\ufe0f"),
    max_size=4,
)


def own(*names: str) -> list[Role]:
    return [Role(f"rol_{at}", name, (), built_in=False) for at, name in enumerate(names)]


@pytest.mark.parametrize("case", cases("names.yaml", "look_alikes"))
def test_confusable_with_built_in_names(case: dict[str, Any]) -> None:
    found = look_alike(case["text"], BUILT_IN)
    assert found is not None
    assert found.name == case["like"]


@pytest.mark.parametrize("case", cases("names.yaml", "different"))
def test_not_confusable_with_built_in_names(case: dict[str, Any]) -> None:
    assert look_alike(case["text"], BUILT_IN) is None


@given(st.sampled_from(BUILT_IN), st.lists(inkless, min_size=20, max_size=20), st.booleans())
def test_invisible_characters_make_no_difference(
    role: Role, between: list[str], upper: bool
) -> None:
    letters = role.name.upper() if upper else role.name
    typed = "".join(a + b for a, b in zip(letters, between, strict=False))
    assert look_alike(typed, BUILT_IN) == role


@given(st.text(st.characters(), min_size=1, max_size=30))
def test_every_name_is_confusable_with_itself(name: str) -> None:
    mine = own("Quite another", name)
    assert look_alike(name, mine) in mine


def test_accents_matter_only_among_a_companys_own_names() -> None:
    """In many scripts a mark makes another word, so it isn't ignored but where the built-in names,
    which have none, would be imitated."""
    assert look_alike("Resume", own("Résumé")) is None
    assert look_alike("कु", own("के")) is None
    assert look_alike("RÉSUMÉ", own("Résumé")) is not None
    assert look_alike("Till\u200b", own("Till")) is not None


@pytest.mark.parametrize("name", ["ADMIN ", "Аdmin", "Adm\u200bin", "Ａdmin", "Till ", "Tiⅼⅼ"])
def test_confusable_names_are_refused_on_creation_and_renaming(
    registry: SmallRegistry, ada: Actor, name: str
) -> None:
    given: dict[str, Any] = {"catalogue": registry.catalogue, "permissions": ["charges:get"]}
    with registry.write() as change:
        roles.create(change, ada, name="Till", **given)
        other = roles.create(change, ada, name="Counter", **given)
    for do in (
        lambda change: roles.create(change, ada, name=name, **given),
        lambda change: roles.modify(
            change, ada, other.id, catalogue=registry.catalogue, changes={"name": name}
        ),
    ):
        with (
            nothing_changes(registry),
            pytest.raises(Conflict) as refusal,
            registry.write() as change,
        ):
            do(change)
        assert refusal.value.reason == "name_taken"


def test_a_role_may_change_the_spelling_of_its_own_name(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    made = registry.do(
        roles.create,
        ada,
        catalogue=registry.catalogue,
        name="till",
        permissions=["charges:get"],
    )
    renamed = registry.do(
        roles.modify, ada, made.id, catalogue=registry.catalogue, changes={"name": "TILL"}
    )
    assert renamed.name == "TILL"
