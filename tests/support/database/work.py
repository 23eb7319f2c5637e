"""What queries cost: steps or rows that the engine works through, and its plans."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from gatepass.registry.storage.database import Reading


class Work:
    """The work of some queries.

    Attributes:
        amount: SQLite's virtual machine steps, or rows that PostgreSQL read.
        plans: the steps of each query's plan, as the engine words them. PostgreSQL's sorts say how
            many rows they sorted.
    """

    def __init__(self) -> None:
        self.amount = 0
        self.plans: list[list[str]] = []

    def scanned(self, *tables: str) -> list[str]:
        """The steps that read all rows of one of *tables*."""
        return [
            step
            for plan in self.plans
            for step in plan
            if any(step in (f"SCAN {name}", f"Seq Scan {name}") for name in tables)
            or any(step.startswith(f"SCAN {name} USING") for name in tables)
        ]

    @property
    def sorted(self) -> int:
        """The most rows that PostgreSQL sorted at once."""
        steps = [step for plan in self.plans for step in plan if step.startswith("Sort ")]
        return max((int(step.removeprefix("Sort ")) for step in steps), default=0)


@contextmanager
def measured(reading: Reading) -> Iterator[Work]:
    """The work of the queries of the block."""
    work = Work()
    asked: list[tuple[str, Any]] = []

    def hear(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    connection = reading.session.connection()
    on_sqlite = connection.dialect.name == "sqlite"
    driver: Any = connection.connection.driver_connection

    def step() -> int:
        work.amount += 10
        return 0

    event.listen(reading.session.get_bind(), "before_cursor_execute", hear)
    if on_sqlite:
        driver.set_progress_handler(step, 10)
    yield work
    if on_sqlite:
        driver.set_progress_handler(None, 0)
    event.remove(reading.session.get_bind(), "before_cursor_execute", hear)
    for statement, parameters in asked:
        if statement.startswith("SET "):
            # The plans depend on it.
            connection.exec_driver_sql(statement)
            continue
        if on_sqlite:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            work.plans.append([row.detail for row in rows])
            continue
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        (plan,) = connection.exec_driver_sql(explain, parameters).scalar_one()
        nodes = list(_nodes(plan["Plan"]))
        work.amount += sum(map(_rows, nodes))
        work.plans.append(list(map(_worded, nodes)))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def _rows(node: dict[str, Any]) -> int:
    looked_at = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return int(looked_at * node["Actual Loops"])


def _worded(node: dict[str, Any]) -> str:
    if node["Node Type"] == "Sort":
        return f"Sort {int(node['Plans'][0]['Actual Rows'])}"
    return f"{node['Node Type']} {node.get('Relation Name', '')}".strip()
