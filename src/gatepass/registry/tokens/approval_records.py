"""A token's approval by a second person, as its record has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from gatepass.registry.actor import Person

#: How long a token waits for its approval.
PENDING_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Approval:
    """The approval of a token. Times are Unix ms.

    Attributes:
        pending_since: since when the token waits for it; None if it has it.
        until: when the token is deactivated if it still waits.
        extended_by: the ids of those who added permissions to it meanwhile.
        approved_at, approved_by: None while it waits. A token that replaces an approved one has
            its approval.
    """

    pending_since: int | None
    until: int | None
    extended_by: tuple[str, ...]
    approved_at: int | None
    approved_by: Person | None


def approval_of(columns: Mapping[str, Any] | RowMapping) -> Approval | None:
    """The approval of a token, by its columns; None if it neither has one nor waits for one."""
    since, approved_at = columns.get("pending_since"), columns.get("approved_at")
    if since is None and approved_at is None:
        return None
    by = None
    if approved_at is not None:
        by = Person(columns["approved_by"], columns["approved_by_name"])
    until = None if since is None else since + PENDING_MS
    return Approval(since, until, tuple(columns.get("extended_by") or ()), approved_at, by)
