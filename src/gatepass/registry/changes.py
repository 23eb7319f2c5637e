"""What changed after a position: what followers read on by.

A position is (revision, tag). One that ``revisions`` doesn't hold is unknown: another history, or
older than what is kept. Whoever is there builds its copy anew.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from gatepass.verify.grant_file import TABLES

#: A place in the one history: (revision, tag). The tag is random for each revision.
Position = tuple[int, str]
#: One record as it is now: (table, id, record or None if it is gone, revision of its last change).
Change = tuple[str, str, bytes | None, int]

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


def here(session: Session) -> Position:
    """The latest position."""
    number, tag = session.execute(_HERE).one()
    return number, tag


def known(session: Session, position: Position) -> bool:
    """Whether this history has been at *position*, and what changed since is still kept."""
    number, tag = position
    found = session.execute(_KNOWN, {"number": number, "tag": tag}).one_or_none()
    return found is not None


def since(session: Session, after: Position) -> tuple[Position, list[Change]] | None:
    """All that changed after *after*, and the position it leads to; None if *after* is unknown.

    Call it within one consistent reading: a record that changed twice is seen as it is at the
    position returned.
    """
    there = here(session)
    if there == after:
        return there, []
    if not known(session, after):
        return None
    rows = session.execute(_CHANGES, {"after": after[0]}).all()
    return there, [(table, key, record, revision) for table, key, record, revision in rows]


_HERE = text(HERE)
_KNOWN = text(known_sql(":number", ":tag"))
_CHANGES = text(changes_sql(":after"))
