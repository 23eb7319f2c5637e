"""One page of each list, with many records against few, on both engines."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert, text

from benchmarks.figures import Figure, Result, Value
from benchmarks.rounds import alternate
from benchmarks.sample_grants import CATALOGUE
from benchmarks.scenarios import LARGE, SMALL, Bench, scenario
from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search as audit_search
from gatepass.registry.audit import search_terms
from gatepass.registry.authentication import sessions
from gatepass.registry.directory import companies, owner_search, user_search, users
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Database, Reading
from gatepass.registry.storage.paging import Cursor
from gatepass.registry.storage.schema import create_schema
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.lists import search as token_search
from tests.support.database.many_records import Row, fill_owners, fill_tokens, fill_users
from tests.support.database.postgresql import Cluster

_NOW = 1_800_000_000_000
_QUICKLY = 30_000
_PAGES = 20
_AT_ONCE = 2_000
_CREATED = 200
#: So many records of each rare kind, the oldest: a walk from the newest passes all others.
_RARE = 60

Read = Callable[[Reading, Actor], object]

_RARE_TOKENS: tuple[Row, ...] = (
    {"label": "Payroll"},
    {"kind": "ui"},
    {"permissions": ["refunds:create"]},
    {"expires_at": _NOW - 1, "lapsed_at": _NOW - 1},
    {"deactivated_at": _NOW, "deactivated_by_name": "Ada"},
    {"networks": []},
    {"last_at": 0},
    {"metadata": {"team": "rare"}},
)
_TOKEN_FILTERS: dict[str, dict[str, Any]] = {
    "the newest": {},
    "active": {"status": "active"},
    "expired": {"status": "expired"},
    "deactivated": {"status": "deactivated"},
    "of a common kind": {"kind": "api"},
    "of a rare kind": {"kind": "ui"},
    "with a common permission": {"permission": "charges:create"},
    "with a rare permission": {"permission": "refunds:create"},
    "with a permission that none has": {"permission": "payouts:create"},
    "a common word": {"q": "settlement"},
    "a part of a common word": {"q": "ttle"},
    "two words, one in nine": {"q": "settlement 7"},
    "a rare word": {"q": "payroll"},
    "a part of a rare word": {"q": "ayro"},
    "one label": {"q": "settlement 314."},
    "no label": {"q": "nowhere"},
    "one id": {"q": "gpat_Known"},
    "a common word, active": {"q": "settlement", "status": "active"},
    "two words, active": {"q": "settlement 7", "status": "active"},
    "a rare word, active": {"q": "payroll", "status": "active"},
    "a common word, a rare kind": {"q": "settlement", "kind": "ui"},
    "a common permission, expired": {"permission": "charges:create", "status": "expired"},
    "by label, active": {"sort": "label", "status": "active"},
    "by expiry, the last first": {"sort": "expires_at", "order": "desc"},
    "by last use, active": {"sort": "last_used", "status": "active"},
    "a rare word, by last use": {"sort": "last_used", "q": "payroll"},
    "never used, active": {"used": "never", "status": "active"},
    "without networks, active": {"network": "none", "status": "active"},
    "with rare metadata": {"metadata": "team:rare"},
}
_USER_FILTERS: dict[str, dict[str, Any]] = {
    "the newest": {},
    "active": {"status": "active"},
    "deactivated": {"status": "deactivated"},
    "a common word": {"q": "person"},
    "a rare word": {"q": "hopper"},
    "a part of an address": {"q": "@example"},
    "nobody": {"q": "nowhere"},
}
_OWNER_FILTERS: dict[str, dict[str, Any]] = {
    "the newest": {},
    "of a rare type": {"type": "service_account"},
    "deactivated": {"status": "deactivated"},
    "a common word": {"q": "person"},
    "one external id": {"external_id": "customer 314"},
    "no external id": {"external_id": "nobody"},
}
_LOG_FILTERS: dict[str, dict[str, Any]] = {
    "the newest": {},
    "of one person": {"people": ["usr_rare"]},
    "of one token": {"tokens": ["gpat_rare"]},
    "of one kind": {"kind": "roles"},
    "of one action": {"action": "role.modified"},
    "about one record": {"subject": "gpat_rare"},
    "of one person and kind": {"people": ["usr_rare"], "kind": "roles"},
}


@scenario(7, "lists", "A page of each list")
def lists(bench: Bench) -> Iterator[Result]:
    """The registry's list operations, called as the REST API and the pages do."""
    number = _QUICKLY if bench.quick else LARGE
    yield from _of_engine(bench, "SQLite", number, _sqlite(bench.directory))
    with Cluster(shared_buffers="256MB", max_wal_size="4GB") as cluster:
        yield from _of_engine(bench, "PostgreSQL", number, cluster.create)


def _sqlite(directory: Path) -> Callable[[str], str]:
    return lambda name: f"sqlite:///{directory / name}.db"


def _of_engine(
    bench: Bench, engine: str, number: int, url: Callable[[str], str]
) -> Iterator[Result]:
    few = _filled(bench, engine, url(f"lists_{SMALL}"), SMALL)
    many = _filled(bench, engine, url(f"lists_{number}"), number)
    for what, read in _reads(number):
        bench.say(f"lists: {what}, {engine}")
        subjects = {
            "few": partial(_page_ms, few, read(SMALL)),
            "many": partial(_page_ms, many, read(number)),
        }
        rounds = alternate(bench.rounds(7), subjects)
        yield Figure(
            name=f"{what}, {engine}",
            what=f"a page of 50 of {number:,} {what}, {engine}, against {SMALL:,}",
            ratios=tuple(one["many"] / one["few"] for one in rounds),
            bar=1.5,
            at_most=True,
            detail=f"{median(one['many'] for one in rounds):.1f} ms",
        )
    bench.say(f"lists: creating tokens, {engine}")
    yield Value(
        what=f"creating a token among {number:,}, {engine}",
        value=f"{_create_ms(many):.1f} ms",
        detail=f"{_create_ms(few):.1f} ms among {SMALL:,}; one at a time, commit included",
    )
    few.close()
    many.close()


def _reads(number: int) -> Iterator[tuple[str, Callable[[int], Read]]]:
    """Each list and filter: what is measured, and how to read it among a number of records."""

    def same(read: Callable[..., object], **filters: Any) -> Callable[[int], Read]:
        return lambda _: partial(read, limit=50, **filters)

    for name, filters in _TOKEN_FILTERS.items():
        yield f"tokens, {name}", same(token_search.list_, **filters)
    yield "tokens, page after page", lambda size: partial(_page_after_page, size=size)
    for name, filters in _USER_FILTERS.items():
        yield f"users, {name}", same(user_search.list_, **filters)
    for name, filters in _OWNER_FILTERS.items():
        yield f"owners, {name}", same(owner_search.list_, **filters)
    yield "authentications", same(sessions.list_, user="all")
    for name, filters in _LOG_FILTERS.items():
        yield f"audit events, {name}", same(audit_search.list_, **filters)
    for name, called in (
        ("a person by name", partial(_called, search_terms.people_called, "hopper")),
        ("a token by label", partial(_called, search_terms.tokens_called, "payroll")),
    ):
        yield f"audit events, {name}", partial(_ignoring_size, called)


def _ignoring_size(read: Read, _: int) -> Read:
    return read


def _page_after_page(reading: Reading, actor: Actor, *, size: int) -> None:
    """Five pages from the middle on."""
    cursor: str | None = str(Cursor(_NOW - size // 2, "gpat_"))
    for _ in range(5):
        page = token_search.list_(reading, actor, limit=50, cursor=cursor)
        cursor = page.next


def _called(
    resolve: Callable[[Reading, Actor, str], object], term: str, reading: Reading, actor: Actor
) -> None:
    # There are more than the log's filter takes.
    with suppress(InvalidInput):
        resolve(reading, actor, term)


def _filled(bench: Bench, engine: str, url: str, number: int) -> Database:
    """A company with *number* tokens, users, owners, sign-ins and audit events."""
    bench.say(f"lists: a registry of {number:,} tokens, users and owners, {engine}")
    database = Database(url)
    create_schema(database)
    with database.write(_NOW) as change:
        line = Actor.command_line()
        company = companies.create(change, line, catalogue=CATALOGUE, name="Many").id
        ada = users.create(
            change,
            line,
            company=company,
            email="ada@example.com",
            name="Ada",
            role="admin",
            password_hash="none",
        ).id
    fill_tokens(database, company, ada, number, partial(_token, number), newest=_NOW)
    fill_users(database, company, number, partial(_user, number), newest=_NOW - 1)
    fill_owners(database, company, number, partial(_owner, number), newest=_NOW - 2)
    _fill(database, tables.authentications, number, partial(_authentication, company, ada))
    _fill(database, tables.audit_events, number, partial(_event, number, company, ada))
    if database.dialect == "postgresql":
        with database.administrative_write() as connection:
            connection.execute(text("ANALYZE"))
    return database


def _token(number: int, n: int) -> Row:
    group = (number - 1 - n) // _RARE
    if n == 5:
        return {"id": "gpat_Known00000000000"}
    rare = _RARE_TOKENS[group] if group < len(_RARE_TOKENS) else {}
    common = {"label": f"Settlement {n}.", "networks": ["10.0.0.0/8"], "last_at": _NOW - n}
    return common | rare


def _user(number: int, n: int) -> Row:
    group = (number - 1 - n) // _RARE
    if group == 0:
        return {"name": "Grace Hopper"}
    return {"deactivated_at": _NOW, "deactivated_by_name": "Ada"} if group == 1 else {}


def _owner(number: int, n: int) -> Row:
    group = (number - 1 - n) // _RARE
    if group == 0:
        return {"type": "service_account", "external_id": None}
    return {"deactivated_at": _NOW, "deactivated_by_name": "Ada"} if group == 1 else {}


def _authentication(company: str, user: str, n: int) -> Row:
    return {
        "id": f"gplt_{n:016}",
        "company_id": company,
        "user_id": user,
        "digest": bytes(32),
        "created_at": _NOW + n,
        "expires_at": _NOW,
        "address": "203.0.113.9",
        "user_agent": "a browser",
    }


def _event(number: int, company: str, user: str, n: int) -> Row:
    rare = n < _RARE
    return {
        "id": f"evt_{n:016}",
        "company_id": company,
        "at": _NOW + n,
        "actor_kind": "user",
        "actor_id": "usr_rare" if rare else user,
        "actor_name": "Ada",
        "actor_credential": "gplt_1",
        "action": "role.modified" if rare else "authentication.created",
        "subject_kind": "authentication",
        "subject_id": "gpat_rare" if rare else f"gplt_{n}",
        "subject_name": "Ada",
    }


def _fill(database: Database, table: Any, number: int, row: Callable[[int], Row]) -> None:
    for start in range(0, number, _AT_ONCE):
        with database.auxiliary_write(_NOW) as write:
            some = range(start, min(start + _AT_ONCE, number))
            write.session.execute(insert(table), [row(n) for n in some])


def _actor(reading: Reading) -> Actor:
    ada = users.by_email(reading, "ada@example.com")
    assert ada is not None
    return users.on_behalf_of(reading, ada.id)


def _page_ms(database: Database, read: Read) -> float:
    times = []
    with database.read(_NOW) as reading:
        actor = _actor(reading)
    for _ in range(_PAGES):
        started = time.perf_counter()
        with database.read(_NOW) as reading:
            read(reading, actor)
        times.append(time.perf_counter() - started)
    return median(times) * 1000


def _create_ms(database: Database) -> float:
    times = []
    with database.read(_NOW) as reading:
        actor = _actor(reading)
    for n in range(_CREATED):
        started = time.perf_counter()
        with database.write(_NOW) as change:
            access_tokens.create(
                change,
                actor,
                catalogue=CATALOGUE,
                label=f"Nightly settlement {n}",
                kind="api",
                permissions=[CATALOGUE.from_file[0]],
            )
        times.append(time.perf_counter() - started)
    return median(times) * 1000
