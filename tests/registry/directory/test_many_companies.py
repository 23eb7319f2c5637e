"""Companies, their owners and tokens are listed and found by an index among many, on both engines.

As a platform does: by its own ids, whatever the number of its customers. ``test_many_owners`` and
``test_many_tokens`` are about a company that has many.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, text

from gatepass.core.grants import CompanyRules
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies, owner_records, owner_search
from gatepass.registry.grants.publishing import publish
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.lists import search as token_search
from tests.support.database.small_registry import NOW, SmallRegistry
from tests.support.database.work import measured

pytestmark = pytest.mark.slow

FEW, MANY = 1_000, 10_000
_AT_ONCE = 1_000
ROOT = Actor.command_line()

#: The company that is asked about, as a platform names it.
ID = "com_314"
IN: Any = {"company": "ext:cus_314"}
#: Each company has as many, and a token for each.
OWNERS = 2

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
    "a company's owners": lambda reading, _: owner_search.list_(reading, ROOT, **IN),
    "an admin key's owners": lambda reading, key: owner_search.list_(reading, key, **IN),
    "owners of a type": lambda reading, _: owner_search.list_(
        reading, ROOT, type="service_account", **IN
    ),
    "an owner by external id": lambda reading, _: owner_search.list_(
        reading, ROOT, type="external", external_id="customer 1", **IN
    ),
    "nobody by external id": lambda reading, _: owner_search.list_(
        reading, ROOT, external_id="nobody", **IN
    ),
    "one owner": lambda reading, _: owner_search.get(reading, ROOT, "ext:customer 1", **IN),
    "the one to put": lambda reading, _: owner_records.by_external_id(reading, ID, "customer 1"),
    "a company's tokens": lambda reading, _: token_search.list_(reading, ROOT, **IN),
    "active tokens": lambda reading, _: token_search.list_(reading, ROOT, status="active", **IN),
    "an owner's tokens": lambda reading, _: token_search.list_(
        reading, ROOT, owner="ext:customer 1", **IN
    ),
    "one token": lambda reading, _: access_tokens.get(reading, ROOT, "gpat_314_1", **IN),
    "an admin key's own": lambda reading, key: companies.list_(reading, key),
}


def test_a_look_up_takes_the_same_work_among_many(registry: SmallRegistry) -> None:
    areas = frozenset({"companies", "owners"})
    key = Actor("admin_key", ID, None, "Shop", areas, "gpak_1")
    registry.do(publish, CompanyRules(ID, True, None, {}))
    works: dict[str, list[Any]] = {name: [] for name in ASKED}
    made = 0
    for number in (FEW, MANY):
        _fill(registry, made, number)
        made = number
        for name, ask in ASKED.items():
            with registry.read() as reading, measured(reading) as work:
                ask(reading, key)
            works[name].append(work)
    with registry.read() as reading:
        for name in ("a company's owners", "an admin key's owners", "a company's tokens"):
            assert len(ASKED[name](reading, key).items) == OWNERS, name
    for name, (little, much) in works.items():
        assert much.amount <= little.amount * 1.5 + 200, (name, little.amount, much.amount)
        scanned = much.scanned("companies", "owners", "access_tokens")
        assert scanned == [] or "page" in name, (name, much.plans)
        assert much.sorted <= 200, (name, much.plans)


def owner(company: int, number: int) -> dict[str, Any]:
    """An owner of a company."""
    return {
        "id": f"own_{company}_{number}",
        "company_id": f"com_{company}",
        "type": ("service_account", "external")[number % 2],
        "external_id": f"customer {number}",
        "name": "Customer",
        "name_searched": "customer",
        "role": "customer-service",
        "created_at": NOW - number,
        "created_by_name": "Shop",
    }


def token(company: int, number: int) -> dict[str, Any]:
    """The token of an owner."""
    return {
        "id": f"gpat_{company}_{number}",
        "company_id": f"com_{company}",
        "digest": bytes(32),
        "kind": "api",
        "label": "Till",
        "label_folded": "till",
        "permissions": ["charges:get"],
        "networks": [],
        "domains": [],
        "created_at": NOW - number,
        "created_by_name": "Shop",
        "owner_id": f"own_{company}_{number}",
    }


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
        # Without the indexes of words, which these lists don't read.
        owners = [owner(n, at) for n in range(start, start + _AT_ONCE) for at in range(OWNERS)]
        with registry.database.auxiliary_write(NOW) as write:
            write.session.execute(insert(tables.owners), owners)
        tokens = [token(n, at) for n in range(start, start + _AT_ONCE) for at in range(OWNERS)]
        with registry.database.auxiliary_write(NOW) as write:
            write.session.execute(insert(tables.access_tokens), tokens)
    if registry.database.dialect == "postgresql":
        with registry.database.administrative_write() as connection:
            connection.execute(text("ANALYZE"))
