"""A page of users costs the same among many as among few, with any filter, on both engines."""

from typing import Any

import pytest
from sqlalchemy import text

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search_terms
from gatepass.registry.directory import user_search
from gatepass.registry.storage.paging import COUNT_LIMIT
from tests.support.database.many_records import Row, fill_users
from tests.support.database.small_registry import NOW, SmallRegistry
from tests.support.database.work import measured

pytestmark = pytest.mark.slow

FEW, MANY, RARE = 3_000, 20_000, 60
TABLES = (
    "users",
    *(f"user_{text}_{table}" for text in ("name", "email") for table in ("words", "word_parts")),
)
FILTERS: dict[str, tuple[int, dict[str, Any]]] = {
    "nothing": (COUNT_LIMIT + 1, {}),
    "active": (COUNT_LIMIT + 1, {"status": "active"}),
    "deactivated": (RARE, {"status": "deactivated"}),
    "a word of most": (COUNT_LIMIT + 1, {"q": "PERSON"}),
    "a part of most addresses": (COUNT_LIMIT + 1, {"q": "@exam"}),
    "a word of few": (RARE, {"q": "hopper"}),
    "a part of few": (RARE, {"q": "ce hop"}),
    "one": (1, {"q": "person 314."}),
    "nobody": (0, {"q": "nobody"}),
    "a word of few, active": (RARE, {"q": "grace", "status": "active"}),
    "a word of most, deactivated": (RARE, {"q": "person", "status": "deactivated"}),
}


def user(n: int, number: int) -> Row:
    """The user with number *n* of *number*: the oldest are rare."""
    group = (number - 1 - n) // RARE
    if group == 0:
        return {"name": "Grace Hopper"}
    ended = {"deactivated_at": NOW, "deactivated_by_name": "Ada"} if group == 1 else {}
    return {"name": f"Person {n}.", "email": f"p{n}of{number}@example.com"} | ended


@pytest.fixture(scope="module")
def actors(shared_registry: SmallRegistry) -> tuple[Actor, Actor]:
    """Of a company with few users, and of one with many."""
    found = []
    for number in (FEW, MANY):
        company = shared_registry.company(f"Company of {number}")
        ada = shared_registry.user(company, f"ada{number}@example.org", "Ada")
        fill_users(
            shared_registry.database,
            company.id,
            number,
            lambda n, of=number: user(n, of),
            newest=NOW - 1,
        )
        found.append(shared_registry.signed_in(ada))
    if shared_registry.database.dialect == "postgresql":
        with shared_registry.database.administrative_write() as connection:
            connection.execute(text("ANALYZE"))
    return found[0], found[1]


def test_a_page_takes_the_same_work_among_many(
    shared_registry: SmallRegistry, actors: tuple[Actor, Actor]
) -> None:
    for name, (count, filters) in FILTERS.items():
        works = []
        for actor in actors:
            with shared_registry.read() as reading, measured(reading) as work:
                page = user_search.list_(reading, actor, limit=RARE - 10, **filters)
            assert (len(page.items), page.count) == (min(count, RARE - 10), count), name
            works.append(work)
        little, much = works
        assert much.amount <= little.amount * 1.5 + 200, (name, little.amount, much.amount)
        assert much.scanned(*TABLES) == [], (name, much.plans)
        assert much.sorted <= 2_200, (name, much.plans)


def test_a_name_in_the_audit_log_is_resolved_by_an_index(
    shared_registry: SmallRegistry, actors: tuple[Actor, Actor]
) -> None:
    for name, found in (
        ("person 314.", 1),
        ("example", 0),
        ("ada20000@example.org", 1),
        ("hopper", None),
        ("e", None),
    ):
        with shared_registry.read() as reading, measured(reading) as work:
            if found is None:
                with pytest.raises(InvalidInput, match="more than 20 match"):
                    search_terms.people_called(reading, actors[1], name)
            else:
                assert len(search_terms.people_called(reading, actors[1], name)) == found
        assert work.amount < 30_000, (name, work.amount)
        assert work.scanned(*TABLES) == [], (name, work.plans)
