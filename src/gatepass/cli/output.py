"""Output of commands: tables for people, JSON for programs. Nothing else goes to stdout."""

import codecs
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatepass.core.display_text import printable
from gatepass.web.times import format_time

if TYPE_CHECKING:
    # Not every command opens a database.
    from pydantic import BaseModel

    from gatepass.registry.storage.database import Change

T = TypeVar("T")

_WIDEST = 100_000
# C1 controls and characters that reorder text. JSON itself escapes C0 controls.
_unprintable = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

#: The ``--json`` option of every command that prints data.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, as the REST API would send it.")]


def print_json(value: Any) -> None:
    """Print *value* as JSON: in UTF-8, or in ASCII if stdout has another encoding.

    Characters that could control a terminal or reorder its text are escaped.
    """
    speaks_utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    text = json.dumps(value, ensure_ascii=not speaks_utf8, indent=2)
    typer.echo(_unprintable.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def as_sent(model: "type[BaseModel]", record: object) -> dict[str, Any]:
    """A record of the registry as the REST API sends it, by its *model*."""
    return model.model_validate(record).model_dump(mode="json")


def print_result(json: bool, model: "type[BaseModel]", record: object, sentence: str) -> None:
    """Print *record* as JSON; else say *sentence* on stderr."""
    if json:
        print_json(as_sent(model, record))
    else:
        typer.echo(sentence, err=True)


def print_list(
    json: bool,
    model: "type[BaseModel]",
    records: Sequence[T],
    columns: Sequence[str],
    row: Callable[[T], Sequence[str]],
) -> None:
    """Print *records* as the REST API would list them, or as a table: *columns* and their cells."""
    if json:
        print_json({"items": [as_sent(model, record) for record in records], "next": None})
    else:
        print_table(columns, map(row, records))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under *columns*. Markup in the cells is not interpreted: users choose labels."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    _console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print one record, a field per line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, Text(printable(value)))
    _console().print(table)


def warn_unconfirmed(change: "Change") -> None:
    """Warn on stderr if this node's copy doesn't include the committed *change* yet."""
    if not change.confirmed:
        typer.echo(
            "gatepass: warning: the change was made, but this node's copy doesn't include it yet",
            err=True,
        )


def when(time_ms: int | None, otherwise: str = "never") -> str:
    """A time in UTC, to the second."""
    return otherwise if time_ms is None else format_time(time_ms)[:19].replace("T", " ") + " UTC"


def _console() -> Console:
    # In a file or pipe each row stays one line. No text has Rich's markup.
    width = None if sys.stdout.isatty() else _WIDEST
    return Console(width=width, markup=False, emoji=False)
