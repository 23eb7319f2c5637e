"""Revisions, and the records that changed after one: what followers read.

A position is (revision, tag). A position that ``revisions`` doesn't hold is unknown: it belongs to
another history, or is older than the revisions kept. A follower there rebuilds its copy.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sqlalchemy import bindparam, text

from gatepass.registry.storage.database import Reading
from gatepass.verify.grant_file import TABLES

#: A position in the history: (revision, tag). Each revision has a random tag.
Position = tuple[int, str]
#: The current state of a record: (table, id, record or None if removed, revision of its last
#: change).
ChangedRow = tuple[str, str, bytes | None, int]


class ChangesCursor(NamedTuple):
    """How far a follower has read the changes up to a position.

    Attributes:
        to: the position that the changes lead to.
        revision, table, id: the last row of ``changed_records`` that was read.
    """

    to: Position
    revision: int
    table: str = ""
    id: str = ""


LATEST = "SELECT number, tag FROM revision WHERE id = 1"

#: The queries for all records, one for each table, by id: the order of the tables of a copy.
SNAPSHOT = tuple(
    f"SELECT '{table}', id, record, revision FROM {table} ORDER BY id"  # noqa: S608 - the grant file's own table names
    for table in TABLES
)


def is_known_sql(number: str, tag: str) -> str:
    """The query that finds a row if a position is known; placeholders in the driver's syntax."""
    return f"SELECT 1 FROM revisions WHERE number = {number} AND tag = {tag}"  # noqa: S608 - placeholders


def changes_sql(after: str) -> str:
    """The query for all records that changed after a revision, by (revision, id).

    Args:
        after: the placeholder of the revision, in the driver's syntax.
    """
    return (
        " UNION ALL ".join(
            f"SELECT '{table}', changed.record_id, {table}.record, max(changed.revision) "  # noqa: S608 - the grant file's own table names
            f"FROM changed_records AS changed LEFT JOIN {table} ON {table}.id = changed.record_id "
            f"WHERE changed.record_table = '{table}' AND changed.revision > {after} "
            f"GROUP BY changed.record_id, {table}.record"
            for table in TABLES
        )
        + " ORDER BY 4, 2"
    )


def latest(reading: Reading) -> Position:
    """The latest position."""
    number, tag = reading.session.execute(_LATEST).one()
    return number, tag


class Overview(NamedTuple):
    """What a snapshot of the registry says about some positions.

    Attributes:
        latest: the latest position.
        known: those of the positions that are known (``is_known``).
        reach: the earliest revision after which no more than the requested number of records
            changed; 0 if that is true of all.
    """

    latest: Position
    known: frozenset[Position]
    reach: int


def overview(reading: Reading, positions: Collection[Position], number: int) -> Overview:
    """The latest position, and which *positions* are known and within *number* changes of it.

    One statement: each round trip to the database delays a change on its way to the followers.
    """
    numbers = [position[0] for position in positions]
    parameters = {"numbers": numbers, "number": number}
    rows = reading.session.execute(_OVERVIEW, parameters).all()
    found = {(row.known_number, row.known_tag) for row in rows}
    return Overview(
        (rows[0].number, rows[0].tag), frozenset(found.intersection(positions)), rows[0].reach or 0
    )


def is_known(reading: Reading, position: Position) -> bool:
    """Whether *position* belongs to this history, and all later changes are still kept."""
    number, tag = position
    found = reading.session.execute(_IS_KNOWN, {"number": number, "tag": tag}).one_or_none()
    return found is not None


def changes_since(reading: Reading, after: Position) -> tuple[Position, list[ChangedRow]] | None:
    """All records that changed after *after*, and the latest position; None if *after* is unknown.

    Call it within one snapshot: a record that changed twice is returned as of the latest position.
    """
    position = latest(reading)
    if position == after:
        return position, []
    return (position, changes(reading, after[0])) if is_known(reading, after) else None


def changes(reading: Reading, after: int) -> list[ChangedRow]:
    """All records that changed after the revision *after*, by (revision, id)."""
    rows = reading.session.execute(_CHANGES, {"after": after}).all()
    return [(table, key, record, revision) for table, key, record, revision in rows]


def earliest_within(reading: Reading, number: int) -> int:
    """The earliest revision after which there are at most *number* changes of records."""
    return reading.session.execute(_EARLIEST_WITHIN, {"number": number}).scalar_one_or_none() or 0


def is_available(reading: Reading, cursor: ChangesCursor) -> bool:
    """Whether ``cursor.to`` belongs to this history, and all changes after *cursor* are kept."""
    return is_known(reading, cursor.to) and bool(
        reading.session.execute(_KEPT, {"revision": cursor.revision}).all()
    )


def remaining(reading: Reading, cursor: ChangesCursor) -> int:
    """The number of rows that :func:`changes_after` has after *cursor*."""
    number: int = reading.session.execute(_REMAINING, _parameters(cursor)).scalar_one()
    return number


def changes_after(reading: Reading, cursor: ChangesCursor, most: int) -> Iterator[ChangedRow]:
    """Up to *most* changes after *cursor*, each record in its current state.

    The current state may be later than ``cursor.to``: the copy is exact only once it also has all
    changes after that position. A record that changed twice may be returned twice.
    """
    rows = reading.session.execute(_CHANGES_AFTER, {**_parameters(cursor), "most": most})
    return ((table, key, record, revision) for table, key, record, revision in rows)


def _parameters(cursor: ChangesCursor) -> dict[str, object]:
    return {
        "after": cursor.revision,
        "table": cursor.table,
        "id": cursor.id,
        "to": cursor.to[0],
    }


_LATEST = text(LATEST)
_EARLIEST = "SELECT revision FROM changed_records ORDER BY revision DESC LIMIT 1 OFFSET :number"
_EARLIEST_WITHIN = text(_EARLIEST)
_KEPT = text("SELECT 1 FROM revisions WHERE number = :revision")
_AFTER = (
    "FROM changed_records WHERE (revision, record_table, record_id) > (:after, :table, :id) "
    "AND revision <= :to"
)
_REMAINING = text(f"SELECT count(*) {_AFTER}")
_RECORD = ", ".join(f"{table}.record" for table in TABLES)
_CHANGES_AFTER = text(
    f"SELECT record_table, record_id, coalesce({_RECORD}), changed.revision "  # noqa: S608 - the grant file's own table names
    f"FROM (SELECT revision, record_table, record_id {_AFTER} "
    "ORDER BY revision, record_table, record_id LIMIT :most) AS changed "
    + " ".join(
        f"LEFT JOIN {table} ON record_table = '{table}' AND {table}.id = record_id"
        for table in TABLES
    )
    + " ORDER BY changed.revision, record_table, record_id"
)
_IS_KNOWN = text(is_known_sql(":number", ":tag"))
_OVERVIEW = text(
    "SELECT latest.number, latest.tag, known.number AS known_number, known.tag AS known_tag, "  # noqa: S608 - a constant
    f"({_EARLIEST}) AS reach FROM revision AS latest "
    "LEFT JOIN revisions AS known ON known.number IN :numbers WHERE latest.id = 1"
).bindparams(bindparam("numbers", expanding=True))
_CHANGES = text(changes_sql(":after"))
