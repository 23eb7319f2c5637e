"""Strict parsing of the permissions of a token or role."""

from collections.abc import Collection

from gatepass.core.catalogue import Catalogue
from gatepass.core.grants import EXTERNAL
from gatepass.core.permissions import EVERYTHING, NOT_FOR_TOKENS, is_permission, is_wildcard
from gatepass.registry.input.text import Problems, read_items

MOST_PERMISSIONS = 200


def read_permissions(
    value: object,
    catalogue: Catalogue,
    problems: Problems,
    *,
    of_role: bool,
    stored: Collection[str] = (),
    field: str = "permissions",
) -> list[str]:
    """Parse 1 to 200 permissions of the catalogue; duplicates are dropped.

    Args:
        problems: collects the errors, at paths such as ``permissions.3``.
        field: their name in those paths.
        of_role: whether ``*`` and ``NOT_FOR_TOKENS`` are allowed: only a role may hold them.
        stored: those that are there already, and may stay although they are ``NOT_FOR_TOKENS``.
    """
    found: dict[str, None] = {}
    items = read_items(field, value, MOST_PERMISSIONS, problems)
    for number, name in enumerate(items):
        problem = _problem(name, catalogue, of_role)
        if problem is None and not of_role and name in NOT_FOR_TOKENS and name not in stored:
            problems.add(
                f"{field}.{number}",
                "Must not be this one: no access token can do it.",
                "not_for_tokens",
            )
        elif problem is None:
            found[str(name)] = None
        else:
            problems.add(f"{field}.{number}", problem)
    if value in ([], ()):
        problems.add(field, "Must have at least one.")
    return list(found)


def read_token_permissions(
    value: object,
    catalogue: Catalogue,
    owner_type: str,
    problems: Problems,
    stored: Collection[str] = (),
) -> list[str]:
    """``read_permissions`` for tokens of an owner of that type.

    An external owner's hold permissions of the catalogue file alone.
    """
    found = read_permissions(value, catalogue, problems, of_role=False, stored=stored)
    if owner_type == EXTERNAL:
        for number, name in enumerate(found):
            if name not in catalogue.for_external:
                problems.add(
                    f"permissions.{number}",
                    "Must be a permission of the catalogue file: the owner is an external one.",
                )
    return found


def _problem(name: object, catalogue: Catalogue, of_role: bool) -> str | None:
    if name == EVERYTHING:
        return None if of_role else "Must not be *: only a role can hold everything."
    if not isinstance(name, str) or not (is_permission(name) or is_wildcard(name)):
        return "Must be a permission such as charges:create."
    return None if catalogue.knows(name) else "Must be a permission of the catalogue."
