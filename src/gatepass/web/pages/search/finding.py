"""Finds what a visitor looks for: pages, tokens, people and roles, a few of each.

Tokens, people and service accounts are found by the searches of their lists, which are bounded and
as quick with a million records. A visitor finds what their lists show them, and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gatepass.core.grants import SERVICE_ACCOUNT
from gatepass.registry.directory import owner_search, role_records, user_search
from gatepass.registry.input.text import folded
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.lists import search as token_search
from gatepass.web.pages.layout import navigation
from gatepass.web.pages.layout.lists import address_of_page
from gatepass.web.pages.layout.screen import Screen
from gatepass.web.pages.search.destinations import matching

#: The most that is found of a kind.
MOST = 5


@dataclass(frozen=True)
class Found:
    """One thing that was found.

    Attributes:
        note: what tells it from others of its name.
        status: "" where there is nothing to say of it.
    """

    name: str
    path: str
    note: str = ""
    status: str = ""


@dataclass(frozen=True)
class Group:
    """What was found of a kind.

    Attributes:
        icon: the name of its drawing.
        more: the path of the list with the rest, or "".
    """

    title: str
    icon: str
    found: list[Found]
    more: str = ""


def find(reading: Reading, screen: Screen, q: str) -> list[Group]:
    """What *q* finds, without empty groups; for a blank one, the pages alone.

    Args:
        q: without surrounding space.
    """
    pages = matching(screen.visitor, q)[: MOST if q else None]
    found = [Group("Pages", "file", [Found(each.name, each.path, each.section) for each in pages])]
    if q:
        found += _records(reading, screen, q)
    return [group for group in found if group.found]


def _records(reading: Reading, screen: Screen, q: str) -> Iterator[Group]:
    may = screen.actor.may
    if may("access-tokens:search"):
        yield _tokens(reading, screen, q)
    if may("users:get"):
        yield _people(reading, screen, q)
    if may("service-accounts:manage"):
        yield _service_accounts(reading, screen, q)
    if may("roles:get"):
        yield _roles(reading, screen, q)


def _tokens(reading: Reading, screen: Screen, q: str) -> Group:
    page = token_search.list_(reading, screen.actor, q=q, limit=MOST, counted=False)
    found = [
        Found(
            token.label,
            f"/access-tokens/{token.id}",
            token.id,
            "" if token.status == "active" else token.status,
        )
        for token in page.items
    ]
    rest = address_of_page(navigation.TOKENS.path, {"q": q, "status": "any"})
    return Group("Access tokens", "key", found, rest if page.next else "")


def _people(reading: Reading, screen: Screen, q: str) -> Group:
    page = user_search.list_(reading, screen.actor, q=q, limit=MOST, counted=False)
    path = navigation.USERS.path
    found = [
        Found(
            user.name,
            f"{path}/{user.id}",
            user.email,
            "" if user.status == "active" else user.status,
        )
        for user in page.items
    ]
    return Group("People", "person", found, address_of_page(path, {"q": q}) if page.next else "")


def _service_accounts(reading: Reading, screen: Screen, q: str) -> Group:
    page = owner_search.list_(
        reading, screen.actor, q=q, type=SERVICE_ACCOUNT, limit=MOST, counted=False
    )
    path = navigation.SERVICE_ACCOUNTS.path
    found = [
        Found(
            owner.name,
            address_of_page(path, {"q": owner.name}),
            "",
            "" if owner.status == "active" else owner.status,
        )
        for owner in page.items
    ]
    rest = address_of_page(path, {"q": q}) if page.next else ""
    return Group("Service accounts", "key", found, rest)


def _roles(reading: Reading, screen: Screen, q: str) -> Group:
    known = role_records.of_company(reading, screen.node.catalogue, screen.company).values()
    found = [
        Found(role.name, f"{navigation.ROLES.path}/{role.id}", "Built in" if role.built_in else "")
        for role in known
        if folded(q) in folded(role.name)
    ]
    rest = navigation.ROLES.path if len(found) > MOST else ""
    return Group("Roles", "company", found[:MOST], rest)
