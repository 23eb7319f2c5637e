"""A search costs the same in a long log as in a short one, with any filter."""

from typing import Any

import pytest
from sqlalchemy import insert, text

from gatepass.registry.actor import Actor
from gatepass.registry.audit import search
from gatepass.registry.storage.tables import audit_events
from tests.support.database.small_registry import NOW, SmallRegistry
from tests.support.database.work import measured

FEW, MANY, RARE = 400, 20_000, 60
FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a person": {"people": ["usr_rare"]},
    "two people": {"people": ["usr_rare", "usr_rarer"]},
    "a user": {"user": "usr_rare"},
    "a token": {"tokens": ["gpat_rare"]},
    "a record": {"subject": "rol_rare"},
    "a kind": {"kind": "roles"},
    "an action": {"action": "role.modified"},
    "a time": {"since": NOW + 10, "until": NOW + 10 + RARE},
    "a person's changes of a kind": {"people": ["usr_rare"], "kind": "roles"},
    "a busy person's changes of a rare kind": {"people": ["usr_busy"], "kind": "roles"},
    "a busy person's changes of a rare record": {"user": "usr_busy", "subject": "rol_rare"},
    "nothing at all": {"people": ["usr_nobody"], "kind": "company", "tokens": ["gpat_nothing"]},
}


@pytest.fixture
def actor(registry: SmallRegistry) -> Actor:
    return registry.signed_in(registry.ada)


def write(registry: SmallRegistry, rare: bool, first: int, number: int) -> None:
    rows = [
        {
            "id": f"evt_{n}",
            "company_id": registry.northwind.id,
            "at": NOW + 10 + n,
            "actor_kind": "token",
            "actor_id": "usr_rare" if rare else "usr_busy",
            "actor_name": "Somebody",
            "actor_credential": "gpat_rare" if rare else "gpat_busy",
            "action": "role.modified" if rare else "access_token.deactivated",
            "subject_kind": "role",
            "subject_id": "rol_rare" if rare else f"gpat_{n}",
            "subject_name": "Something",
        }
        for n in range(first, first + number)
    ]
    with registry.write() as change:
        change.session.execute(insert(audit_events), rows)


def pages(registry: SmallRegistry, actor: Actor, filters: dict[str, Any]) -> tuple[int, int]:
    """The number of events, and the work of reading their first page."""
    with registry.read() as reading:
        count = search.count(reading, actor, **filters)
        with measured(reading) as work:
            search.list_(reading, actor, limit=RARE - 10, **filters)
    return count, work.amount


@pytest.mark.slow
def test_a_page_takes_the_same_work_in_a_long_log(registry: SmallRegistry, actor: Actor) -> None:
    # What is looked for is the oldest there is: a walk from the newest would pass all the rest.
    write(registry, True, 0, RARE)
    write(registry, False, RARE, FEW)
    _analyze(registry)
    before = {name: pages(registry, actor, filters) for name, filters in FILTERS.items()}
    write(registry, False, RARE + FEW, MANY)
    _analyze(registry)
    for name, filters in FILTERS.items():
        count, work = pages(registry, actor, filters)
        if not name.startswith("nothing"):
            expected = 0 if "busy" in name else RARE
            assert (count, before[name][0]) == (expected, expected), name
        assert work <= before[name][1] * 1.5 + 20, (name, work, before[name])


def _analyze(registry: SmallRegistry) -> None:
    # As the engine does by itself in time; SQLite's plans have to be good without.
    if registry.database.dialect == "postgresql":
        with registry.database.administrative_write() as connection:
            connection.execute(text("ANALYZE audit_events"))


def test_newest_limits_the_events(registry: SmallRegistry, actor: Actor) -> None:
    with registry.read() as reading:
        newest = search.newest_number(reading)
        before = search.count(reading, actor)
    write(registry, False, 0, 3)
    with registry.read() as reading:
        assert search.count(reading, actor) == before + 3
        assert search.count(reading, actor, newest=newest) == before
        assert len(search.list_(reading, actor, newest=newest).items) == before
