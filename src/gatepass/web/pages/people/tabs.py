"""The tabs of My Company > Users: people and invitations, each with its number."""

from dataclasses import dataclass

from gatepass.registry.directory import user_search
from gatepass.registry.membership import invitations
from gatepass.registry.storage.database import Reading
from gatepass.web.pages.layout.screen import Screen


@dataclass(frozen=True)
class PeopleTabs:
    """The active users and the pending invitations; None where the visitor may not see them."""

    people: int | None
    invitations: int | None


def people_tabs(reading: Reading, screen: Screen) -> PeopleTabs:
    """The tabs that the visitor may open."""
    actor = screen.actor
    return PeopleTabs(
        _active_users(reading, screen.company) if actor.may("users:get") else None,
        invitations.pending_count(reading, actor) if actor.may("users:manage") else None,
    )


def _active_users(reading: Reading, company: str) -> int:
    return user_search.by_status(reading, company)["active"]
