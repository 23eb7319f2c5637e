"""One page of each list, with many records against few."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert, select, text

from benchmarks.figures import Figure, Result, Value
from benchmarks.rounds import alternate
from benchmarks.sample_grants import CATALOGUE
from benchmarks.scenarios import Bench, scenario
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search
from gatepass.registry.authentication import sessions
from gatepass.registry.directory import companies, user_search, users
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import create_schema
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.search import list_

FEW, MANY, MANY_PEOPLE = 100, 100_000, 10_000
_NOW = 1_800_000_000_000
_PAGES = 40
_ASKED: dict[str, dict[str, Any]] = {
    "the newest": {},
    "active only": {"status": "active"},
    "searched by label": {"q": "settlement 7"},
}
# Copies of one token, each a millisecond older.
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


@scenario(7, "lists", "A page of each list")
def lists(bench: Bench) -> Iterator[Result]:
    """The registry's list operations on SQLite, called as the REST API and the pages do."""
    bench.say(f"lists: a registry of {MANY:,} tokens")
    few = _registry(bench.directory / "few.db", FEW)
    many = _registry(bench.directory / "many.db", MANY)
    for name, filters in _ASKED.items():
        ratios, took = _measured(bench, name, few, many, partial(list_, **filters))
        yield Value(
            what=f"a page of 50 of {MANY:,} tokens, {name}, against {FEW}",
            value=f"{median(ratios):.1f} times",
            detail=f"{took:.1f} ms, the exact count included",
        )
    yield from _of_people(bench)


def _of_people(bench: Bench) -> Iterator[Result]:
    """Lists without a count: an index finds the page, however long the list is."""
    bench.say(f"lists: {MANY_PEOPLE:,} users, sign-ins and events")
    few = _people(bench.directory / "few_people.db", FEW)
    many = _people(bench.directory / "many_people.db", MANY_PEOPLE)
    for name, read in _LISTS.items():
        ratios, took = _measured(bench, name, few, many, read)
        yield Figure(
            name=f"{MANY_PEOPLE:,} {name}",
            what=f"a page of 50 of {MANY_PEOPLE:,} {name}, against {FEW}",
            ratios=ratios,
            bar=1.5,
            at_most=True,
            detail=f"{took:.1f} ms",
        )


def _registry(path: Path, tokens: int) -> Database:
    database = Database(f"sqlite:///{path}")
    create_schema(database)
    with database.write(_NOW) as change:
        line = Actor.command_line()
        company = companies.create(change, line, catalogue=CATALOGUE, name="Many")
        user = users.create(
            change,
            line,
            company=company.id,
            email="ada@example.com",
            name="Ada",
            role="admin",
            password_hash="none",
        )
        access_tokens.create(
            change,
            users.on_behalf_of(change, user.id),
            catalogue=CATALOGUE,
            label="Settlement",
            kind="api",
            permissions=[CATALOGUE.from_file[0]],
        )
        change.session.execute(text(_COPIES), {"now": _NOW, "copies": tokens - 1})
    return database


def _people(path: Path, number: int) -> Database:
    """A company of *number* users, with one sign-in and one audit event each."""
    database = _registry(path, 1)
    with database.write(_NOW) as change:
        ada = change.session.execute(select(tables.users)).one()._asdict()
        change.session.execute(
            insert(tables.users),
            [
                ada | {"id": f"usr_{n}", "email_folded": f"{n}@example.com", "created_at": _NOW - n}
                for n in range(1, number)
            ],
        )
        change.session.execute(
            insert(tables.authentications),
            [
                {
                    "id": f"gplt_{n}",
                    "company_id": ada["company_id"],
                    "user_id": ada["id"],
                    "digest": bytes(32),
                    "created_at": _NOW - n,
                    "expires_at": _NOW,
                    "address": "203.0.113.9",
                    "user_agent": "a browser",
                }
                for n in range(number)
            ],
        )
        change.session.execute(
            insert(tables.audit_events),
            [
                {
                    "id": f"evt_{n}",
                    "company_id": ada["company_id"],
                    "at": _NOW - n,
                    "actor_kind": "user",
                    # A few of another actor and kind, at the end of the log.
                    "actor_id": ada["id"] if n < number - 60 else "usr_1",
                    "actor_name": "Ada",
                    "actor_credential": f"gplt_{n}",
                    "action": "authentication.created" if n < number - 60 else "role.modified",
                    "subject_kind": "authentication",
                    "subject_id": f"gplt_{n}" if n < number - 60 else "gpat_1",
                    "subject_name": "Ada",
                }
                for n in reversed(range(number))
            ],
        )
    return database


#: The lists as the REST API and the pages query them.
_LISTS: dict[str, Callable[..., object]] = {
    "users": user_search.list_,
    "authentications": partial(sessions.list_, user="all"),
    "audit events": search.list_,
    "audit events, of one person": partial(search.list_, people=["usr_1"]),
    "audit events, of one token": partial(search.list_, tokens=["gpat_1"]),
    "audit events, of one kind": partial(search.list_, kind="roles"),
}


def _measured(
    bench: Bench, name: str, few: Database, many: Database, read: Callable[..., object]
) -> tuple[tuple[float, ...], float]:
    """Measure one list in both databases: the ratios, and the longer time in milliseconds."""
    bench.say(f"lists: {name}")
    subjects = {"few": partial(_page_ms, few, read), "many": partial(_page_ms, many, read)}
    rounds = alternate(bench.rounds(7), subjects)
    return tuple(one["many"] / one["few"] for one in rounds), median(one["many"] for one in rounds)


def _page_ms(database: Database, read: Callable[..., object]) -> float:
    times = []
    with database.read(_NOW) as reading:
        ada = users.by_email(reading, "ada@example.com")
        assert ada is not None
        actor = users.on_behalf_of(reading, ada.id)
    for _ in range(_PAGES):
        started = time.perf_counter()
        with database.read(_NOW) as reading:
            read(reading, actor, limit=50)
        times.append(time.perf_counter() - started)
    return median(times) * 1000
