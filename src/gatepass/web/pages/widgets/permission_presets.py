"""Presets of the permission picker: buttons that each choose many permissions.

They are submit buttons, ``do=preset_read``; with scripts, no round trip is needed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

from gatepass.core.catalogue import Catalogue
from gatepass.core.permissions import EVERYTHING, is_wildcard, resource_wildcard
from gatepass.registry.actor import Actor
from gatepass.web.pages.widgets.permission_groups import PermissionGroup

_BUTTON = "preset_"


@dataclass(frozen=True)
class Preset:
    """One button.

    Attributes:
        key: what it is called in ``do``, after ``preset_``.
        name, description: for people; the description may be "".
        permissions: what it chooses.
        left_out: how many permissions of the catalogue's preset the actor doesn't have.
    """

    key: str
    name: str
    description: str
    permissions: tuple[str, ...]
    left_out: int = 0

    @property
    def button(self) -> str:
        """The value of ``do`` when it is pressed."""
        return _BUTTON + self.key

    @property
    def of_catalogue(self) -> bool:
        """Whether the catalogue file defines it."""
        return self.key.isdecimal()


@dataclass(frozen=True)
class Presets:
    """The presets of a picker, and what is selected in it."""

    items: tuple[Preset, ...]
    chosen: frozenset[str]

    def is_pressed(self, preset: Preset) -> bool:
        """Whether exactly what *preset* chooses is selected."""
        return self.chosen == frozenset(preset.permissions)

    def press(self, button: str) -> list[str] | None:
        """What is selected once *button* is pressed; None if it is another button."""
        return next((list(each.permissions) for each in self.items if each.button == button), None)


def presets_of(
    catalogue: Catalogue,
    actor: Actor,
    groups: Sequence[PermissionGroup],
    own_groups: Sequence[PermissionGroup],
    chosen: Collection[str],
    *,
    everything: bool = False,
) -> Presets:
    """The presets of a picker of *groups* and *own_groups*; none if it offers nothing.

    "Read only" is the product's; Gatepass's own are read only if the actor has no others. The
    catalogue's are offered as far as the actor has their permissions.

    Args:
        everything: whether ``*`` can be chosen.
    """
    offered = [*groups, *own_groups]
    if not offered:
        return Presets((), frozenset())
    reading = tuple(chain.from_iterable(group.reading for group in groups or own_groups))
    of_all = ((group.wildcard,) if group.wildcard else group.names for group in offered)
    all_held = (EVERYTHING,) if everything else tuple(chain.from_iterable(of_all))
    presets = [Preset("nothing", "Nothing", "", ())]
    if reading:
        presets.append(Preset("read", "Read only", "All that only reads", reading))
    presets.append(Preset("everything", "Everything I may", "", all_held))
    names = list(chain.from_iterable(group.names for group in offered))
    for number, preset in enumerate(catalogue.presets):
        held = held_of(preset.permissions, actor, names)
        missing = sum(not actor.may(name) for name in preset.permissions)
        if held:
            presets.append(
                Preset(f"{number}", preset.name, preset.description, tuple(held), missing)
            )
    return Presets(tuple(presets), frozenset(chosen))


def held_of(wanted: Collection[str], actor: Actor, offered: Collection[str]) -> list[str]:
    """What *actor* has of *wanted*; of a ``resource:*`` that they don't have, its parts.

    Args:
        offered: the names to take those parts from.
    """
    found: dict[str, None] = {}
    for name in wanted:
        if actor.may(name):
            found[name] = None
        elif is_wildcard(name):
            parts = (each for each in offered if resource_wildcard(each) == name)
            found.update(dict.fromkeys(each for each in parts if actor.may(each)))
    return list(found)
