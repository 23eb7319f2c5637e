"""What changed after a position: what followers read on by.

A position is (revision, tag). One that ``revisions`` doesn't hold is unknown: another history, or
older than what is kept. Whoever is there builds its copy anew.
"""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import text

from gatepass.registry.storage.database import Reading
from gatepass.verify.grant_file import TABLES

#: A place in the one history: (revision, tag). The tag is random for each revision.
Position = tuple[int, str]
#: One record as it is now: (table, id, record or None if it is gone, revision of its last change).
ChangedRow = tuple[str, str, bytes | None, int]


class Place(NamedTuple):
    """How far somebody has come who reads piece by piece what changed up to a position.

    Attributes:
        to: up to where.
        revision, table, id: the row of ``changed_records`` that was read last.
    """

    to: Position
    revision: int
    table: str = ""
    id: str = ""


HERE = "SELECT number, tag FROM revision WHERE id = 1"

#: The queries for every record, a table at a time: by id, which is the order a copy's tables have.
SNAPSHOT = tuple(
    f"SELECT '{table}', id, record, revision FROM {table} ORDER BY id"  # noqa: S608 - the grant file's own table names
    for table in TABLES
)


def known_sql(number: str, tag: str) -> str:
    """The query that finds a row where a position is known; its parameters as a driver spells
    them."""
    return f"SELECT 1 FROM revisions WHERE number = {number} AND tag = {tag}"  # noqa: S608 - parameters' spellings


def changes_sql(after: str) -> str:
    """The query for all records that changed after a revision, by (revision, id); its parameter as
    a driver spells it."""
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


def here(reading: Reading) -> Position:
    """The latest position."""
    number, tag = reading.session.execute(_HERE).one()
    return number, tag


def known(reading: Reading, position: Position) -> bool:
    """Whether this history has been at *position*, and what changed since is still kept."""
    number, tag = position
    found = reading.session.execute(_KNOWN, {"number": number, "tag": tag}).one_or_none()
    return found is not None


def since(reading: Reading, after: Position) -> tuple[Position, list[ChangedRow]] | None:
    """All that changed after *after*, and the position it leads to; None if *after* is unknown.

    Call it within one consistent reading: a record that changed twice is seen as it is at the
    position returned.
    """
    there = here(reading)
    if there == after:
        return there, []
    if not known(reading, after):
        return None
    rows = reading.session.execute(_CHANGES, {"after": after[0]}).all()
    return there, [(table, key, record, revision) for table, key, record, revision in rows]


def more_than(reading: Reading, after: int, number: int) -> bool:
    """Whether more than *number* records changed after the revision *after*, those that changed
    twice counted twice."""
    asked = {"after": after, "number": number}
    return bool(reading.session.execute(_MORE_THAN, asked).all())


def beyond_reach(reading: Reading, number: int) -> int:
    """More than *number* records changed after every revision before this one, and no more than
    that after any other."""
    return reading.session.execute(_BEYOND_REACH, {"number": number}).scalar_one_or_none() or 0


def is_whole(reading: Reading, place: Place) -> bool:
    """Whether this history leads to where *place* does, and all that comes after it is kept."""
    return known(reading, place.to) and bool(
        reading.session.execute(_KEPT, {"revision": place.revision}).all()
    )


def left(reading: Reading, place: Place) -> int:
    """How many rows :func:`read_on` has after *place*."""
    number: int = reading.session.execute(_LEFT, _asked(place)).scalar_one()
    return number


def read_on(reading: Reading, place: Place, most: int) -> Iterator[ChangedRow]:
    """What changed after *place*, as it is now, not as it was at ``place.to``: only with all that
    changed after that position it is exact. A record that changed twice may come twice."""
    rows = reading.session.execute(_READ_ON, {**_asked(place), "most": most})
    return ((table, key, record, revision) for table, key, record, revision in rows)


def _asked(place: Place) -> dict[str, object]:
    return {"after": place.revision, "table": place.table, "id": place.id, "to": place.to[0]}


_HERE = text(HERE)
_MORE_THAN = text("SELECT 1 FROM changed_records WHERE revision > :after LIMIT 1 OFFSET :number")
_BEYOND_REACH = text(
    "SELECT revision FROM changed_records ORDER BY revision DESC LIMIT 1 OFFSET :number"
)
_KEPT = text("SELECT 1 FROM revisions WHERE number = :revision")
_AFTER = (
    "FROM changed_records WHERE (revision, record_table, record_id) > (:after, :table, :id) "
    "AND revision <= :to"
)
_LEFT = text(f"SELECT count(*) {_AFTER}")
_RECORD = ", ".join(f"{table}.record" for table in TABLES)
_READ_ON = text(
    f"SELECT record_table, record_id, coalesce({_RECORD}), changed.revision "  # noqa: S608 - the grant file's own table names
    f"FROM (SELECT revision, record_table, record_id {_AFTER} "
    "ORDER BY revision, record_table, record_id LIMIT :most) AS changed "
    + " ".join(
        f"LEFT JOIN {table} ON record_table = '{table}' AND {table}.id = record_id"
        for table in TABLES
    )
    + " ORDER BY changed.revision, record_table, record_id"
)
_KNOWN = text(known_sql(":number", ":tag"))
_CHANGES = text(changes_sql(":after"))
