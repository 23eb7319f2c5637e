"""A page of the list of tokens, at a hundred thousand of them against a hundred."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import text

from benchmarks.figures import Result, Value
from benchmarks.population import CATALOGUE
from benchmarks.rounds import alternate
from benchmarks.scenarios import Bench, scenario
from gatepass.registry import access_tokens, companies, users
from gatepass.registry.access_token_search import list_
from gatepass.registry.actor import Actor
from gatepass.registry.database import Database
from gatepass.registry.schema import create_schema

FEW, MANY = 100, 100_000
_NOW = 1_800_000_000_000
_PAGES = 40
_ASKED: dict[str, dict[str, Any]] = {
    "the newest": {},
    "active ones": {"status": "active"},
    "a label searched for": {"q": "settlement 7"},
}
# One token over and over, each a millisecond older.
_COPIES = """
    WITH RECURSIVE copies (n) AS (
        SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < :copies
    )
    INSERT INTO access_tokens
    SELECT 'gpat_' || CAST(1000000000000000 + n AS TEXT), company_id, digest, kind,
        'Settlement ' || n, 'settlement ' || n, permissions, networks, domains,
        CASE n % 100 WHEN 1 THEN :now - 1 END, created_at - n, created_by, NULL, NULL, NULL, NULL
    FROM access_tokens CROSS JOIN copies
"""


@scenario(6, "lists", "A page of the list of tokens")
def lists(bench: Bench) -> Iterator[Result]:
    """The registry's own list, as the REST API and the dashboard ask for it, on SQLite."""
    bench.say(f"lists: a registry of {MANY:,} tokens")
    few = _registry(bench.directory / "few.db", FEW)
    many = _registry(bench.directory / "many.db", MANY)
    for name, filters in _ASKED.items():
        bench.say(f"lists: {name}")
        measured = alternate(
            bench.rounds(7),
            {
                "few": partial(_page_ms, few, filters),
                "many": partial(_page_ms, many, filters),
            },
        )
        ratio = median(one["many"] / one["few"] for one in measured)
        took = median(one["many"] for one in measured)
        yield Value(
            what=f"a page of 50 of {MANY:,} tokens, {name}, against {FEW}",
            value=f"{ratio:.1f} times",
            detail=f"{took:.1f} ms, the exact count included",
        )


def _registry(path: Path, tokens: int) -> Database:
    database = Database(f"sqlite:///{path}")
    create_schema(database)
    with database.changing(_NOW) as session:
        line = Actor.command_line()
        company = companies.create(session, line, catalogue=CATALOGUE, name="Many")
        user = users.create(
            session,
            line,
            company=company.id,
            email="ada@example.com",
            name="Ada",
            role="admin",
            password_hash="none",
        )
        access_tokens.create(
            session,
            users.on_behalf_of(session, user.id),
            catalogue=CATALOGUE,
            label="Settlement",
            kind="api",
            permissions=[CATALOGUE.from_file[0]],
        )
        session.execute(text(_COPIES), {"now": _NOW, "copies": tokens - 1})
    return database


def _page_ms(database: Database, filters: dict[str, Any]) -> float:
    times = []
    with database.reading(_NOW) as session:
        ada = users.by_email(session, "ada@example.com")
        assert ada is not None
        actor = users.on_behalf_of(session, ada.id)
    for _ in range(_PAGES):
        started = time.perf_counter()
        with database.reading(_NOW) as session:
            list_(session, actor, limit=50, **filters)
        times.append(time.perf_counter() - started)
    return median(times) * 1000
