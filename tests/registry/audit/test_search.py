"""A search costs the same in a long log as in a short one, with any filter."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from gatepass.registry.actor import Actor
from gatepass.registry.audit import search
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import audit_events
from tests.support.database.small_registry import NOW, SmallRegistry

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
    "nothing at all": {"people": ["usr_nobody"], "kind": "company", "tokens": ["gpat_nothing"]},
}


class Work:
    """SQLite's virtual machine steps, or rows that PostgreSQL read."""

    amount = 0


@contextmanager
def measured(reading: Reading) -> Iterator[Work]:
    work = Work()
    if reading.session.get_bind().dialect.name == "sqlite":
        driver: Any = reading.session.connection().connection.driver_connection

        def step() -> int:
            work.amount += 10
            return 0

        driver.set_progress_handler(step, 10)
        yield work
        driver.set_progress_handler(None, 0)
        return
    asked: list[tuple[str, Any]] = []

    def hear(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(reading.session.get_bind(), "before_cursor_execute", hear)
    yield work
    event.remove(reading.session.get_bind(), "before_cursor_execute", hear)
    for statement, parameters in asked:
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        (plan,) = reading.session.connection().exec_driver_sql(explain, parameters).scalar_one()
        work.amount += _rows(plan["Plan"])


def _rows(node: dict[str, Any]) -> int:
    looked_at = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return int(looked_at * node["Actual Loops"]) + sum(map(_rows, node.get("Plans", ())))


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
        if name not in ("nothing", "nothing at all"):
            assert (count, before[name][0]) == (RARE, RARE), name
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
