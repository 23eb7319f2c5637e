"""The catalogue: all permissions of an installation, with the routes that need them.

It always has the control plane's own permissions. A YAML file adds those of the product that
Gatepass guards::

    permissions:
      charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
      charges:get:    {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
    presets:
      Shop backend: {permissions: ["charges:create", "charges:get"]}

Several services may share it, each below a path of its own::

    services:
      billing:
        prefix: /billing
        permissions:
          invoices:get: {title: "See one invoice", routes: ["GET /invoices/{id}"]}
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import msgspec

from gatepass.core.catalogue_file import Contents, Entry, Preset, Problem, read_contents
from gatepass.core.errors import GatepassError
from gatepass.core.permissions import EVERYTHING, covers, resource_wildcard
from gatepass.core.routes import Routes

_READING = frozenset(("count", "find", "get", "list", "query", "read", "search", "view"))
_READING_METHODS = frozenset(("GET", "HEAD"))
_CHANGING_METHODS = frozenset(("PUT", "PATCH", "DELETE"))


class CataloguePermission(msgspec.Struct, frozen=True, gc=False):
    """One permission. ``built_in`` ones belong to the control plane and have no routes here."""

    name: str
    title: str
    routes: tuple[str, ...] = ()
    built_in: bool = False

    @property
    def reads(self) -> bool:
        """Whether it only reads, as its action is named, or else as all its routes are GET.

        A search is often a POST, so a reading name is believed unless a route is PUT, PATCH or
        DELETE.
        """
        methods = {route.partition(" ")[0] for route in self.routes}
        if self.name.partition(":")[2] in _READING:
            return methods.isdisjoint(_CHANGING_METHODS)
        return bool(methods) and methods <= _READING_METHODS


CONTROL_PLANE = tuple(
    CataloguePermission(name, title, built_in=True)
    for name, title in (
        ("access-tokens:create", "Create access tokens"),
        ("access-tokens:search", "List the company's access tokens"),
        ("access-tokens:get", "View an access token"),
        ("access-tokens:modify", "Change access tokens"),
        ("access-tokens:deactivate", "Deactivate access tokens"),
        ("own-token:rotate", "Let an access token rotate itself"),
        ("access-tokens:approve", "Approve pending access tokens"),
        ("access-requests:decide", "Answer requests of access tokens for permissions"),
        ("company:get", "View the company's settings and allowlist"),
        ("company:modify", "Change the company's settings and allowlist"),
        ("company:webhooks", "Manage the company's webhooks"),
        ("users:get", "View users"),
        ("users:manage", "Invite, change and deactivate users"),
        ("roles:get", "View roles"),
        ("roles:manage", "Create, change and delete roles"),
        ("service-accounts:manage", "Manage service accounts and external owners"),
        ("audit:get", "View the audit log"),
    )
)

_TAKEN = frozenset(permission.name for permission in CONTROL_PLANE)

#: What the role of a service account or an external owner may hold of ``CONTROL_PLANE``.
OPEN_TO_OWNERS = frozenset(("access-tokens:get", "access-tokens:search"))
#: Likewise, if people of the company give the role to a service account.
OPEN_TO_SERVICE_ACCOUNTS = OPEN_TO_OWNERS | {"own-token:rotate"}


class CatalogueError(GatepassError):
    """The catalogue file is invalid.

    Attributes:
        problems: (line, message) of every problem, in the order of the lines.
    """

    reason = "catalogue_invalid"

    def __init__(self, problems: list[Problem]) -> None:
        first_line, first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"The catalogue can't be used: line {first_line}: {first}{more}")
        self.problems = problems


@dataclass(frozen=True)
class Catalogue:
    """All permissions, the control plane's first, and the file's routes and presets.

    Attributes:
        contents: the file's, which the others derive from.
    """

    permissions: tuple[CataloguePermission, ...]
    routes: Routes
    presets: tuple[Preset, ...]
    contents: Contents

    @classmethod
    def of(cls, contents: Contents) -> "Catalogue":
        """The catalogue of contents without problems.

        A later release's own permissions may have the names of some entries: those are left out,
        with their routes, so that calls on them are refused.
        """
        entries = [entry for entry in contents.entries if entry.name not in _TAKEN]
        pairs = ((route, entry.name) for entry in entries for route in entry.routes)
        return cls(
            CONTROL_PLANE + tuple(map(_permission, entries)),
            Routes(pairs, contents.encoded_slash),
            contents.presets,
            contents,
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all permissions."""
        return tuple(permission.name for permission in self.permissions)

    @cached_property
    def from_file(self) -> tuple[str, ...]:
        """The names of the file's permissions."""
        return tuple(known.name for known in self.permissions if not known.built_in)

    def external(self, permits: Collection[str]) -> frozenset[str]:
        """The permissions that a role which permits *permits* grants external owners.

        Those of the file alone, each by its name: a wildcard would cover the control plane's, too.
        """
        return frozenset(name for name in self.from_file if covers(permits, name))

    @cached_property
    def for_external(self) -> frozenset[str]:
        """What an external owner's token can hold: the file's permissions, and their wildcards.

        Wildcards of resources that the control plane has permissions of are left out.
        """
        own = {resource_wildcard(known.name) for known in CONTROL_PLANE}
        return frozenset(self.from_file) | {
            wildcard for name in self.from_file if (wildcard := resource_wildcard(name)) not in own
        }

    def knows(self, name: str) -> bool:
        """Whether *name* is a known permission, or ``resource:*`` of a known resource."""
        return name in self._known

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names) | {resource_wildcard(name) for name in self.names}


def parse_catalogue(text: str | None) -> Catalogue:
    """Parse a catalogue file's text; None or an empty text adds no permissions.

    Raises:
        CatalogueError: with every problem and its line.
    """
    contents, problems = read_contents(text or "", _TAKEN)
    if problems:
        raise CatalogueError(problems)
    return Catalogue.of(contents)


class BuiltInRole(msgspec.Struct, frozen=True, gc=False):
    """A role that every company has and nobody can change."""

    id: str
    name: str


ADMIN = BuiltInRole("admin", "Admin")
MANAGER = BuiltInRole("manager", "Manager")
CUSTOMER_SERVICE = BuiltInRole("customer-service", "Customer Service")
REPORTING = BuiltInRole("reporting", "Reporting")
BUILT_IN_ROLES = (ADMIN, MANAGER, CUSTOMER_SERVICE, REPORTING)


def built_in_permissions(role_id: str, catalogue: Catalogue) -> tuple[str, ...]:
    """The permissions of a built-in role under *catalogue*.

    Raises:
        KeyError: *role_id* isn't a built-in role.
    """
    if role_id == ADMIN.id:
        return (EVERYTHING,)
    if role_id == MANAGER.id:
        withheld = ("roles:manage", "company:modify", "company:webhooks")
        return tuple(name for name in catalogue.names if name not in withheld)
    if role_id == CUSTOMER_SERVICE.id:
        return ("access-tokens:search", "access-tokens:get", *catalogue.from_file)
    if role_id == REPORTING.id:
        return tuple(name for name in catalogue.names if name.endswith((":get", ":search")))
    raise KeyError(role_id)


def _permission(entry: Entry) -> CataloguePermission:
    return CataloguePermission(entry.name, entry.title, entry.routes)
