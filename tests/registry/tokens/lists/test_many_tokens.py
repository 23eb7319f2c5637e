"""A page of tokens costs the same among many as among few, with any filter, on both engines."""

from typing import Any

import pytest
from sqlalchemy import text

from gatepass.registry.actor import Actor
from gatepass.registry.storage.paging import COUNT_LIMIT
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.lists.sorting import ORDERS, SORTS
from tests.support.database.many_records import Row, fill_tokens
from tests.support.database.small_registry import NOW, SmallRegistry
from tests.support.database.work import Work, measured

pytestmark = pytest.mark.slow

FEW, MANY, RARE = 3_000, 30_000, 60
TABLES = (
    "access_tokens",
    "access_token_words",
    "access_token_word_parts",
    "access_token_permissions",
    "access_token_metadata",
    "access_token_recency",
)

#: What is rare is the oldest there is: a walk from the newest would pass all the rest.
RARELY: dict[str, Row] = {
    "payroll": {"label": "Payroll – Köln"},
    "ui": {"kind": "ui"},
    "refunds": {"permissions": ["refunds:create"]},
    "refunds, all": {"permissions": ["refunds:*", "refunds:create"]},
    "expired": {"expires_at": NOW - 10, "lapsed_at": NOW - 10},
    "due": {"expires_at": NOW - 10},
    "deactivated": {"deactivated_at": NOW - 5, "deactivated_by_name": "Ada"},
    "owned": {"owner_id": "svc_rare"},
    "noted": {"metadata": {"env": "prod", "team": "rare"}},
    "made": {"created_by": None, "created_by_name": "the till"},
    "open": {"networks": []},
    "expiring": {"expires_at": NOW + 50},
    "unused": {"last_at": 0},
    "unused lately": {"last_at": 7},
    "known": {"external_id": "rare", "expires_at": NOW - 10, "lapsed_at": NOW - 10},
}
FILTERS: dict[str, tuple[int, dict[str, Any]]] = {
    "nothing": (COUNT_LIMIT + 1, {}),
    "active": (COUNT_LIMIT + 1, {"status": "active"}),
    "expired": (3 * RARE, {"status": "expired"}),
    "deactivated": (RARE, {"status": "deactivated"}),
    "api": (COUNT_LIMIT + 1, {"kind": "api"}),
    "ui": (RARE, {"kind": "ui"}),
    "a permission of most": (COUNT_LIMIT + 1, {"permission": "charges:create"}),
    "a permission of few": (2 * RARE, {"permission": "refunds:create"}),
    "a permission of none": (0, {"permission": "invoices:get"}),
    "a word of most": (COUNT_LIMIT + 1, {"q": "SETTLEMENT"}),
    "a part of a word of most": (COUNT_LIMIT + 1, {"q": "ettle"}),
    "two letters": (COUNT_LIMIT + 1, {"q": "tt"}),
    "a word of few": (RARE, {"q": "payroll"}),
    "a part of a word of few": (RARE, {"q": "ayrol"}),
    "some words of few": (RARE, {"q": "roll – kö"}),
    "one label": (1, {"q": "settlement 314."}),
    "no label": (0, {"q": "nowhere"}),
    "no label, of known words": (0, {"q": "settlement payroll"}),
    "the beginning of an id": (1, {"q": "gpat_Known00"}),
    "the beginning of all ids": (COUNT_LIMIT + 1, {"q": "gpat_"}),
    "a word of most, active": (COUNT_LIMIT + 1, {"q": "settlement", "status": "active"}),
    "a word of few, active": (RARE, {"q": "payroll", "status": "active"}),
    "a word of most, deactivated": (RARE, {"q": "settlement", "status": "deactivated"}),
    "a word of most, ui": (RARE, {"q": "settlement", "kind": "ui"}),
    "a word of most, a permission of few": (RARE, {"q": "settle", "permission": "refunds:*"}),
    "a permission of most, expired": (
        3 * RARE,
        {"permission": "charges:create", "status": "expired"},
    ),
    "an owner of few": (RARE, {"owner": "svc_rare"}),
    "an owner of few, active": (RARE, {"owner": "svc_rare", "status": "active"}),
    "an owner of few, expired": (0, {"owner": "svc_rare", "status": "expired"}),
    "an owner of few, ui": (0, {"owner": "svc_rare", "kind": "ui"}),
    "an owner of none": (0, {"owner": "svc_none"}),
    "an owner of few, a word of most": (RARE, {"owner": "svc_rare", "q": "settlement"}),
    "an owner of few, a permission of most": (
        RARE,
        {"owner": "svc_rare", "permission": "charges:create"},
    ),
    "metadata of most": (COUNT_LIMIT + 1, {"metadata": "env:prod"}),
    "metadata of few": (RARE, {"metadata": "team:rare"}),
    "metadata of few, expired": (0, {"metadata": "team:rare", "status": "expired"}),
    "metadata of none": (0, {"metadata": "team:none"}),
    "an external id": (RARE, {"external_id": "rare"}),
    "an external id of none": (0, {"external_id": "none"}),
    "a creator of none": (0, {"created_by": "usr_none"}),
    "networks": (COUNT_LIMIT + 1, {"network": "any"}),
    "no networks": (RARE, {"network": "none"}),
    "no networks, active": (RARE, {"network": "none", "status": "active"}),
    "no networks, expired": (0, {"network": "none", "status": "expired"}),
    "expiring soon": (RARE, {"expires_before": NOW + 100, "status": "active"}),
    "expiring some time": (COUNT_LIMIT + 1, {"expires_before": NOW + 10**9}),
    "never used": (RARE, {"used": "never"}),
    "never used, active": (RARE, {"used": "never", "status": "active"}),
    "used": (COUNT_LIMIT + 1, {"used": "ever"}),
    "unused lately": (RARE, {"unused_since": 100, "used": "ever"}),
    "unused lately, active": (2 * RARE, {"unused_since": 100, "status": "active"}),
    "everything": (
        COUNT_LIMIT + 1,
        {"q": "t", "status": "active", "kind": "api", "permission": "charges:create"},
    ),
}


#: Filters that are tried in each order.
SORTED = (
    *("nothing", "active", "expired", "deactivated", "api", "ui", "a word of few"),
    *("a permission of few", "an owner of few", "metadata of few", "no networks, active"),
    *("never used, active", "unused lately, active", "expiring soon", "used"),
)


def token(n: int, number: int) -> Row:
    """The token with number *n* of *number*."""
    group = (number - 1 - n) // RARE
    rare = list(RARELY.values())
    # Most will expire some time.
    common = {
        "label": f"Settlement {n}.",
        "expires_at": NOW + 1_000 + n if n % 4 else None,
        "metadata": {"env": "prod"},
        "networks": ["10.0.0.0/8"],
        "last_at": NOW - n,
    }
    if n == 5:
        return common | {"id": f"gpat_Known{number:011}"}
    return common | (rare[group] if group < len(rare) else {})


def fill(registry: SmallRegistry, number: int) -> Actor:
    company = registry.company(f"Company of {number}")
    user = registry.user(company, f"u{number}@example.com")
    fill_tokens(
        registry.database,
        company.id,
        user.id,
        number,
        lambda n: token(n, number),
        newest=NOW,
    )
    # As PostgreSQL does by itself in time; SQLite's plans have to be good without.
    if registry.database.dialect == "postgresql":
        with registry.database.administrative_write() as connection:
            connection.execute(text("ANALYZE"))
    return registry.signed_in(user)


def page(registry: SmallRegistry, actor: Actor, **filters: Any) -> tuple[Work, Any]:
    with registry.read() as reading, measured(reading) as work:
        found = token_search.list_(reading, actor, limit=RARE - 10, **filters)
    return work, found


@pytest.fixture(scope="module")
def actors(shared_registry: SmallRegistry) -> tuple[Actor, Actor]:
    """Of a company with few tokens, and of one with many."""
    return fill(shared_registry, FEW), fill(shared_registry, MANY)


def test_a_page_takes_the_same_work_among_many(
    shared_registry: SmallRegistry, actors: tuple[Actor, Actor]
) -> None:
    for name, (count, filters) in FILTERS.items():
        (little, of_few), (much, of_many) = (
            page(shared_registry, actor, **filters) for actor in actors
        )
        assert len(of_many.items) == len(of_few.items) == min(count, RARE - 10), name
        assert (of_few.count, of_many.count) == (count, count), name
        assert much.amount <= little.amount * 1.5 + 200, (name, little.amount, much.amount)
        assert much.scanned(*TABLES) == [], (name, much.plans)
        assert much.sorted <= 2_200, (name, much.plans)


def test_the_tokens_of_an_owner_of_most(
    shared_registry: SmallRegistry, actors: tuple[Actor, Actor]
) -> None:
    """Its few deactivated ones, the oldest, are found by an index as well."""
    for person in ("owner", "created_by"):
        for status, count in (("active", COUNT_LIMIT + 1), ("deactivated", RARE), (None, None)):
            (little, of_few), (much, of_many) = (
                page(shared_registry, actor, status=status, **{person: actor.user})
                for actor in actors
            )
            assert len(of_few.items) == len(of_many.items) == RARE - 10
            assert count is None or of_few.count == of_many.count == count
            assert much.amount <= little.amount * 1.5 + 200, (status, little.amount, much.amount)
            assert much.scanned(*TABLES) == [], (status, much.plans)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sort", SORTS)
def test_a_page_in_any_order_takes_the_same_work_among_many(
    shared_registry: SmallRegistry, actors: tuple[Actor, Actor], sort: str, order: str
) -> None:
    """The first page, and one far in."""
    for name in SORTED:
        how = {**FILTERS[name][1], "sort": sort, "order": order, "counted": False}
        (little, of_few), (much, of_many) = (
            page(shared_registry, actor, **how) for actor in actors
        )
        assert len(of_many.items) == len(of_few.items), name
        assert much.amount <= little.amount * 1.5 + 200, (name, little.amount, much.amount)
        assert much.scanned(*TABLES) == [], (name, much.plans)
        assert much.sorted <= 2_200, (name, much.plans)
        if of_many.next is None or name != "active":
            continue
        found = of_many
        with shared_registry.read() as reading:
            for _ in range(10):
                found = token_search.list_(reading, actors[1], limit=200, cursor=found.next, **how)
        far, _ = page(shared_registry, actors[1], cursor=found.next, **how)
        assert far.amount <= much.amount * 2 + 200, (name, much.amount, far.amount)
        assert far.scanned(*TABLES) == [], (name, far.plans)


def test_a_page_far_in_takes_the_work_of_the_first(
    shared_registry: SmallRegistry, actors: tuple[Actor, Actor]
) -> None:
    for name in ("nothing", "active", "api", "a permission of most", "a word of most"):
        _, filters = FILTERS[name]
        first, found = page(shared_registry, actors[1], **filters)
        with shared_registry.read() as reading:
            for _ in range(10):
                found = token_search.list_(
                    reading, actors[1], limit=200, cursor=found.next, counted=False, **filters
                )
        far, there = page(shared_registry, actors[1], cursor=found.next, **filters)
        assert there.items[0].created_at < found.items[-1].created_at
        assert far.amount <= first.amount * 1.2 + 200, (name, first.amount, far.amount)
        assert far.scanned(*TABLES) == [], (name, far.plans)


def test_the_command_lines_pages_follow_an_index(
    shared_registry: SmallRegistry, actors: tuple[Actor, Actor]
) -> None:
    work, found = page(shared_registry, Actor.command_line(), counted=False)
    assert len(found.items) == RARE - 10
    assert work.sorted <= RARE
    assert work.scanned(*TABLES) in (
        [],
        ["SCAN access_tokens USING INDEX ix_access_tokens_created_at_id"],
        ["SCAN access_tokens USING COVERING INDEX ix_access_tokens_created_at_id"],
    )


def test_counts_by_status(shared_registry: SmallRegistry, actors: tuple[Actor, Actor]) -> None:
    company = actors[1].company
    assert company is not None
    with shared_registry.read() as reading, measured(reading) as work:
        counts = token_search.by_status(reading, company)
    assert counts == {
        "active": COUNT_LIMIT + 1,
        "pending": 0,
        "expired": 3 * RARE,
        "deactivated": RARE,
    }
    assert work.scanned(*TABLES) == []
