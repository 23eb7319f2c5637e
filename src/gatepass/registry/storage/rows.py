"""Looking up one row, making its record, comparing its version, marking it as deactivated."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, text, update
from sqlalchemy.dialects import sqlite

from gatepass.core.errors import Conflict, NotFound
from gatepass.registry.actor import Actor, Person
from gatepass.registry.input.text import storable
from gatepass.registry.storage.database import Reading, Write

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def of_company(actor: Actor, table: Table) -> list[ColumnElement[bool]]:
    """The condition that a row of *table* is the actor's company's.

    None for the command line and the system, which act on all companies.
    """
    return [] if actor.company is None else [table.c.company_id == actor.company]


def find(reading: Reading, rows: Select[Any], record_id: str, what: str) -> Row[Any]:
    """The one row that *rows* selects by *record_id*.

    Args:
        what: names the record in the error, such as ``user``.

    Raises:
        NotFound: there is none. No record has an id with characters that can't be stored.
    """
    row = reading.session.execute(rows).one_or_none() if storable(record_id) else None
    if row is None:
        raise NotFound(f"There is no such {what}.")
    return row


def require_unchanged(
    current: object, etag: str, if_match: Collection[str] | None, what: str
) -> None:
    """Require that *if_match* names the present version of a record.

    Args:
        current: the record; the error carries it.
        etag: its present version.
        if_match: the accepted versions; None accepts any.
        what: names the record in the error, such as ``this user``.

    Raises:
        Conflict: ``changed_meanwhile``, with the ``current`` record.
    """
    if if_match is not None and etag not in if_match:
        raise Conflict(
            f"Someone changed {what} meanwhile.", reason="changed_meanwhile", current=current
        )


def record_of(kind: type[T], row: Row[Any], **computed: Any) -> T:
    """The record of *row*: a dataclass, from the columns with its fields' names.

    A field's default never stands for a column that wasn't selected: that would be another value
    than the stored one.

    Args:
        computed: the fields that aren't columns, or have another value.

    Raises:
        KeyError: neither *row* nor *computed* has a field.
    """
    names = [field.name for field in fields(kind) if field.name not in computed]
    return kind(**{name: row._mapping[name] for name in names}, **computed)


def status_of(row: Row[Any], now: int | None = None) -> Literal["active", "expired", "deactivated"]:
    """The status of a record at *now* (Unix ms), which only a record that can expire needs."""
    if row.deactivated_at is not None:
        return "deactivated"
    expires_at = row._mapping.get("expires_at")
    if expires_at is None:
        return "active"
    assert now is not None
    return "active" if now < expires_at else "expired"


def deactivated_by(row: Row[Any]) -> Person | None:
    """Who deactivated the record of *row*; None if it isn't deactivated."""
    if row.deactivated_at is None:
        return None
    return Person(row.deactivated_by, row.deactivated_by_name)


def update_row(write: Write, table: Table, record_id: str, **values: Any) -> None:
    """Set columns of the row of *table* with that id."""
    write.session.execute(update(table).where(table.c.id == record_id).values(values))


def insert_missing(write: Write, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those of *rows* that *table* doesn't have yet, in one statement.

    All have the same columns, of text and whole numbers.
    """
    if not rows:
        return
    if write.session.get_bind().dialect.name == "sqlite":
        write.session.execute(sqlite.insert(table).on_conflict_do_nothing(), list(rows))
        return
    names = list(rows[0])
    arrays = ", ".join(
        f"CAST(:{name} AS {'bigint' if isinstance(rows[0][name], int) else 'text'}[])"
        for name in names
    )
    # The driver would send a list of rows one by one.
    write.session.execute(
        text(
            f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays}) "  # noqa: S608 - the schema's own names
            "ON CONFLICT DO NOTHING"
        ),
        {name: [row[name] for row in rows] for name in names},
    )


def mark_deactivated(write: Write, actor: Actor, table: Table, which: ColumnElement[bool]) -> None:
    """Mark the rows of *table* that match *which* as deactivated by *actor*."""
    write.session.execute(update(table).where(which).values(deactivation(write, actor)))


def deactivation(write: Write, actor: Actor) -> dict[str, Any]:
    """The ``deactivated_*`` columns of a row that *actor* deactivates in this transaction."""
    return {
        "deactivated_at": write.now,
        "deactivated_by": actor.person.id,
        "deactivated_by_name": actor.person.name,
    }
