"""``gatepass restore``: replaces the database by a backup."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gatepass.cli.backup import File, as_json, counted, key_fits, progress_bars, remind_of_key
from gatepass.cli.installation import opened
from gatepass.cli.output import AsJson, print_json, when
from gatepass.cli.tree import app
from gatepass.core.errors import Conflict, Misconfigured, Unavailable
from gatepass.node.node import Node
from gatepass.registry.backup import export_file
from gatepass.registry.backup.export_file import ExportFile
from gatepass.registry.backup.restore import Restored
from gatepass.registry.backup.restore import restore as restore_backup
from gatepass.registry.storage.ended_log import EndedLogReader
from gatepass.registry.storage.schema import require_utf8
from gatepass.settings import Settings
from gatepass.verify.replica.database_follower import NodeLock
from gatepass.web.times import format_time

_NAMES = {
    "company": ("company", "companies"),
    "user": ("user", "users"),
    "owner": ("service account or external owner", "service accounts and external owners"),
    "access_token": ("access token", "access tokens"),
    "authentication": ("sign-in", "sign-ins"),
    "verifier_key": ("verifier key", "verifier keys"),
    "admin_key": ("admin key", "admin keys"),
    "portal_session": ("portal session", "portal sessions"),
    "invitation": ("invitation", "invitations"),
    "identity": ("link to a provider's account", "links to providers' accounts"),
    "password_reset": ("password reset", "password resets"),
    "email_change": ("change of an e-mail address", "changes of e-mail addresses"),
    "mail": ("mail", "mails"),
}


@app.command()
def restore(
    file: File,
    ended_log: Annotated[
        list[Path] | None,
        typer.Option(
            help="Another node's ended.log; may be given several times.",
            metavar="PATH",
            show_default=False,
            readable=False,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Replace the database by a backup; everything revoked since then stays revoked."""
    with _installation() as node, progress_bars() as progress:
        logs = [node.ended_log.read(), *map(EndedLogReader, ended_log or ())]
        with export_file.opened(file, progress) as backup:
            with node.file.writing():
                restored = restore_backup(
                    node.database,
                    backup,
                    logs,
                    now=node.clock.now(),
                    past_revision=node.file.shared.revision,
                    progress=progress,
                )
            # This machine's copy, if it has one, belongs to the discarded history.
            node.file.shared.end_lease()
            node.ended_log.append(restored.revocations)
            # With a clock behind that time, expired tokens would be valid again.
            node.file.shared.record_time(backup.at)
        key_fitting, key = key_fits(node), node.encryption_key.path
    if json:
        _print_json(file, backup, restored)
        return
    for line in _sentences(file, backup, restored):
        typer.echo(line, err=True)
    if not key_fitting:
        remind_of_key(f"put the {key.name} that goes with the backup back to {key}")


@contextmanager
def _installation() -> Iterator[Node]:
    """The node, if no process of this machine serves from its database."""
    settings = Settings.read()
    try:
        with opened(settings, schemas=("empty", "old", "current")) as node:
            require_utf8(node.database)
            lock = NodeLock(node.file.lock_path)
            try:
                if not lock.acquire():
                    raise Conflict(
                        "Gatepass is running here: stop gatepass serve first.", reason="serving"
                    )
                yield node
            finally:
                lock.close()
    except Unavailable as error:
        cause = getattr(error.__cause__, "orig", None)
        if getattr(cause, "sqlite_errorcode", None) not in (
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
        ):
            raise
        raise Misconfigured(
            f"{settings.grant_path} is damaged: move it away, with its -wal and -shm, and restore "
            "again; leave ended.log where it is"
        ) from error


def _sentences(file: Path, backup: ExportFile, restored: Restored) -> Iterator[str]:
    yield (
        f"Restored from {file}, made {when(backup.at)} by Gatepass {backup.version}, and "
        f"verified: {counted(restored.found)}."
    )
    yield _sentence("Revoked since then, and revoked again", restored.revoked_again)
    yield _sentence("Created after the backup, and lost", restored.gone)
    pending = {**restored.revoked, "mail": restored.mail_dropped}
    yield _sentence("Revoked now, because it is unknown who holds them", pending)
    if restored.webhooks_paused:
        yield (
            "Webhooks paused, because they may have been deleted since: "
            f"{restored.webhooks_paused:,}. Administrators resume them under My Company > Webhooks."
        )
    if restored.torn_lines:
        yield f"Lines of ended.log that can't be read: {restored.torn_lines:,}."
    if restored.without_administrator:
        names = ", ".join(restored.without_administrator)
        yield (
            f"No active administrator is left in: {names}. Create one: gatepass init --company "
            "NAME --email E."
        )
    if restored.without_operator:
        yield "No active operator is left. Appoint one: gatepass user operator EMAIL."


def _sentence(what: str, numbers: Mapping[str, int]) -> str:
    counts = [
        f"{number:,} {_NAMES[kind][number != 1]}" for kind, number in numbers.items() if number
    ]
    return f"{what}: {', '.join(counts) or 'nothing'}."


def _print_json(file: Path, backup: ExportFile, restored: Restored) -> None:
    print_json(
        {
            "file": str(file),
            "at": format_time(backup.at),
            "version": backup.version,
            "revision": restored.revision,
            "tables": as_json(restored.found),
            "kept_ended": restored.revoked_again,
            "gone": restored.gone,
            "ended": restored.revoked,
            "mail_dropped": restored.mail_dropped,
            "webhooks_paused": restored.webhooks_paused,
            "deliveries_dropped": restored.deliveries_dropped,
            "torn_lines": restored.torn_lines,
            "without_administrator": restored.without_administrator,
            "without_operator": restored.without_operator,
        }
    )
