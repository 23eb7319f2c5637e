"""Strict parsing of access token fields into their canonical form."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from gatepass.core.catalogue import Catalogue
from gatepass.core.domains import InvalidDomain, parse_domain
from gatepass.core.grants import DECOY, USER
from gatepass.registry.input.days import read_days
from gatepass.registry.input.expiry import read_expiry
from gatepass.registry.input.external_ids import external_id_problem
from gatepass.registry.input.metadata import read_metadata
from gatepass.registry.input.networks import read_networks
from gatepass.registry.input.permissions import read_token_permissions
from gatepass.registry.input.text import Problems, label_problem, read_items

KINDS = ("api", "ui", DECOY)
#: The fields that can be changed later; a token's kind can't.
CHANGEABLE = (
    "label",
    "permissions",
    "networks",
    "domains",
    "expires_at",
    "metadata",
    "external_id",
    "unused_days",
)

#: Those that a new token may lack.
DEFAULTS: Mapping[str, object] = {
    "networks": (),
    "domains": (),
    "expires_at": None,
    "metadata": {},
    "external_id": None,
    "unused_days": None,
}

#: What a decoy has instead of all but a label.
_OF_DECOY: Mapping[str, object] = {**DEFAULTS, "permissions": ()}

MOST_DOMAINS = 100
MOST_UNUSED_DAYS = 365


def read(
    given: Mapping[str, object],
    *,
    kind: object,
    catalogue: Catalogue,
    owner_type: str = USER,
    stored: Collection[str] = (),
    now: int,
) -> dict[str, Any]:
    """Parse the fields of *given* into their canonical form, without duplicates.

    Args:
        given: some or all of ``CHANGEABLE``.
        kind: of the token.
        owner_type: of its owner.
        stored: the permissions that it has already.
        now: Unix ms; the expiry must be later.

    Raises:
        InvalidInput: with all errors, at paths such as ``permissions.3``.
    """
    problems = Problems()
    if kind not in KINDS:
        problems.add("kind", 'Must be "api", "ui" or "decoy".')
    readers: dict[str, Callable[[object], object]] = {
        "label": lambda value: _label(value, problems),
        "permissions": lambda value: read_token_permissions(
            value, catalogue, owner_type, problems, stored
        ),
        "networks": lambda value: read_networks(value, problems),
        "domains": lambda value: _domains(value, kind, problems),
        "expires_at": lambda value: read_expiry(value, now, problems),
        "metadata": lambda value: read_metadata(value, problems),
        "external_id": lambda value: _external_id(value, problems),
        "unused_days": lambda value: read_days("unused_days", value, MOST_UNUSED_DAYS, problems),
    }
    found: dict[str, Any] = {}
    for field, value in given.items():
        reader = readers.get(field)
        if reader is None:
            problems.add(field, "Must be left out: it can't be set.")
        elif kind == DECOY and field in _OF_DECOY:
            if value not in (None, [], (), {}):
                problems.add(field, "Must be left out: a decoy has a label alone.")
            found[field] = _OF_DECOY[field]
        else:
            found[field] = reader(value)
    problems.settle()
    return found


def _label(value: object, problems: Problems) -> object:
    problem = label_problem(value)
    if problem is not None:
        problems.add("label", problem)
    return value


def _external_id(value: object, problems: Problems) -> object:
    problem = None if value is None else external_id_problem(value)
    if problem is not None:
        problems.add("external_id", problem)
    return value


def _domains(value: object, kind: object, problems: Problems) -> list[str]:
    found: dict[str, None] = {}
    items = read_items("domains", value, MOST_DOMAINS, problems)
    if items and kind == "api":
        problems.add("domains", "Must be empty, unless the token is for UI access.")
        return []
    for number, text in enumerate(items):
        try:
            found[parse_domain(text)] = None
        except InvalidDomain as error:
            problems.add(f"domains.{number}", str(error))
    return list(found)
