"""What is known of the records that a backup replaces: which there were, and which had ended.

It comes from the database that is replaced and from ``ended.log``, and is kept in a temporary table
for as long as restoring takes: there may be millions.
"""

from collections.abc import Iterable
from itertools import islice

from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    Table,
    Text,
    exists,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.engine import Connection

from gatepass.registry.storage.ended_log import Ending
from gatepass.registry.storage.tables import (
    access_tokens,
    authentications,
    companies,
    invitations,
    key_text,
    users,
    verifier_keys,
)

#: What can end for good, in an order in which what others belong to comes first.
KINDS: dict[str, Table] = {
    "company": companies,
    "user": users,
    "access_token": access_tokens,
    "authentication": authentications,
    "verifier_key": verifier_keys,
    "invitation": invitations,
}

#: Everything there was. ``at`` is when it ended, or None.
known = Table(
    "known_before",
    MetaData(),
    Column("kind", key_text, primary_key=True),
    Column("id", key_text, primary_key=True),
    Column("at", BigInteger),
    Column("by_id", Text),
    Column("by_name", Text),
    prefixes=["TEMPORARY"],
)
_AT_ONCE = 5_000


def begin(connection: Connection) -> None:
    """Know nothing yet."""
    known.create(connection, checkfirst=False)


def learn_from_database(connection: Connection) -> None:
    """Know what the database holds now."""
    for kind, table in KINDS.items():
        found = select(
            literal(kind),
            table.c.id,
            table.c.deactivated_at,
            table.c.deactivated_by,
            table.c.deactivated_by_name,
        )
        columns = ("kind", "id", "at", "by_id", "by_name")
        connection.execute(insert(known).from_select(columns, found))


def learn_from_log(connection: Connection, endings: Iterable[Ending]) -> None:
    """Know what a log tells of, too; what is known to have ended already is known better."""
    rows = (
        {
            "kind": ending.kind,
            "id": ending.id,
            "at": ending.at,
            "by_id": ending.by,
            "by_name": ending.by_name,
        }
        for ending in endings
        if ending.kind in KINDS
    )
    while batch := list(islice(rows, _AT_ONCE)):
        connection.execute(_LEARN, batch)


def missing(connection: Connection) -> dict[str, int]:
    """By kind, how many records there were that the database doesn't hold now."""
    found = {}
    for kind, table in KINDS.items():
        there = exists().where(table.c.id == known.c.id)
        found[kind] = connection.execute(
            select(func.count()).select_from(known).where(known.c.kind == kind, ~there)
        ).scalar_one()
    return found


def revived(connection: Connection) -> int:
    """How many records the database holds as if they had never ended."""
    return sum(
        connection.execute(
            select(func.count()).where(
                table.c.id == known.c.id,
                known.c.kind == kind,
                known.c.at.is_not(None),
                table.c.deactivated_at.is_(None),
            )
        ).scalar_one()
        for kind, table in KINDS.items()
    )


def end(connection: Connection) -> None:
    """Forget it all."""
    known.drop(connection, checkfirst=False)


_LEARN = text(
    "INSERT INTO known_before (kind, id, at, by_id, by_name) "
    "VALUES (:kind, :id, :at, :by_id, :by_name) ON CONFLICT (kind, id) DO UPDATE SET "
    "at = excluded.at, by_id = excluded.by_id, by_name = excluded.by_name "
    "WHERE known_before.at IS NULL"
)
