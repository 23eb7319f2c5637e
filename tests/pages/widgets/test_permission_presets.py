"""The picker's lines and presets, by what their user has."""

from dataclasses import replace

import pytest

from gatepass.core.catalogue import Catalogue, parse_catalogue
from gatepass.registry.actor import Actor
from gatepass.web.pages.widgets.permission_groups import offered
from gatepass.web.pages.widgets.permission_presets import Presets, presets_of

CATALOGUE = parse_catalogue("""
permissions:
  charges:create: {}
  charges:get: {}
  charges:export: {routes: ["GET /charges/export"]}
  refunds:create: {}
presets:
  Shop: {description: "Sells", permissions: ["charges:*", "refunds:create"]}
  Refunds: {permissions: ["refunds:create"]}
""")
ADA = Actor("user", "com_1", "usr_1", "Ada", frozenset({"*"}), credential="gplt_1")


def with_only(*permissions: str) -> Actor:
    return replace(ADA, permissions=frozenset(permissions))


def presets(
    actor: Actor, *chosen: str, catalogue: Catalogue = CATALOGUE, everything: bool = False
) -> Presets:
    groups, own = (offered(catalogue, actor, chosen, built_in=own) for own in (False, True))
    return presets_of(catalogue, actor, groups, own, chosen, everything=everything)


def chosen_by(found: Presets) -> dict[str, tuple[str, ...]]:
    return {preset.name: preset.permissions for preset in found.items}


def test_presets_of_somebody_who_has_all() -> None:
    found = presets(ADA)
    shown = chosen_by(found)
    assert list(shown) == ["Nothing", "Read only", "Everything I may", "Shop", "Refunds"]
    # The product's alone: nobody means the company's users by it.
    assert shown["Read only"] == ("charges:get", "charges:export")
    assert {"charges:*", "refunds:*", "access-tokens:*"} <= set(shown["Everything I may"])
    assert shown["Shop"] == ("charges:*", "refunds:create")
    assert chosen_by(presets(ADA, everything=True))["Everything I may"] == ("*",)


def test_presets_as_far_as_one_has_them() -> None:
    """Of a whole resource, the parts; a preset of which one has nothing isn't there."""
    found = presets(with_only("charges:get", "charges:create"))
    shown = chosen_by(found)
    assert list(shown) == ["Nothing", "Read only", "Everything I may", "Shop"]
    assert shown["Everything I may"] == ("charges:create", "charges:get")
    assert shown["Shop"] == ("charges:create", "charges:get")
    assert found.items[-1].left_out == 2
    assert presets(with_only("users:manage")).items == ()


def test_read_only_without_a_product() -> None:
    found = presets(with_only("audit:get", "users:manage"), catalogue=parse_catalogue(None))
    assert chosen_by(found)["Read only"] == ("audit:get",)


def test_a_button_chooses_and_shows_that_it_did() -> None:
    found = presets(ADA, "refunds:create")
    assert [each.name for each in found.items if found.is_pressed(each)] == ["Refunds"]
    assert found.press("preset_1") == ["refunds:create"]
    assert found.press("preset_nothing") == []
    for other in ("preset_2", "preset_", "preset_x", "add_network", ""):
        assert found.press(other) is None


@pytest.mark.parametrize(
    ("chosen", "level"),
    [
        ((), "none"),
        (("charges:get", "charges:export"), "read"),
        (("charges:get",), "choose"),
        (("charges:get", "charges:export", "charges:create"), "choose"),
        (("charges:*",), "choose"),
        (("refunds:create",), "none"),
    ],
)
def test_the_level_of_a_line(chosen: tuple[str, ...], level: str) -> None:
    charges, refunds = offered(CATALOGUE, ADA, chosen, built_in=False)
    assert charges.level == level
    assert [value for value, _ in charges.levels] == ["none", "read", "choose"]
    # It has nothing to read.
    assert [value for value, _ in refunds.levels] == ["none", "choose"]


def test_many_permissions_are_folded() -> None:
    for count, is_open in ((24, True), (25, False)):
        names = "".join(f"  r{n}:get: {{}}\n" for n in range(count))
        lines = offered(parse_catalogue(f"permissions:\n{names}"), ADA, (), built_in=False)
        assert {line.is_open for line in lines} == {is_open}
