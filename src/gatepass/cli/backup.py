"""``gatepass export`` and ``gatepass import``: a whole installation to and from a file."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from gatepass.cli.installation import opened
from gatepass.cli.output import AsJson, print_json, when
from gatepass.cli.tree import app
from gatepass.core.errors import Unavailable
from gatepass.node.node import Node
from gatepass.registry.authentication.encrypted_secrets import any_encrypted
from gatepass.registry.backup import export_file, export_import
from gatepass.registry.backup.contents import Content, Progress
from gatepass.registry.storage.schema import require_utf8
from gatepass.web.times import format_time

_NAMES = {
    "companies": ("company", "companies"),
    "users": ("user", "users"),
    "owners": ("service account or external owner", "service accounts and external owners"),
    "access_tokens": ("access token", "access tokens"),
    "audit_events": ("audit event", "audit events"),
}

# Not checked by Typer: reading it fails with a one-line error like any other.
File = Annotated[Path, typer.Argument(metavar="FILE", show_default=False, readable=False)]


@app.command()
def export(file: File, json: AsJson = False) -> None:
    """Export the whole installation to a new file, also while it is being served."""
    with opened() as node, progress_bars() as progress:
        now = node.clock.now()
        found = export_import.export(node.database, file, now=now, progress=progress)
        key_needed, key = key_is_needed(node), node.encryption_key.path
    if json:
        print_json({"file": str(file), "at": format_time(now), "tables": as_json(found)})
        return
    typer.echo(f"Exported to {file}, and verified: {counted(found)}.", err=True)
    if key_needed:
        remind_of_key(f"copy {key} too, and keep it apart from the export")


@app.command("import")
def import_(file: File, json: AsJson = False) -> None:
    """Import an export into an empty database, of either engine."""
    with (
        opened(schemas=("empty", "current", "old", "newer")) as node,
        progress_bars() as progress,
    ):
        require_utf8(node.database)
        export_import.require_empty(node.database)
        with export_file.opened(file, progress) as read, node.file.writing():
            found = export_import.import_(
                node.database, read, node.ended_log.read(), progress=progress
            )
            # With a clock behind that time, expired tokens would be valid again.
            node.file.shared.record_time(read.at)
            at = read.at
        key_fitting, key = key_fits(node), node.encryption_key.path
    if json:
        print_json({"file": str(file), "at": format_time(at), "tables": as_json(found)})
        return
    typer.echo(f"Imported the export of {when(at)}, and verified: {counted(found)}.", err=True)
    if not key_fitting:
        remind_of_key(f"copy {key.name} from where the export was made to {key}")


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show progress bars on a terminal, and handle interruptions between two steps."""
    console = Console(stderr=True)
    with _interruptions() as interruptions:
        if not console.is_terminal:
            yield _ProgressBars(interruptions, None)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        with Bars(*columns, TimeElapsedColumn(), console=console) as bars:
            yield _ProgressBars(interruptions, bars)


@contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Collect signals instead of raising; a second signal acts at once.

    Raised inside a library, KeyboardInterrupt could be swallowed or reported as another error, and
    SIGTERM would leave half-written files.
    """
    signals: list[int] = []

    def collect(number: int, frame: object) -> None:
        signals.append(number)
        signal.signal(number, former[number])

    former: dict[int, Any] = {
        number: signal.signal(number, collect)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield signals
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _ProgressBars(Progress):
    def __init__(self, interruptions: list[int], bars: Bars | None) -> None:
        self._interruptions = interruptions
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, doing: str, rows: int) -> None:
        if self._bars is not None:
            self._task = self._bars.add_task(doing, total=max(rows, 1), completed=0 if rows else 1)

    def advance(self, rows: int) -> None:
        if signal.SIGINT in self._interruptions:
            raise KeyboardInterrupt
        if self._interruptions:
            # The exit code of a shell for a process that a signal ended.
            raise SystemExit(128 + self._interruptions[0])
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task, rows)


def as_json(found: Mapping[str, Content]) -> dict[str, Any]:
    """The contents as JSON."""
    return {
        table: {"rows": content.rows, "digest": content.digest}
        for table, content in sorted(found.items())
    }


def counted(found: Mapping[str, Content]) -> str:
    """The contents as a phrase, such as ``2 companies, 7 users``."""
    return ", ".join(
        f"{found[table].rows:,} {names[found[table].rows != 1]}" for table, names in _NAMES.items()
    )


def key_is_needed(node: Node) -> bool:
    """Whether there are secrets encrypted with a key that no export contains."""
    with node.database.read(node.clock.now()) as reading:
        return any_encrypted(reading) is not None


def key_fits(node: Node) -> bool:
    """Whether this machine's key can decrypt the installation's secrets."""
    with node.database.read(node.clock.now()) as reading:
        encrypted = any_encrypted(reading)
    try:
        if encrypted is not None:
            node.encryption_key.require_encrypted_with(encrypted)
    except Unavailable:
        return False
    return True


def remind_of_key(what_to_do: str) -> None:
    """Say that the encryption key must be copied separately."""
    typer.echo(
        "Second factors and secrets of webhooks are encrypted with a key of their own: "
        f"{what_to_do}.",
        err=True,
    )
