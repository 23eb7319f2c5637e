"""Companies are listed and looked up by an index among many, on both engines."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, text

from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Reading
from tests.support.database.small_registry import NOW, SmallRegistry
from tests.support.database.work import measured

pytestmark = pytest.mark.slow

FEW, MANY = 1_000, 10_000
_AT_ONCE = 1_000
ROOT = Actor.command_line()

ASKED: dict[str, Callable[[Reading, Actor], Any]] = {
    "a page": lambda reading, _: companies.list_(reading, ROOT, limit=50),
    "a later page": lambda reading, _: companies.list_(
        reading, ROOT, limit=50, cursor=companies.list_(reading, ROOT, limit=50).next
    ),
    "those with an external id": lambda reading, _: companies.list_(
        reading, ROOT, external_id="cus_314"
    ),
    "nobody's external id": lambda reading, _: companies.list_(reading, ROOT, external_id="x"),
    "an id": lambda reading, _: companies.find(reading, ROOT, "com_314"),
    "an external id": lambda reading, _: companies.find(reading, ROOT, "ext:cus_314"),
    "an admin key's own": lambda reading, key: companies.list_(reading, key),
}


def test_a_look_up_takes_the_same_work_among_many(registry: SmallRegistry) -> None:
    key = Actor("admin_key", "com_314", None, "Shop", frozenset({"companies"}), "gpak_1")
    works: dict[str, list[Any]] = {name: [] for name in ASKED}
    made = 0
    for number in (FEW, MANY):
        _fill(registry, made, number)
        made = number
        for name, ask in ASKED.items():
            with registry.read() as reading, measured(reading) as work:
                ask(reading, key)
            works[name].append(work)
    for name, (little, much) in works.items():
        assert much.amount <= little.amount * 1.5 + 200, (name, little.amount, much.amount)
        assert much.scanned("companies") == [] or "page" in name, (name, much.plans)
        assert much.sorted <= 200, (name, much.plans)


def _fill(registry: SmallRegistry, first: int, end: int) -> None:
    for start in range(first, end, _AT_ONCE):
        rows = [
            {
                "id": f"com_{n}",
                "name": f"Customer {n}",
                "name_folded": f"customer {n}",
                "created_at": NOW - n,
                "external_id": f"cus_{n}",
            }
            for n in range(start, start + _AT_ONCE)
        ]
        with registry.database.auxiliary_write(NOW) as write:
            write.session.execute(insert(tables.companies), rows)
    if registry.database.dialect == "postgresql":
        with registry.database.administrative_write() as connection:
            connection.execute(text("ANALYZE"))
