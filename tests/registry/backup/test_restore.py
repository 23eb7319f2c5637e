"""Restore: a backup replaces the database, and revoked records stay revoked."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from gatepass.core.credentials import parse
from gatepass.core.decision import Call, Reason, decide
from gatepass.core.errors import BrokenLink, Conflict, Misconfigured
from gatepass.core.grants import decode_company
from gatepass.core.networks import parse_address
from gatepass.registry.actor import Actor
from gatepass.registry.audit import sentences
from gatepass.registry.authentication import identities, sessions
from gatepass.registry.backup import export_file
from gatepass.registry.backup.restore import SILENCE_MS, Restored, restore
from gatepass.registry.backup.revocation_state import KINDS
from gatepass.registry.directory import admin_keys, companies, users, verifier_keys
from gatepass.registry.grants.publishing import published_grant, published_holder, published_rules
from gatepass.registry.membership import (
    email_change_links,
    invitation_links,
    invitations,
    offboarding,
    operators,
    owner_offboarding,
    password_resets,
)
from gatepass.registry.replication.postgresql_feed import DatabaseFeed
from gatepass.registry.storage import revisions
from gatepass.registry.storage import tables as t
from gatepass.registry.storage.database import Change, Database
from gatepass.registry.storage.ended_log import EndedLog, EndedLogReader, Revocation
from gatepass.registry.tokens import access_tokens, store
from gatepass.registry.tokens.exception_records import TokenException
from gatepass.registry.tokens.hand_over import Handling
from gatepass.registry.tokens.temporary import exceptions
from gatepass.registry.webhooks import deliveries, hooks, queue
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import TABLES, GrantFile
from gatepass.verify.replica.database_follower import Follower, open_copy
from tests.support.database.exports import QUIET, export
from tests.support.database.full_registry import FullRegistry, measured
from tests.support.database.small_registry import ADDRESS, NOW

pytestmark = pytest.mark.slow

OPERATOR = Actor.command_line()


@pytest.fixture
def log(tmp_path: Path) -> EndedLog:
    return EndedLog(tmp_path / "ended.log")


@pytest.fixture
def database(database_url: str, log: EndedLog) -> Iterator[Database]:
    database = Database(database_url, revoked=log.append)
    yield database
    database.close()


@pytest.fixture
def backup(registry: FullRegistry, tmp_path: Path) -> Path:
    """A backup from when everything was active."""
    return export(registry.database, tmp_path / "backup")


@pytest.fixture
def lost(database: Database, new_database: Callable[[str], Database]) -> Database:
    """An empty database in place of a lost one."""
    return new_database(database.dialect)


def restored(
    database: Database, backup: Path, *logs: EndedLogReader, past_revision: int = 0, now: int = NOW
) -> Restored:
    with export_file.opened(backup, QUIET) as file:
        return restore(database, file, logs, now=now, past_revision=past_revision, progress=QUIET)


def reason(database: Database, text: str) -> Reason:
    """The decisions by a database's published records."""
    credential = parse(text)
    assert credential is not None
    call = Call(credential, "charges:create", address=parse_address(ADDRESS))
    with database.read(NOW) as reading:
        grant = published_grant(reading, credential.id)
        if grant is None:
            return decide(None, None, None, call, NOW).reason
        holder = published_holder(reading, grant.user)
        return decide(grant, holder, published_rules(reading, grant.company), call, NOW).reason


ENDS: dict[str, Callable[[Change, FullRegistry], object]] = {
    "access_token": lambda change, registry: access_tokens.deactivate(
        change, registry.signed, registry.made.id
    ),
    "user": lambda change, registry: offboarding.deactivate(
        change, OPERATOR, registry.bob.user or "", tokens=Handling("keep")
    ),
    "owner": lambda change, registry: owner_offboarding.deactivate_of(
        change, OPERATOR, registry.northwind.id, registry.account.id
    ),
    "verifier_key": lambda change, registry: verifier_keys.deactivate(
        change, OPERATOR, registry.key
    ),
    "admin_key": lambda change, registry: admin_keys.deactivate(
        change, OPERATOR, registry.admin_key
    ),
    "invitation": lambda change, registry: invitations.deactivate(
        change, registry.signed, registry.invitation.id
    ),
    "authentication": lambda change, registry: sessions.sign_out(change, registry.signed),
}


def _subject(registry: FullRegistry, kind: str) -> str:
    found = {
        "access_token": registry.made.id,
        "user": registry.bob.user,
        "owner": registry.account.id,
        "authentication": registry.signed.credential,
        "verifier_key": registry.key,
        "admin_key": registry.admin_key,
        "invitation": registry.invitation.id,
    }[kind]
    assert found is not None
    return found


@pytest.mark.parametrize("known_from", ["the database", "the log", "both"])
def test_revoked_records_stay_revoked(
    registry: FullRegistry, backup: Path, log: EndedLog, lost: Database, known_from: str
) -> None:
    registry.now += 60_000
    for end in ENDS.values():
        registry.do(end, registry)
    target = lost if known_from == "the log" else registry.database
    logs = [] if known_from == "the database" else [log.read()]
    result = restored(target, backup, *logs, now=registry.now + 1)
    # The service account's tokens ended with it, and the portal session with its admin key.
    ended = {**dict.fromkeys(ENDS, 1), "access_token": 3, "portal_session": 1}
    assert result.revoked_again == {"company": 0, "identity": 0, **ended}
    # All is on record once more, for a restore that has neither this database nor that log.
    subjects = {kind: _subject(registry, kind) for kind in ENDS}
    assert set(subjects.values()) <= {revocation.id for revocation in result.revocations}
    for kind, subject in subjects.items():
        table = KINDS[kind]
        with target.read(NOW) as reading:
            row = reading.session.execute(select(table).where(table.c.id == subject)).one()
            grant, holder = published_grant(reading, subject), published_holder(reading, subject)
            (event,) = reading.session.execute(
                select(t.audit_events.c.actor_name, t.audit_events.c.after).where(
                    t.audit_events.c.subject_id == subject,
                    t.audit_events.c.action == f"{kind}.deactivated",
                )
            )
        by = None if kind in ("user", "owner", "verifier_key", "admin_key") else registry.ada.id
        assert (row.deactivated_at, row.deactivated_by) == (registry.now, by)
        assert row.deactivated_by_name == ("the command line" if by is None else "Ada Lovelace")
        assert grant is None or grant.deactivated
        assert holder is None or not holder.active
        assert (grant is None) == (kind in ("user", "owner", "invitation"))
        after = {"deactivated_at": registry.now, "restored": True}
        assert tuple(event) == ("the command line", after)


def unlink(change: Change, registry: FullRegistry) -> int:
    return identities.remove(change, OPERATOR, t.identities.c.user_id == registry.ada.id)


@pytest.mark.parametrize("known_from", ["the database", "the log", "both"])
def test_a_removed_link_to_a_provider_stays_removed(
    registry: FullRegistry, backup: Path, log: EndedLog, lost: Database, known_from: str
) -> None:
    assert registry.do(unlink, registry) == 1
    target = lost if known_from == "the log" else registry.database
    logs = [] if known_from == "the database" else [log.read()]
    result = restored(target, backup, *logs)
    assert result.revoked_again["identity"] == 1
    assert "identity" in {revocation.kind for revocation in result.revocations}
    with target.read(NOW) as reading:
        assert identities.of_user(reading, registry.ada.id) is None
        actions = select(t.audit_events.c.action).where(
            t.audit_events.c.subject_id == registry.ada.id
        )
        assert "user.identity_unlinked" in set(reading.session.scalars(actions))


@pytest.mark.parametrize("into", ["the database", "a new one"])
def test_a_link_that_was_made_again_stays(
    registry: FullRegistry, log: EndedLog, lost: Database, tmp_path: Path, into: str
) -> None:
    registry.do(unlink, registry)
    registry.now += 1
    link = {"issuer": "https://login.example.com", "subject": "sub-ada"}
    registry.do(identities.assign, OPERATOR, registry.ada, **link)
    target = registry.database if into == "the database" else lost
    result = restored(target, export(registry.database, tmp_path / "later"), log.read())
    assert result.revoked_again["identity"] == 0
    with target.read(NOW) as reading:
        found = identities.find(reading, **link)
    assert found is not None
    # A sign-in that began before the restore may have been refused after the backup.
    assert found.logged_out_at == NOW


def test_a_revoked_token_is_refused_with_its_reason(
    registry: FullRegistry, backup: Path, log: EndedLog, lost: Database
) -> None:
    later, text_ = registry.token(registry.signed)
    assert reason(registry.database, registry.text) == Reason.allowed
    registry.do(access_tokens.deactivate, registry.signed, registry.made.id)
    result = restored(lost, backup, log.read())
    assert reason(lost, registry.text) == Reason.token_deactivated
    assert reason(lost, text_) == Reason.token_invalid
    # Of what was made later and lives on, a log knows nothing.
    assert result.gone["access_token"] == 0
    assert later.id not in {revocation.id for revocation in result.revocations}


def test_without_database_and_log_a_token_is_reactivated(
    registry: FullRegistry, backup: Path, lost: Database
) -> None:
    """That is why there is a log."""
    registry.do(access_tokens.deactivate, registry.signed, registry.made.id)
    assert sum(restored(lost, backup).revoked_again.values()) == 0
    assert reason(lost, registry.text) == Reason.allowed


def test_records_created_after_the_backup_are_gone(registry: FullRegistry, backup: Path) -> None:
    active, text_ = registry.token(registry.signed)
    ended, _ = registry.token(registry.signed)
    registry.colleague("reporting", "Late")
    registry.do(access_tokens.deactivate, registry.signed, ended.id)
    assert reason(registry.database, text_) == Reason.allowed
    result = restored(registry.database, backup)
    assert reason(registry.database, text_) == Reason.token_invalid
    assert result.gone == {
        "company": 0,
        "user": 1,
        "owner": 0,
        "access_token": 2,
        "authentication": 1,
        "verifier_key": 0,
        "admin_key": 0,
        "portal_session": 0,
        "invitation": 0,
    }
    assert registry.ask(published_grant, active.id) is None


def test_exceptions_end(registry: FullRegistry, tmp_path: Path) -> None:
    """After the backup, somebody may have ended them."""
    token, text_ = registry.token(registry.signed, permissions=["charges:get"])
    excepted = TokenException("charges:create", NOW + 60_000, "req_1")
    with registry.write() as change:
        row = store.find(change, None, token.id)
        exceptions.add(change, registry.signed, row, excepted)
    assert reason(registry.database, text_) == Reason.allowed
    restored(registry.database, export(registry.database, tmp_path / "x"))
    assert reason(registry.database, text_) == Reason.permission_missing


def test_webhooks_are_paused_and_what_waited_is_dropped(
    registry: FullRegistry, backup: Path
) -> None:
    """A webhook may have been deleted after the backup, and what waited for it sent."""
    registry.do(access_tokens.deactivate, registry.signed, registry.made.id)
    registry.do(hooks.delete, registry.signed, registry.webhook.id)
    result = restored(registry.database, backup)
    assert (result.webhooks_paused, result.deliveries_dropped) == (1, 1)
    ada = Actor.command_line()
    webhook = registry.ask(hooks.get, ada, registry.webhook.id)
    assert webhook.paused_because == "restored"
    with registry.read() as reading:
        assert queue.receivers(reading) == []
    # What the restore itself did is told once the webhook is resumed.
    told = {one.event for one in registry.ask(deliveries.list_, ada, webhook.id).items}
    assert told == {"access_token.deactivated", "invitation.deactivated"}


def test_pending_links_and_sign_ins_are_revoked(registry: FullRegistry, tmp_path: Path) -> None:
    """Links may have been followed, and sign-ins ended, after the backup."""
    with registry.database.auxiliary_write(NOW) as write:
        letter = invitation_links.make_link(write, registry.invitation.id)
        reset = write.session.scalars(select(t.password_resets.c.id)).one()
        link = password_resets.make_link(write, reset)
        (change,) = write.session.scalars(select(t.email_changes.c.id)).all()
        changing = email_change_links.make_link(write, change)
    assert letter is not None
    assert link is not None
    assert changing is not None
    export(registry.database, tmp_path / "x")
    result = restored(registry.database, tmp_path / "x")
    assert result.revoked == {
        "authentication": 2,
        "portal_session": 1,
        "invitation": 1,
        "password_reset": 1,
        "email_change": 1,
    }
    # The present address, whose owner is to be told, as well.
    assert result.mail_dropped == 4
    with registry.read() as reading:
        with pytest.raises(BrokenLink):
            invitation_links.look(reading, letter.token, None)
        with pytest.raises(BrokenLink):
            password_resets.look(reading, link.token, None)
        with pytest.raises(BrokenLink):
            email_change_links.look(reading, changing.token, None)
        grant = published_grant(reading, registry.signed.credential or "")
        states = set(reading.session.scalars(select(t.outgoing_mail.c.state)))
        portal = published_grant(reading, registry.portal[:21])
    assert grant is not None
    assert grant.deactivated
    assert portal is not None
    assert portal.deactivated
    assert states == {"dropped"}


def test_expired_records_are_unchanged(registry: FullRegistry, backup: Path) -> None:
    week = NOW + 7 * 24 * 3_600_000
    result = restored(registry.database, backup, now=week)
    assert set(result.revoked.values()) == {0}
    with registry.read() as reading:
        assert reading.session.scalar(select(t.invitations.c.deactivated_at)) is None


def test_a_new_history_begins(registry: FullRegistry, backup: Path) -> None:
    for _ in range(3):
        registry.token(registry.signed)
    before = registry.ask(revisions.latest)
    result = restored(registry.database, backup)
    assert result.revision == before[0] + 1
    with registry.read() as reading:
        here = revisions.latest(reading)
        assert here[0] == result.revision
        assert here[1] != before[1]
        assert reading.session.execute(text("SELECT number, tag, at FROM revisions")).all() == [
            (*here, NOW)
        ]
        assert not revisions.is_known(reading, before)
        for table in ("changed_records", "nodes", "receipts", "receipt_confirmations"):
            assert reading.session.scalar(text(f"SELECT count(*) FROM {table}")) == 0
    registry.token(registry.signed_in(registry.ada))
    assert registry.revision() == result.revision + 2
    restored(registry.database, backup)
    assert registry.ask(revisions.latest)[1] != here[1]


@pytest.mark.parametrize("higher", ["the backup's", "this machine's copy's", "the log's"])
def test_the_first_revision_is_later_than_all_known_ones(
    registry: FullRegistry, backup: Path, lost: Database, log: EndedLog, higher: str
) -> None:
    past, latest = 0, registry.revision()
    if higher == "this machine's copy's":
        past = latest = 5_000
    elif higher == "the log's":
        latest = 6_000
        log.append([Revocation(NOW, "user", "usr_unknown", latest)])
    assert restored(lost, backup, log.read(), past_revision=past).revision == latest + 1


def test_a_restore_can_be_repeated(registry: FullRegistry, backup: Path, log: EndedLog) -> None:
    registry.do(access_tokens.deactivate, registry.signed, registry.made.id)
    first = restored(registry.database, backup, log.read())
    second = restored(registry.database, backup, log.read())
    assert second.revision == first.revision + 1
    assert second.revoked_again["access_token"] == 1
    # What the first one ended had ended, too.
    assert second.revoked["authentication"] == 0
    assert reason(registry.database, registry.text) == Reason.token_deactivated


def test_all_other_rows_are_those_of_the_backup(registry: FullRegistry, backup: Path) -> None:
    before = measured(registry.database)
    with registry.write() as change:
        change.session.execute(update(t.companies).values(second_factor_required=True))
        change.session.execute(update(t.token_use).values(total=1))
    result = restored(registry.database, backup)
    after = measured(registry.database)
    assert result.found == before
    same = {table for table in before if before[table] == after[table]}
    assert same == before.keys() - {
        *("revision", "revisions", "changed_records", "nodes", "receipts"),
        *("receipt_confirmations", "grants", "authentications", "portal_sessions"),
        *("invitations", "password_resets", "email_changes", "outgoing_mail", "audit_events"),
        *("identities", "webhooks", "webhook_deliveries"),
    }


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_following_copy_is_rebuilt(
    registry: FullRegistry, backup: Path, database_url: str, tmp_path: Path
) -> None:
    """Also a copy at the very revision where the new history begins."""
    _, text_ = registry.token(registry.signed)
    file = GrantFile(tmp_path / "copy.db")
    connection = open_copy(file.path)
    follower, feed = Follower(file, Clock(), 10_000), DatabaseFeed(database_url)
    follower.sync(connection, feed)

    def copied() -> list[Any]:
        rows = [
            (table, *row)
            for table in TABLES
            for row in connection.execute(f"SELECT id, record, revision FROM {table}")
        ]
        return sorted(rows)

    def published() -> list[Any]:
        with registry.read() as reading:
            return sorted(
                (table, *row)
                for table in TABLES
                for row in reading.session.execute(
                    text(f"SELECT id, record, revision FROM {table}")
                )
            )

    assert copied() == published()
    assert text_[:21] in {row[1] for row in copied()}
    restored(registry.database, backup)
    follower.sync(connection, feed)
    assert copied() == published()
    assert text_[:21] not in {row[1] for row in copied()}
    feed.close()
    connection.close()


def test_a_restore_is_in_the_audit_log(registry: FullRegistry, backup: Path) -> None:
    registry.do(access_tokens.deactivate, registry.signed, registry.made.id)
    restored(registry.database, backup)
    its = [sentences.sentence(event) for event in registry.events(registry.northwind)]
    assert "The command line deactivated the access token Naïve — 日本" in its
    said = "The command line restored everything from a backup taken 2027-01-15 08:00:00 UTC"
    assert its[-1] == said
    assert sentences.sentence(registry.events(registry.contoso)[-1]) == said
    (event,) = registry.events(action="installation.restored")
    assert event.company is None
    assert event.after is not None
    assert event.after["kept_ended"]["access_token"] == 1


def test_a_company_without_an_administrator_is_named(registry: FullRegistry, backup: Path) -> None:
    assert restored(registry.database, backup).without_administrator == []
    other = registry.user(registry.contoso, "eve@contoso.example", "Eve")
    assert other.role == "admin"
    registry.do(offboarding.deactivate, OPERATOR, registry.carl.id)
    assert restored(registry.database, backup).without_administrator == ["Contoso"]
    with registry.read() as reading:
        assert [one.id for one in companies.without_administrator(reading)] == [registry.contoso.id]


def test_a_missing_operator_is_reported(registry: FullRegistry, backup: Path) -> None:
    """The operator was named after the backup."""
    assert not restored(registry.database, backup).without_operator
    with registry.write() as change:
        operators.name_operator(change, OPERATOR, registry.ada.id, operator=False)
        offboarding.deactivate(change, OPERATOR, registry.bob.user or "")
    assert not restored(registry.database, backup).without_operator, "the backup's word"
    grace = registry.user(registry.northwind, "grace@northwind.example", "Grace")
    with registry.write() as change:
        operators.name_operator(change, OPERATOR, grace.id, operator=True)
        offboarding.deactivate(change, OPERATOR, registry.ada.id)
    result = restored(registry.database, backup)
    assert result.without_operator
    bob = registry.do(operators.name_operator, OPERATOR, registry.carl.id, operator=True)
    assert bob.operator


def test_an_address_that_another_user_has_since(registry: FullRegistry, tmp_path: Path) -> None:
    """The deactivated user keeps it, and it stays free once its later user is revoked."""
    bob = registry.bob.user or ""
    export(registry.database, tmp_path / "before")
    registry.do(offboarding.deactivate, OPERATOR, bob)
    email = "bob.manager@northwind.example"
    again = registry.user(registry.northwind, email, "Bob again")
    export(registry.database, tmp_path / "after")
    for name, kept_ended in (("before", 1), ("after", 0)):
        result = restored(registry.database, tmp_path / name)
        assert result.revoked_again["user"] == kept_ended
        holder = registry.ask(users.by_email, email)
        if name == "before":
            assert holder is None
            continue
        assert holder == again
    assert registry.user(registry.contoso, "bob@contoso.example", "Bob").status == "active"


def test_a_deactivated_company_stays_deactivated(registry: FullRegistry, backup: Path) -> None:
    with registry.write() as change:
        change.session.execute(
            update(t.companies)
            .where(t.companies.c.id == registry.contoso.id)
            .values(deactivated_at=NOW, deactivated_by_name="someone")
        )
    result = restored(registry.database, backup)
    assert result.revoked_again["company"] == 1
    assert result.without_administrator == []
    # Its name can be used again.
    assert registry.company("Contoso").id != registry.contoso.id
    with registry.read() as reading:
        record = reading.session.scalar(
            text("SELECT record FROM company_rules WHERE id = :id"), {"id": registry.contoso.id}
        )
    assert not decode_company(record).active


def test_a_live_node_prevents_a_restore(registry: FullRegistry, backup: Path) -> None:
    """On one machine the lock file is checked instead."""
    # The database's own clock counts.
    now = time.time_ns() // 1_000_000
    _heard_of(registry, now)
    before = measured(registry.database)
    if registry.database.dialect == "sqlite":
        restored(registry.database, backup)
        return
    with pytest.raises(Conflict, match=r"web-1 sent a heartbeat a moment ago") as refused:
        restored(registry.database, backup)
    assert refused.value.reason == "serving"
    assert measured(registry.database) == before
    _heard_of(registry, now - SILENCE_MS)
    restored(registry.database, backup)


def _heard_of(registry: FullRegistry, at: int) -> None:
    with registry.database.auxiliary_write(NOW) as write:
        write.session.execute(update(t.nodes).values(seen_at=at, staleness_ms=5_000))


def test_torn_lines_are_counted_and_a_missing_log_is_refused(
    registry: FullRegistry, backup: Path, log: EndedLog, tmp_path: Path
) -> None:
    log.append([Revocation(NOW, "access_token", registry.made.id, 1)])
    log.path.write_bytes(log.path.read_bytes() + b'\n{"at": 1, "ki')
    before = measured(registry.database)
    with pytest.raises(Misconfigured, match="No such file"):
        restored(registry.database, backup, log.read(), EndedLogReader(tmp_path / "nowhere"))
    assert measured(registry.database) == before
    assert restored(registry.database, backup, log.read()).torn_lines == 1
    assert reason(registry.database, registry.text) == Reason.token_deactivated


def test_a_damaged_backup_changes_nothing(registry: FullRegistry, backup: Path) -> None:
    backup.write_bytes(backup.read_bytes()[:-4096])
    before = measured(registry.database)
    with pytest.raises(Misconfigured, match="isn't an export, or it is damaged"):
        restored(registry.database, backup)
    assert measured(registry.database) == before


def test_users_sign_in_with_the_backups_password(registry: FullRegistry, backup: Path) -> None:
    restored(registry.database, backup)
    again, _, _ = registry.sign_in(email=registry.carl.email, address="203.0.113.9")
    assert again.status == "active"
