"""A page of owners costs the same among many as among few, and so does finding one by its id."""

from typing import Any

import pytest
from sqlalchemy import text

from gatepass.registry.actor import Actor
from gatepass.registry.directory import owner_records, owner_search
from gatepass.registry.directory.published_roles import role_permissions
from gatepass.registry.storage.paging import COUNT_LIMIT
from tests.support.database.many_records import Row, fill_owners
from tests.support.database.small_registry import NOW, SmallRegistry
from tests.support.database.work import measured

pytestmark = pytest.mark.slow

FEW, MANY, RARE = 3_000, 20_000, 60
TABLES = ("owners", "owner_name_words", "owner_name_word_parts")
FILTERS: dict[str, tuple[int, dict[str, Any]]] = {
    "nothing": (COUNT_LIMIT + 1, {}),
    "external": (COUNT_LIMIT + 1, {"type": "external"}),
    "service accounts": (RARE, {"type": "service_account"}),
    "active": (COUNT_LIMIT + 1, {"status": "active"}),
    "deactivated": (RARE, {"status": "deactivated"}),
    "active service accounts": (RARE, {"type": "service_account", "status": "active"}),
    "deactivated service accounts": (0, {"type": "service_account", "status": "deactivated"}),
    "a word of most": (COUNT_LIMIT + 1, {"q": "PERSON"}),
    "a part of few": (RARE, {"q": "htly jo"}),
    "an external id as a search": (1, {"q": "customer 314"}),
    "one": (1, {"q": "person 314."}),
    "nobody": (0, {"q": "nobody"}),
    "a word of most, deactivated": (RARE, {"q": "person", "status": "deactivated"}),
    "a word of most, service accounts": (0, {"q": "person", "type": "service_account"}),
    "an external id": (1, {"external_id": "customer 314"}),
    "no external id": (0, {"external_id": "Customer 314"}),
}


def owner(n: int, number: int) -> Row:
    """The owner with number *n* of *number*: the oldest are rare."""
    group = (number - 1 - n) // RARE
    if group == 0:
        return {"type": "service_account", "name": "Nightly job", "external_id": None}
    ended = {"deactivated_at": NOW, "deactivated_by_name": "Ada"} if group == 1 else {}
    return {"name": f"Person {n}."} | ended


@pytest.fixture(scope="module")
def actors(shared_registry: SmallRegistry) -> tuple[Actor, Actor]:
    """Of a company with few owners, and of one with many."""
    found = []
    for number in (FEW, MANY):
        company = shared_registry.company(f"Company of {number}")
        ada = shared_registry.user(company, f"ada{number}@example.org", "Ada")
        fill_owners(
            shared_registry.database,
            company.id,
            number,
            lambda n, of=number: owner(n, of),
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
                page = owner_search.list_(reading, actor, limit=RARE - 10, **filters)
            assert (len(page.items), page.count) == (min(count, RARE - 10), count), name
            works.append(work)
        little, much = works
        assert much.amount <= little.amount * 1.5 + 200, (name, little.amount, much.amount)
        assert much.scanned(*TABLES) == [], (name, much.plans)
        assert much.sorted <= 2_200, (name, much.plans)


def test_one_is_found_by_an_index(
    shared_registry: SmallRegistry, actors: tuple[Actor, Actor]
) -> None:
    company = actors[1].company
    assert company is not None
    with shared_registry.read() as reading, measured(reading) as work:
        for reference in ("ext:customer 314", "ext:customer 19900"):
            assert owner_records.find(reading, company, reference).external_id == reference[4:]
        assert owner_records.by_external_id(reading, company, "nobody") is None
        assert "external/customer-service" in role_permissions(
            reading, shared_registry.catalogue, company
        )
    assert work.amount < 200, work.amount
    assert work.scanned("owners") == [], work.plans
