"""The records that a backup replaces, and which of them were revoked.

They come from the replaced database and from ``ended.log``, and are kept in a temporary table
during the restore: there may be millions.
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

from gatepass.registry.storage.ended_log import Revocation
from gatepass.registry.storage.tables import (
    access_tokens,
    admin_keys,
    authentications,
    companies,
    invitations,
    key_text,
    owners,
    portal_sessions,
    users,
    verifier_keys,
)

#: The tables of records that can be revoked; owners come before what they own.
KINDS: dict[str, Table] = {
    "company": companies,
    "user": users,
    "owner": owners,
    "access_token": access_tokens,
    "authentication": authentications,
    "verifier_key": verifier_keys,
    "admin_key": admin_keys,
    "portal_session": portal_sessions,
    "invitation": invitations,
}

#: All former records. ``at`` is the time of their revocation, or None.
former = Table(
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


def create(connection: Connection) -> None:
    """Create the temporary table, empty."""
    former.create(connection, checkfirst=False)


def add_from_database(connection: Connection) -> None:
    """Add all records of the database."""
    for kind, table in KINDS.items():
        found = select(
            literal(kind),
            table.c.id,
            table.c.deactivated_at,
            table.c.deactivated_by,
            table.c.deactivated_by_name,
        )
        columns = ("kind", "id", "at", "by_id", "by_name")
        connection.execute(insert(former).from_select(columns, found))


def add_from_log(connection: Connection, revocations: Iterable[Revocation]) -> None:
    """Add the revocations of a log, except those of records already known as revoked."""
    rows = (
        {
            "kind": each.kind,
            "id": each.id,
            "at": each.at,
            "by_id": each.by,
            "by_name": each.by_name,
        }
        for each in revocations
        if each.kind in KINDS
    )
    while batch := list(islice(rows, _AT_ONCE)):
        connection.execute(_ADD_REVOKED, batch)


def count_missing(connection: Connection) -> dict[str, int]:
    """The number of former records, by kind, that the database doesn't hold now."""
    found = {}
    for kind, table in KINDS.items():
        present = exists().where(table.c.id == former.c.id)
        found[kind] = connection.execute(
            select(func.count()).select_from(former).where(former.c.kind == kind, ~present)
        ).scalar_one()
    return found


def count_reactivated(connection: Connection) -> int:
    """The number of revoked records that the database holds as active."""
    return sum(
        connection.execute(
            select(func.count()).where(
                table.c.id == former.c.id,
                former.c.kind == kind,
                former.c.at.is_not(None),
                table.c.deactivated_at.is_(None),
            )
        ).scalar_one()
        for kind, table in KINDS.items()
    )


def drop(connection: Connection) -> None:
    """Drop the temporary table."""
    former.drop(connection, checkfirst=False)


_ADD_REVOKED = text(
    "INSERT INTO known_before (kind, id, at, by_id, by_name) "
    "VALUES (:kind, :id, :at, :by_id, :by_name) ON CONFLICT (kind, id) DO UPDATE SET "
    "at = excluded.at, by_id = excluded.by_id, by_name = excluded.by_name "
    "WHERE known_before.at IS NULL"
)
