"""A role as a grid: resources by row, actions by column, the role's permissions marked.

Actions that only one resource has share the last column.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from gatepass.core.catalogue import Catalogue, CataloguePermission
from gatepass.core.permissions import EVERYTHING, covers, resource_wildcard

#: The order of the columns; other actions follow in the catalogue's order.
_ORDER = ("get", "search", "create", "modify", "update", "manage", "deactivate", "delete")


@dataclass(frozen=True)
class Cell:
    """One permission, and whether the role includes it."""

    name: str
    action: str
    title: str
    held: bool


@dataclass(frozen=True)
class Line:
    """One resource.

    Attributes:
        whole: whether the role includes all actions, including those added later.
        cells: one per column; None if the resource has no such action.
        others: the actions without a column.
    """

    resource: str
    whole: bool
    cells: tuple[Cell | None, ...]
    others: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """The grid of the whole catalogue.

    Attributes:
        actions: the columns.
        parts: a title and its lines: the product's resources, then Gatepass's own.
        forgotten: permissions that the catalogue no longer includes, which have no effect.
    """

    actions: tuple[str, ...]
    parts: tuple[tuple[str, tuple[Line, ...]], ...]
    forgotten: tuple[str, ...]

    @property
    def has_others(self) -> bool:
        """Whether the last column is needed."""
        return any(line.others for _, lines in self.parts for line in lines)


def role_grid(catalogue: Catalogue, permissions: Collection[str]) -> Grid:
    """The grid of a role with those *permissions*."""
    counts = Counter(_action(each.name) for each in catalogue.permissions)
    shared = [action for action, number in counts.items() if number > 1]
    actions = tuple(sorted(shared, key=_rank))
    parts = tuple(
        (title, lines)
        for title, built_in in (("Your product", False), ("This Gatepass account", True))
        if (lines := _lines(catalogue, permissions, actions, built_in=built_in))
    )
    return Grid(actions, parts, forgotten(catalogue, permissions))


def forgotten(catalogue: Catalogue, permissions: Collection[str]) -> tuple[str, ...]:
    """The *permissions* that the catalogue no longer includes."""
    return tuple(name for name in permissions if name != EVERYTHING and not catalogue.knows(name))


def _lines(
    catalogue: Catalogue, held: Collection[str], actions: tuple[str, ...], *, built_in: bool
) -> tuple[Line, ...]:
    resources: dict[str, list[CataloguePermission]] = {}
    for each in catalogue.permissions:
        if each.built_in == built_in:
            resources.setdefault(each.name.partition(":")[0], []).append(each)
    return tuple(_line(name, known, held, actions) for name, known in resources.items())


def _line(
    resource: str,
    known: list[CataloguePermission],
    held: Collection[str],
    actions: tuple[str, ...],
) -> Line:
    cells = {
        _action(each.name): Cell(each.name, _action(each.name), each.title, covers(held, each.name))
        for each in known
    }
    return Line(
        resource=resource.replace("-", " "),
        whole=covers(held, resource_wildcard(resource + ":")),
        cells=tuple(cells.get(action) for action in actions),
        others=tuple(cell for action, cell in cells.items() if action not in actions),
    )


def _action(name: str) -> str:
    return name.partition(":")[2]


def _rank(action: str) -> int:
    return _ORDER.index(action) if action in _ORDER else len(_ORDER)
