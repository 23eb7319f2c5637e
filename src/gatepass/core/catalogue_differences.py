"""How one catalogue differs from another: what it adds, changes and drops."""

from collections.abc import Sequence
from dataclasses import dataclass

from gatepass.core.catalogue import Catalogue, CataloguePermission
from gatepass.core.permissions import resource_wildcard


@dataclass(frozen=True, slots=True)
class MovedRoute:
    """A route that needs another permission than before."""

    route: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ChangedPermission:
    """A permission with another title or other routes than before."""

    before: CataloguePermission
    after: CataloguePermission

    @property
    def routes_differ(self) -> bool:
        """Whether it has other routes, in whatever order."""
        return set(self.before.routes) != set(self.after.routes)


@dataclass(frozen=True, slots=True)
class Differences:
    """The differences of two catalogues.

    Attributes:
        lost: what no longer permits anything: the names of *dropped*, and the wildcards of
            resources that are gone.
        other: its presets or options differ.
    """

    added: Sequence[CataloguePermission]
    changed: Sequence[ChangedPermission]
    dropped: Sequence[CataloguePermission]
    moved: Sequence[MovedRoute]
    lost: Sequence[str]
    other: bool

    @property
    def none(self) -> bool:
        """Whether there are none."""
        return not (self.added or self.changed or self.dropped or self.other)


def differences(before: Catalogue, after: Catalogue) -> Differences:
    """How *after* differs from *before*."""
    former, new = _by_name(before), _by_name(after)
    dropped = [known for name, known in former.items() if name not in new]
    wildcards = dict.fromkeys(resource_wildcard(known.name) for known in dropped)
    both = [ChangedPermission(former[name], known) for name, known in new.items() if name in former]
    needed = {route: known.name for known in former.values() for route in known.routes}
    return Differences(
        added=[known for name, known in new.items() if name not in former],
        changed=[
            each for each in both if each.routes_differ or each.before.title != each.after.title
        ],
        dropped=dropped,
        moved=[
            MovedRoute(route, needed[route], known.name)
            for known in new.values()
            for route in known.routes
            if needed.get(route, known.name) != known.name
        ],
        lost=[
            *(known.name for known in dropped),
            *(name for name in wildcards if not after.knows(name)),
        ],
        other=before.presets != after.presets
        or before.contents.encoded_slash != after.contents.encoded_slash,
    )


def _by_name(catalogue: Catalogue) -> dict[str, CataloguePermission]:
    return {known.name: known for known in catalogue.permissions if not known.built_in}
