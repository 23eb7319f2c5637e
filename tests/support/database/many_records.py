"""Thousands of access tokens, users and their search indexes, written in bulk."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any

from sqlalchemy import insert

from gatepass.registry.input.emails import fold_email
from gatepass.registry.input.metadata import entries
from gatepass.registry.input.text import folded
from gatepass.registry.input.words import parts_of, words_of
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Database, Write
from gatepass.registry.storage.rows import insert_missing
from gatepass.registry.storage.word_index import (
    LABELS,
    OWNER_NAMES,
    USER_EMAILS,
    USER_NAMES,
    WordIndex,
)

Row = dict[str, Any]
# A transaction that is idle for two seconds is terminated.
_AT_ONCE = 1_000


def fill_tokens(
    database: Database,
    company: str,
    user: str,
    number: int,
    token: Callable[[int], Row],
    *,
    newest: int,
) -> None:
    """Create *number* tokens, each a millisecond older than the one before.

    Args:
        token: columns of the token with a number from 0, the newest; others have defaults.
        newest: when it was created, Unix ms.
    """
    plain: Row = {
        "company_id": company,
        "digest": bytes(32),
        "kind": "api",
        "permissions": ["charges:create"],
        "networks": [],
        "domains": [],
        "metadata": {},
        "external_id": None,
        "expires_at": None,
        "created_by": user,
        "owner_id": user,
        "deactivated_at": None,
        "deactivated_by_name": None,
        "lapsed_at": None,
        # Of its last use.
        "last_at": 0,
    }
    known: set[str] = set()

    def rows() -> Iterator[Row]:
        for n in range(number):
            row: Row = plain | {
                "id": f"gpat_{_random(company, n)}",
                "created_at": newest - n,
                "label": f"Settlement {n}",
            }
            row |= token(n)
            yield row | {"label_folded": folded(row["label"])}

    for some in _batches(rows()):
        with database.auxiliary_write(newest) as write:
            write.session.execute(insert(tables.access_tokens), list(map(_columns, some)))
            _index(write, LABELS, [(row, (row["label_folded"],)) for row in some], known)
            insert_missing(
                write,
                tables.access_token_permissions,
                [
                    _key(row) | {"permission": permission}
                    for row in some
                    for permission in row["permissions"]
                ],
            )
            write.session.execute(
                insert(tables.access_token_recency),
                [_key(row) | {"life": _life(row), "last_at": row["last_at"]} for row in some],
            )
            insert_missing(
                write,
                tables.access_token_metadata,
                [
                    _key(row) | {"entry": entry}
                    for row in some
                    for entry in entries(row["metadata"])
                ],
            )


def _columns(token: Row) -> Row:
    return {name: value for name, value in token.items() if name != "last_at"}


def _life(token: Row) -> str:
    if token["deactivated_at"] is not None:
        return "deactivated"
    return "active" if token["lapsed_at"] is None else "expired"


def fill_users(
    database: Database, company: str, number: int, user: Callable[[int], Row], *, newest: int
) -> None:
    """Create *number* users, as ``fill_tokens`` does tokens."""
    plain: Row = {
        "company_id": company,
        "role": "reporting",
        "operator": False,
        "password_hash": "none",
        "deactivated_at": None,
        "deactivated_by_name": None,
    }
    names: set[str] = set()
    emails: set[str] = set()

    def rows() -> Iterator[Row]:
        for n in range(number):
            row: Row = plain | {
                "id": f"usr_{_random(company, n)}",
                "created_at": newest - n,
                "name": f"Person {n}",
                "email": f"p{n}@example.com",
            }
            row |= user(n)
            yield row | {
                "name_searched": folded(row["name"]),
                "email_searched": folded(row["email"]),
                "email_folded": fold_email(row["email"]),
            }

    for some in _batches(rows()):
        with database.auxiliary_write(newest) as write:
            write.session.execute(insert(tables.users), some)
            _index(write, USER_NAMES, [(row, (row["name_searched"],)) for row in some], names)
            texts = [(row, (row["email_searched"], row["email_folded"])) for row in some]
            _index(write, USER_EMAILS, texts, emails)


def fill_owners(
    database: Database, company: str, number: int, owner: Callable[[int], Row], *, newest: int
) -> None:
    """Create *number* external owners, as ``fill_tokens`` does tokens."""
    plain: Row = {
        "company_id": company,
        "type": "external",
        "role": "customer-service",
        "created_by": None,
        "created_by_name": "the command line",
        "deactivated_at": None,
        "deactivated_by_name": None,
    }
    names: set[str] = set()

    def rows() -> Iterator[Row]:
        for n in range(number):
            row: Row = plain | {
                "id": f"ext_{_random(company, n)}",
                "created_at": newest - n,
                "name": f"Person {n}",
                "external_id": f"customer {n}",
            }
            row |= owner(n)
            yield row | {"name_searched": folded(row["name"])}

    for some in _batches(rows()):
        with database.auxiliary_write(newest) as write:
            write.session.execute(insert(tables.owners), some)
            _index(write, OWNER_NAMES, [(row, (row["name_searched"],)) for row in some], names)


def _random(company: str, n: int) -> str:
    """The same each time, but in no order."""
    return sha256(f"{company} {n}".encode()).hexdigest()[:16]


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while some := list(islice(rows, _AT_ONCE)):
        yield some


def _index(
    write: Write,
    index: WordIndex,
    records: Sequence[tuple[Row, Sequence[str]]],
    known: set[str],
) -> None:
    words = [
        _key(row) | {"word": word, "rest": rest}
        for row, texts in records
        for word, rest in words_of(texts)
    ]
    new = {row["word"] for row in words} - known
    known |= new
    company = records[0][0]["company_id"]
    parts = [
        {"company_id": company, "part": part, "word": word}
        for word in new
        for part in parts_of(word)
    ]
    insert_missing(write, index.words, words)
    insert_missing(write, index.parts, parts)


def _key(row: Row) -> Row:
    return {name: row[name] for name in ("company_id", "created_at", "id")}
