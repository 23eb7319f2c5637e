"""Which users' accounts the visitor is offered to change."""

from collections.abc import Iterable, Mapping

from gatepass.registry.directory.role_records import Role
from gatepass.registry.directory.users import User
from gatepass.web.pages.company.roles import may_hold
from gatepass.web.pages.layout.screen import Screen


def changeable(screen: Screen, users: Iterable[User], roles: Mapping[str, Role]) -> frozenset[str]:
    """The ids of the active *users* with no more permissions than the visitor.

    Only operators change an operator's account.
    """
    if not screen.visitor.may_change("users:manage"):
        return frozenset()
    above = {role.id for role in roles.values() if not may_hold(screen, role)}
    return frozenset(
        user.id
        for user in users
        if user.status == "active"
        and user.role not in above
        and (screen.actor.operator or not user.operator)
    )
