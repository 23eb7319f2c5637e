"""Restoring: a backup takes the database's place, and what had ended stays ended.

What a backup holds is older than what it replaces. Everything that was ended since is known from
the replaced database, from ``ended.log``, or from both, and is ended again; what was handed out to
people and still waits to be used (links in mail, sign-ins) ends, because nobody can tell any more
who holds it. A new history begins, so that every copy of the grants is built anew.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from gatepass.core.errors import Conflict, Misconfigured
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log as audit_log
from gatepass.registry.backup import contents, revocation_state
from gatepass.registry.backup.bulk_revoke import end
from gatepass.registry.backup.contents import Contents, Progress
from gatepass.registry.backup.export_file import ExportFile
from gatepass.registry.backup.export_import import fill
from gatepass.registry.backup.revocation_state import KINDS
from gatepass.registry.directory import companies, user_privileges
from gatepass.registry.membership import outbox
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import CHANGED_CHANNEL, Change, Database, Reading, Write
from gatepass.registry.storage.database_time import shared_now
from gatepass.registry.storage.ended_log import EndedLogReader, Ending
from gatepass.registry.storage.schema import make_file, state_of, upgrade
from gatepass.registry.storage.tables import (
    changed_records,
    email_changes,
    nodes,
    password_resets,
    receipt_confirmations,
    receipts,
    revision,
    revisions,
)

#: A node that was heard of within this time, or within its own staleness, may still decide.
SILENCE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Restored:
    """What restoring a backup came to. By kind: ``company``, ``user``, ``access_token``,
    ``authentication``, ``verifier_key``, ``invitation``.

    Attributes:
        found: the backup's contents, as they were read back.
        kept_ended: what the backup held as active, and was ended since.
        gone: what there was, but the backup doesn't know.
        ended: what waited to be used and was ended now; ``password_reset`` and ``email_change``
            too.
        mail_dropped: how many mails aren't sent any more.
        torn_lines: how many lines of the logs couldn't be read.
        without_administrator: names of the active companies nobody can administer now.
        without_operator: whether nobody is an operator now.
        revision: the new history's first.
        endings: all that ended with it, for ``ended.log``.
    """

    found: Contents
    kept_ended: dict[str, int]
    gone: dict[str, int]
    ended: dict[str, int]
    mail_dropped: int
    torn_lines: int
    without_administrator: list[str]
    without_operator: bool
    revision: int
    endings: Sequence[Ending]


def restore(
    database: Database,
    file: ExportFile,
    logs: Sequence[EndedLogReader],
    *,
    now: int,
    past_revision: int,
    progress: Progress,
) -> Restored:
    """Put a backup in the place of all that the database holds, if it holds anything.

    One transaction: if it is interrupted, everything is as it was. See to it that this machine
    serves nothing meanwhile.

    Args:
        logs: what ``ended.log`` holds, of each node.
        now: the present moment, Unix ms.
        past_revision: a revision that this machine's copy has reached; 0 if it has none.

    Raises:
        Conflict: ``serving``: a node decides by the database.
        Misconfigured: it isn't Gatepass's, a newer version's, or a log can't be read.
        Unavailable: it can't be written, or someone uses it right now.
    """
    make_file(database)
    with database.administering() as connection:
        revocation_state.begin(connection)
        session = Session(connection)
        before = _take_over(Write(session, now))
        for log in logs:
            revocation_state.learn_from_log(connection, log)
        found = fill(connection, file, progress)
        backup = connection.execute(select(revision.c.number)).scalar_one()
        latest = max(before, backup, past_revision, *(log.latest_revision for log in logs))
        change = Change(session, now, latest + 1)
        actor = Actor.command_line()
        kept_ended = {kind: _end_what_had_ended(change, actor, kind) for kind in KINDS}
        mail_dropped = outbox.drop_all(change)
        ended = _end_what_waits(change, actor)
        _begin_history(change)
        _tell(change, actor, file, kept_ended, ended)
        restored = Restored(
            found=found,
            kept_ended=kept_ended,
            gone=revocation_state.missing(connection),
            ended=ended,
            mail_dropped=mail_dropped,
            torn_lines=sum(log.torn for log in logs),
            without_administrator=[one.name for one in companies.without_administrator(change)],
            without_operator=not user_privileges.active_operators(change),
            revision=latest + 1,
            endings=change.endings,
        )
        revocation_state.end(connection)
    return restored


def _take_over(write: Write) -> int:
    """Keep others out, and learn what there is; the latest revision, or 0."""
    connection = write.session.connection()
    state = state_of(connection)
    if state == "newer":
        raise Misconfigured("the database's schema is newer than this version of Gatepass")
    if state == "empty":
        upgrade(connection)
        return 0
    if state == "old":
        upgrade(connection)
    if connection.dialect.name == "postgresql":
        _require_silence(write)
        # Whoever reads still sees the former state until this commits.
        everything = ", ".join(contents.COLUMNS)
        connection.exec_driver_sql(f"LOCK TABLE {everything} IN EXCLUSIVE MODE")
    revocation_state.learn_from_database(connection)
    number: int = connection.execute(select(revision.c.number)).scalar_one()
    return number


def _require_silence(reading: Reading) -> None:
    now = shared_now(reading)
    silence = select(nodes.c.name, nodes.c.seen_at, nodes.c.staleness_ms)
    heard = [
        name
        for name, seen_at, staleness_ms in reading.session.execute(silence)
        if seen_at + max(staleness_ms, SILENCE_MS) > now
    ]
    if heard:
        raise Conflict(
            f"Gatepass is running: {', '.join(sorted(heard))} was heard of a moment ago. Stop it "
            "on every node, and restore when it has been silent for a while.",
            reason="serving",
        )


def _end_what_had_ended(change: Change, actor: Actor, kind: str) -> int:
    table = KINDS[kind]
    which = [table.c.id == revocation_state.known.c.id, revocation_state.known.c.kind == kind]
    return end(
        change,
        actor,
        kind,
        [*which, revocation_state.known.c.at.is_not(None)],
        {
            "deactivated_at": revocation_state.known.c.at,
            "deactivated_by": revocation_state.known.c.by_id,
            "deactivated_by_name": revocation_state.known.c.by_name,
        },
    )


def _end_what_waits(change: Change, actor: Actor) -> dict[str, int]:
    """Nobody can tell who holds what was handed out: it may have been used up, or ended with
    something else, after the backup was made."""
    now = change.now
    values = {
        "deactivated_at": now,
        "deactivated_by": actor.user,
        "deactivated_by_name": actor.name,
    }
    ended = {
        kind: end(change, actor, kind, [KINDS[kind].c.expires_at > now], values)
        for kind in ("authentication", "invitation")
    }
    for kind, table in (("password_reset", password_resets), ("email_change", email_changes)):
        its = table.c
        links = change.session.execute(
            update(table)
            .where(its.used_at.is_(None), its.deactivated_at.is_(None), its.expires_at > now)
            .values(values)
            .returning(its.id)
        )
        ended[kind] = len(links.all())
    return ended


def _begin_history(change: Change) -> None:
    """Nobody's copy belongs to it: all are built anew. Who decided by the former one is forgotten,
    and with it what they had acknowledged."""
    for table in (revisions, changed_records, receipt_confirmations, receipts, nodes):
        change.session.execute(delete(table))
    position = {"number": change.revision, "tag": secrets.token_hex(8)}
    change.session.execute(insert(revisions), {**position, "at": change.now})
    # Changed in place: whoever waits for it finds it.
    change.session.execute(update(revision).values(position))
    if change.session.get_bind().dialect.name == "postgresql":
        change.session.execute(text(f"SELECT pg_notify('{CHANGED_CHANNEL}', '')"))


def _tell(
    write: Write,
    actor: Actor,
    file: ExportFile,
    kept_ended: dict[str, int],
    ended: dict[str, int],
) -> None:
    after = {"backup_at": file.at}
    audit_log.record(
        write,
        actor,
        "installation.restored",
        Subject("installation", "installation", "the installation"),
        company=None,
        after={**after, "kept_ended": kept_ended, "ended": ended},
    )
    for company, name in write.session.execute(
        select(tables.companies.c.id, tables.companies.c.name)
    ).all():
        audit_log.record(
            write,
            actor,
            "company.restored",
            Subject("company", company, name),
            company=company,
            after=after,
        )
