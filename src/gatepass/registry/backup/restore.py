"""Restore: a backup replaces the database, and revoked records stay revoked.

A backup is older than the database it replaces. Records revoked since, according to the replaced
database and ``ended.log``, are revoked again. Pending links in mail, sign-ins and portal sessions
are revoked, too: after the backup they may have been used or revoked. Exceptions of access tokens
end. Webhooks are paused, and what waited for them is dropped: after the backup they may have been
deleted, and it sent. A new history begins, so that all copies of the grants are rebuilt.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from gatepass.core.errors import Conflict, Misconfigured
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log as audit_log
from gatepass.registry.authentication import identities
from gatepass.registry.backup import contents, revocation_state
from gatepass.registry.backup.bulk_revoke import revoke
from gatepass.registry.backup.contents import Contents, Progress
from gatepass.registry.backup.export_file import ExportFile
from gatepass.registry.backup.export_import import fill
from gatepass.registry.backup.revocation_state import IDENTITY, KINDS
from gatepass.registry.directory import companies, user_privileges
from gatepass.registry.membership import outbox
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Change, Database, Reading, Write
from gatepass.registry.storage.database_time import shared_now
from gatepass.registry.storage.ended_log import EndedLogReader, Revocation
from gatepass.registry.storage.group import CHANGED_CHANNEL
from gatepass.registry.storage.rows import deactivation
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
from gatepass.registry.tokens.temporary import exceptions
from gatepass.registry.webhooks import queue

#: A node with a heartbeat within this time, or within its own staleness, may still decide.
SILENCE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore.

    Counts are by kind: ``company``, ``user``, ``owner``, ``access_token``, ``authentication``,
    ``verifier_key``, ``admin_key``, ``portal_session``, ``invitation``.

    Attributes:
        found: the contents of the backup, as read back.
        revoked_again: records active in the backup, but revoked since; also ``identity``, links to
            accounts at an OIDC provider.
        gone: records of the replaced database that the backup doesn't have.
        revoked: pending links, sign-ins and portal sessions that were revoked now; also
            ``password_reset`` and ``email_change``.
        mail_dropped: number of queued mails that aren't sent any more.
        webhooks_paused: number of webhooks that were active in the backup.
        deliveries_dropped: number of events that waited for webhooks.
        torn_lines: number of unreadable lines in the logs.
        without_administrator: names of active companies without an active administrator.
        without_operator: whether no operator is left.
        revision: the first revision of the new history.
        revocations: all revocations of the restore, for ``ended.log``.
    """

    found: Contents
    revoked_again: dict[str, int]
    gone: dict[str, int]
    revoked: dict[str, int]
    mail_dropped: int
    webhooks_paused: int
    deliveries_dropped: int
    torn_lines: int
    without_administrator: list[str]
    without_operator: bool
    revision: int
    revocations: Sequence[Revocation]


def restore(
    database: Database,
    file: ExportFile,
    logs: Sequence[EndedLogReader],
    *,
    now: int,
    past_revision: int,
    progress: Progress,
) -> Restored:
    """Replace all contents of the database, if any, by a backup.

    It is one transaction: an interrupted restore changes nothing. The caller must ensure that this
    machine serves nothing meanwhile.

    Args:
        logs: the ``ended.log`` of each node.
        now: the present time, Unix ms.
        past_revision: a revision that this machine's copy has reached; 0 if it has none.

    Raises:
        Conflict: ``serving``: a node decides by the database.
        Misconfigured: the database isn't Gatepass's or has a newer schema; or a log can't be read.
        Unavailable: the database can't be written, or is in use.
    """
    make_file(database)
    with database.administrative_write() as connection:
        revocation_state.create(connection)
        session = Session(connection)
        before = _prepare(Write(session, now))
        for log in logs:
            revocation_state.add_from_log(connection, log)
        found = fill(connection, file, progress)
        backup = connection.execute(select(revision.c.number)).scalar_one()
        latest = max(before, backup, past_revision, *(log.latest_revision for log in logs))
        change = Change(session, now, latest + 1)
        actor = Actor.command_line()
        # Before the revocations below, which are events that are still to be told.
        webhooks_paused, deliveries_dropped = queue.after_restore(change)
        revoked_again = {kind: _revoke_again(change, actor, kind) for kind in KINDS}
        mail_dropped = outbox.drop_all(change)
        revoked = _revoke_pending(change, actor)
        exceptions.drop_all(change)
        removed = revocation_state.removed(database_newer=before >= backup)
        revoked_again[IDENTITY] = identities.remove(change, actor, removed)
        _begin_history(change)
        _record(change, actor, file, revoked_again, revoked)
        restored = Restored(
            found=found,
            revoked_again=revoked_again,
            gone=revocation_state.count_missing(connection),
            revoked=revoked,
            mail_dropped=mail_dropped,
            webhooks_paused=webhooks_paused,
            deliveries_dropped=deliveries_dropped,
            torn_lines=sum(log.torn for log in logs),
            without_administrator=[one.name for one in companies.without_administrator(change)],
            without_operator=not user_privileges.active_operators(change),
            revision=latest + 1,
            revocations=change.revocations,
        )
        revocation_state.drop(connection)
    return restored


def _prepare(write: Write) -> int:
    """Lock the database and read its revocation state; return the latest revision, or 0."""
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
        # Readers still see the former contents until this commits.
        everything = ", ".join(contents.COLUMNS)
        connection.exec_driver_sql(f"LOCK TABLE {everything} IN EXCLUSIVE MODE")
    revocation_state.add_from_database(connection)
    number: int = connection.execute(select(revision.c.number)).scalar_one()
    return number


def _require_silence(reading: Reading) -> None:
    now = shared_now(reading)
    heartbeats = select(nodes.c.name, nodes.c.seen_at, nodes.c.staleness_ms)
    live = [
        name
        for name, seen_at, staleness_ms in reading.session.execute(heartbeats)
        if seen_at + max(staleness_ms, SILENCE_MS) > now
    ]
    if live:
        raise Conflict(
            f"Gatepass is running: {', '.join(sorted(live))} sent a heartbeat a moment ago. Stop "
            "it on every node, and restore some seconds later.",
            reason="serving",
        )


def _revoke_again(change: Change, actor: Actor, kind: str) -> int:
    table, former = KINDS[kind], revocation_state.former.c
    return revoke(
        change,
        actor,
        kind,
        [table.c.id == former.id, former.kind == kind, former.at.is_not(None)],
        {
            "deactivated_at": former.at,
            "deactivated_by": former.by_id,
            "deactivated_by_name": former.by_name,
        },
    )


def _revoke_pending(change: Change, actor: Actor) -> dict[str, int]:
    """Revoke sign-ins, portal sessions and links: they may have been used or revoked meanwhile."""
    now, values = change.now, deactivation(change, actor)
    # A sign-in with the provider that is under way may have been refused after the backup.
    change.session.execute(update(tables.identities).values(logged_out_at=now))
    revoked = {
        kind: revoke(change, actor, kind, [KINDS[kind].c.expires_at > now], values)
        for kind in ("authentication", "portal_session", "invitation")
    }
    for kind, table in (("password_reset", password_resets), ("email_change", email_changes)):
        its = table.c
        links = change.session.execute(
            update(table)
            .where(its.used_at.is_(None), its.deactivated_at.is_(None), its.expires_at > now)
            .values(values)
            .returning(its.id)
        )
        revoked[kind] = len(links.all())
    return revoked


def _begin_history(change: Change) -> None:
    """Begin a new history, to which no copy belongs, so that all copies are rebuilt.

    Followers and receipts of the former history are deleted.
    """
    for table in (revisions, changed_records, receipt_confirmations, receipts, nodes):
        change.session.execute(delete(table))
    position = {"number": change.revision, "tag": secrets.token_hex(8)}
    change.session.execute(insert(revisions), {**position, "at": change.now})
    # Updated in place: transactions that wait for the row find it.
    change.session.execute(update(revision).values(position))
    if change.session.get_bind().dialect.name == "postgresql":
        change.session.execute(text(f"SELECT pg_notify('{CHANGED_CHANNEL}', '')"))


def _record(
    write: Write,
    actor: Actor,
    file: ExportFile,
    revoked_again: dict[str, int],
    revoked: dict[str, int],
) -> None:
    after = {"backup_at": file.at}
    audit_log.record(
        write,
        actor,
        "installation.restored",
        Subject("installation", "installation", "the installation"),
        company=None,
        after={**after, "kept_ended": revoked_again, "ended": revoked},
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
