"""A role in a line: the first resources that it reaches, and what it may do with each."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gatepass.core.catalogue import Catalogue
from gatepass.core.permissions import EVERYTHING
from gatepass.registry.directory.role_records import Role
from gatepass.web.pages.company.role_grid import Line, role_grid

_SHOWN = 3
_READING = frozenset(("get", "search"))
#: Actions that take something away, or change what others may do.
_WEIGHTY = frozenset(("delete", "deactivate", "manage", "refund"))


@dataclass(frozen=True)
class Resource:
    """What a role may do with one resource.

    Attributes:
        what: ``all``, ``read``, ``read, refund`` or ``4 of 6``.
        weighty: whether it includes an action of ``_WEIGHTY``.
    """

    resource: str
    what: str
    weighty: bool


@dataclass(frozen=True)
class Strip:
    """The first resources of a role, those of the product first.

    Attributes:
        everything: whether it permits all there is; then *shown* is empty.
        more: how many resources follow.
    """

    everything: bool
    shown: tuple[Resource, ...] = ()
    more: int = 0


def role_strip(catalogue: Catalogue, permissions: Collection[str]) -> Strip:
    """The strip of a role with those *permissions*."""
    if EVERYTHING in permissions:
        return Strip(everything=True)
    lines = [line for _, lines in role_grid(catalogue, permissions).parts for line in lines]
    reached = [each for line in lines if (each := _resource(line))]
    return Strip(False, tuple(reached[:_SHOWN]), max(0, len(reached) - _SHOWN))


def role_strips(catalogue: Catalogue, roles: Iterable[Role]) -> dict[str, Strip]:
    """The strip of each of *roles*, by its id."""
    return {role.id: role_strip(catalogue, role.permissions) for role in roles}


def _resource(line: Line) -> Resource | None:
    cells = [cell for cell in (*line.cells, *line.others) if cell is not None]
    held = [cell.action for cell in cells if cell.held]
    if not held:
        return None
    if line.whole:
        what = "all"
    elif _READING.issuperset(held):
        what = "read"
    elif len(held) == len(cells):
        what = "all"
    else:
        others = [action.replace("-", " ") for action in held if action not in _READING]
        words = ["read"] * (len(others) < len(held)) + others
        what = ", ".join(words) if len(words) < 3 else f"{len(held)} of {len(cells)}"
    return Resource(line.resource.capitalize(), what, not _WEIGHTY.isdisjoint(held))
