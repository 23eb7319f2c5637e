"""Migrations produce the schema that the program requires, on both engines."""

import stat
import time
from pathlib import Path

import msgspec
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.core.grants import CompanyRules, Holder
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import throttling
from gatepass.registry.directory import user_search
from gatepass.registry.grants.publishing import publish, published_holder
from gatepass.registry.storage import schema
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import create_schema, migrate, schema_state
from gatepass.registry.storage.tables import companies, metadata, users
from gatepass.registry.tokens.lists import search as token_search
from gatepass.verify.grant_file import TABLES
from tests.support.database.postgresql import Cluster


def test_migrations_create_the_tables_of_the_metadata(database: Database) -> None:
    with database.administrative_write() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    # What belongs to the grant file isn't in tables.py, and nothing else is missing or left over.
    # (A changed column is a list of differences.)
    other = [one for one in differences if one[0] not in ("remove_table", "remove_index")]
    assert other == []
    tables = {item.name for kind, item in differences if kind == "remove_table"}
    indexes = {item.table.name for kind, item in differences if kind == "remove_index"}
    assert tables == set(TABLES)
    assert indexes <= set(TABLES)


def test_the_last_version_is_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "gatepass.registry.storage:migrations")
    scripts = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(scripts)) == schema.VERSIONS


def test_states(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert schema_state(database) == "current"
    assert migrate(database) is False
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSIONS", (*schema.VERSIONS, "9999"))
        assert schema_state(database) == "old"
        patch.setattr(schema, "VERSIONS", ("0000",))
        assert schema_state(database) == "newer"
        with pytest.raises(Misconfigured, match="newer"):
            migrate(database)
    with pytest.raises(Misconfigured, match="isn't empty"):
        create_schema(database)


def _at_version(url: str, version: str, *statements: str) -> Database:
    """A database as it was then, with what the statements put in."""
    database = Database(url)
    with database.administrative_write() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "gatepass.registry.storage:migrations")
        command.upgrade(config, version)
        for statement in statements:
            connection.execute(text(statement))
    return database


def test_a_registry_of_the_first_release_is_migrated(tmp_path: Path, postgresql: Cluster) -> None:
    """Existing rows are kept, and new columns have sensible values for them."""
    path = tmp_path / "old.db"
    path.touch(mode=0o600)
    for url in (f"sqlite:///{path}", postgresql.create("test_old")):
        database = _at_version(url, "0001", *_FIRST_RELEASE)
        assert schema_state(database) == "old"
        assert migrate(database) is True
        assert schema_state(database) == "current"
        with database.read(0) as reading:
            company = reading.session.execute(select(companies)).one()
            user = reading.session.execute(select(users)).one()
        assert (company.name, company.second_factor_required) == ("Acme", False)
        assert (user.name, user.last_sign_in_at, user.totp_sealed) == ("Ada", 7, None)
        database.close()
    postgresql.drop("test_old")


_FIRST_RELEASE = (
    "INSERT INTO companies (id, name, name_folded, created_at) VALUES ('com_1', 'Acme', 'acme', 1)",
    "INSERT INTO users (id, company_id, email, email_folded, name, role, operator, password_hash, "
    "created_at) VALUES ('usr_1', 'com_1', 'ada@example.com', 'ada@example.com', 'Ada', 'admin', "
    "true, 'hash', 2)",
    *(
        "INSERT INTO authentications (id, company_id, user_id, digest, created_at, expires_at) "
        f"VALUES ('gplt_{at}', 'com_1', 'usr_1', '', {at}, 9)"
        for at in (5, 7)
    ),
)


def test_deactivated_users_addresses_become_free_with_version_four(
    tmp_path: Path, postgresql: Cluster
) -> None:
    """SQLite's table is rebuilt; references, constraints and indexes stay."""
    path = tmp_path / "old.db"
    path.touch(mode=0o600)
    for url in (f"sqlite:///{path}", postgresql.create("test_third")):
        database = _at_version(url, "0003", *_FIRST_RELEASE, *_THIRD_VERSION)
        tables = ("users", "authentications", "access_tokens", "invitations", "recovery_codes")
        with database.read(0) as reading:
            columns = {
                table: sorted(reading.session.execute(text(f"SELECT * FROM {table}")).keys())
                for table in tables
            }
        before = _contents(database, columns)
        assert migrate(database) is True
        assert _contents(database, columns) == before
        taken = _USER.format(id="usr_3", email="ada@example.com", ended="NULL")
        with database.auxiliary_write(0) as write:
            write.session.execute(
                text(_USER.format(id="usr_4", email="bob@example.com", ended="NULL"))
            )
        for refused in (
            taken,
            "DELETE FROM users WHERE id = 'usr_1'",
            "UPDATE users SET deactivated_at = NULL WHERE id = 'usr_2'",
        ):
            with pytest.raises(IntegrityError), database.auxiliary_write(0) as write:
                write.session.execute(text(refused))
        with database.administrative_write() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), metadata)
            if database.dialect == "sqlite":
                assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        assert {item.name for kind, item in differences if kind == "remove_table"} == set(TABLES)
        database.close()
    postgresql.drop("test_third")


def _contents(database: Database, columns: dict[str, list[str]]) -> dict[str, list[str]]:
    with database.read(0) as reading:
        return {
            table: sorted(
                map(repr, reading.session.execute(text(f"SELECT {', '.join(names)} FROM {table}")))
            )
            for table, names in columns.items()
        }


_USER = (
    "INSERT INTO users (id, company_id, email, email_folded, name, role, operator, password_hash, "
    "created_at, deactivated_at) VALUES ('{id}', 'com_1', '{email}', '{email}', 'Bob', 'admin', "
    "false, 'hash', 2, {ended})"
)
_THIRD_VERSION = (
    _USER.format(id="usr_2", email="bob@example.com", ended="9"),
    "UPDATE users SET totp_sealed = 'sealed', totp_last_step = 4 WHERE id = 'usr_2'",
    "INSERT INTO recovery_codes (user_id, digest) VALUES ('usr_2', 'digest')",
    "INSERT INTO invitations (id, company_id, email, email_folded, role, invited_by, created_at, "
    "expires_at) VALUES ('inv_1', 'com_1', 'x@y.example', 'x@y.example', 'admin', 'usr_2', 1, 2)",
    "INSERT INTO access_tokens (id, company_id, digest, kind, label, label_folded, permissions, "
    "networks, domains, created_at, created_by) VALUES ('gpat_1', 'com_1', 'digest', 'api', 'L', "
    "'l', '[]', '[]', '[]', 1, 'usr_2')",
)


def test_an_empty_postgresql_database(postgresql: Cluster) -> None:
    database = Database(postgresql.create("test_empty"))
    assert schema_state(database) == "empty"
    with pytest.raises(Misconfigured, match="gatepass init"):
        migrate(database)
    create_schema(database)
    assert schema_state(database) == "current"
    database.close()
    postgresql.drop("test_empty")


def test_another_programs_database_is_refused(postgresql: Cluster) -> None:
    database = Database(postgresql.create("test_other"))
    with database.administrative_write() as connection:
        connection.execute(text("CREATE TABLE other (id INTEGER)"))
    for attempt in (schema_state, create_schema, migrate):
        with pytest.raises(Misconfigured, match="aren't Gatepass's"):
            attempt(database)
    database.close()
    postgresql.drop("test_other")


def test_a_sqlite_file_is_created_explicitly_with_mode_0600(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    database = Database(f"sqlite:///{path}")
    assert schema_state(database) == "empty"
    with pytest.raises(Unavailable), database.read(0) as reading:
        reading.session.execute(text("SELECT 1"))
    assert not path.exists()
    create_schema(database)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert schema_state(database) == "current"
    database.close()


def test_a_file_that_is_not_a_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, " * 100)
    with pytest.raises(Unavailable):
        schema_state(Database(f"sqlite:///{path}"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gatepass.db",
        "mysql://root:hush@localhost/x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///relative.db",
        "postgresql://user:hush@[broken/x",
        "postgresql://user:hush@host/x?no_such_option=1",
    ],
)
def test_an_unreadable_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(Misconfigured, match="GATEPASS_DATABASE_URL") as refusal:
        Database(url)
    assert "hush" not in str(refusal.value)


def test_a_migration_keeps_known_addresses(tmp_path: Path, postgresql: Cluster) -> None:
    """Addresses of recent sign-ins count, although they predate the column."""
    path = tmp_path / "old.db"
    path.touch(mode=0o600)
    now = int(time.time() * 1000)
    for url in (f"sqlite:///{path}", postgresql.create("test_sources")):
        database = Database(url)
        with database.administrative_write() as connection:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", "gatepass.registry.storage:migrations")
            command.upgrade(config, "0003")
            for statement in _FIRST_RELEASE[:2]:
                connection.execute(text(statement))
            for number, (address, at) in enumerate(
                (
                    ("198.51.100.7", now),
                    ("2001:db8:1:2::ffff", now),
                    ("203.0.113.9", now - 31 * 86_400_000),
                    (None, now),
                )
            ):
                insert = text(
                    "INSERT INTO authentications (id, company_id, user_id, digest, created_at, "
                    "expires_at, address) VALUES (:id, 'com_1', 'usr_1', '', :at, :at, :address)"
                )
                connection.execute(insert, {"id": f"gplt_{number}", "at": at, "address": address})
        assert migrate(database) is True
        with database.read(now) as reading:
            known = [
                throttling.begin(reading, "ada@example.com", address).known
                for address in ("198.51.100.7", "2001:db8:1:2::1", "203.0.113.9", None)
            ]
        assert known == [True, True, False, False]
        database.close()
    postgresql.drop("test_sources")


def test_lists_find_what_there_was_before_version_six(
    tmp_path: Path, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words, permissions and past expiries of existing records are indexed, batch by batch."""
    path = tmp_path / "old.db"
    path.touch(mode=0o600)
    batches = "gatepass.registry.storage.migrations.versions.v0006_lists._AT_ONCE"
    for url in (f"sqlite:///{path}", postgresql.create("test_lists")):
        database = _at_version(url, "0005", *_FIFTH_VERSION)
        with monkeypatch.context() as patch:
            patch.setattr(batches, 2)
            assert migrate(database) is True
        actor = Actor("user", "com_1", "usr_1", "Ada", frozenset("*"), "gplt_1")
        with database.write(_THEN) as change:
            publish(change, CompanyRules("com_1", True, None, {}))
        with database.read(_THEN) as reading:
            for q, status, permission, found in (
                (None, None, None, ["gpat_5", "gpat_4", "gpat_3", "gpat_2", "gpat_1"]),
                ("PAYROLL", None, None, ["gpat_4", "gpat_2"]),
                ("ttle", "active", None, ["gpat_3"]),
                ("settlement 1", None, None, ["gpat_1"]),
                (None, "expired", None, ["gpat_5", "gpat_1"]),
                (None, "deactivated", None, ["gpat_4"]),
                (None, None, "refunds:create", ["gpat_5", "gpat_4"]),
                (None, None, "refunds:get", ["gpat_5"]),
            ):
                page = token_search.list_(reading, actor, q=q, status=status, permission=permission)
                assert [token.id for token in page.items] == found, (q, status, permission)
            for q, users_found in (("aDa", ["usr_1"]), ("bücher", ["usr_3"]), ("xn--", ["usr_3"])):
                people = user_search.list_(reading, actor, q=q)
                assert [user.id for user in people.items] == users_found
        with database.administrative_write() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), metadata)
        assert {one[0] for one in differences} <= {"remove_table", "remove_index"}
        database.close()
    postgresql.drop("test_lists")


_THEN = 1_700_000_000_000
_TOKEN = (
    "INSERT INTO access_tokens (id, company_id, digest, kind, label, label_folded, permissions, "
    "networks, domains, expires_at, created_at, created_by, deactivated_at, deactivated_by_name) "
    "VALUES ('gpat_{n}', 'com_1', '', 'api', '{label}', '{label}', '{permissions}', '[]', '[]', "
    "{expires_at}, {n}, 'usr_1', {ended}, 'Ada')"
)
_FIFTH_VERSION = (
    *_FIRST_RELEASE[:2],
    _USER.format(id="usr_2", email="bob@example.com", ended="9"),
    _USER.format(id="usr_3", email="x@bücher.example", ended="NULL").replace(
        "'x@bücher.example', 'Bob'", "'x@xn--bcher-kva.example', 'Bob'"
    ),
    *(
        _TOKEN.format(n=n, label=label, permissions=permissions, expires_at=expires_at, ended=ended)
        for n, label, permissions, expires_at, ended in (
            (1, "settlement 1", '["charges:create"]', _THEN - 1, "NULL"),
            (2, "payroll", '["charges:create"]', _THEN * 10, "NULL"),
            (3, "settlement 3", '["charges:create"]', "NULL", "NULL"),
            (4, "old payroll", '["charges:get","refunds:create"]', "NULL", "5"),
            (5, "all of refunds", '["refunds\\:*"]', _THEN, "NULL"),
        )
    ),
)


def test_existing_tokens_belong_to_their_creators_from_version_seven(
    tmp_path: Path, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holders get a type and a name, at a revision that copies of the grants read."""
    path = tmp_path / "old.db"
    path.touch(mode=0o600)
    former = {
        f"usr_{n}": msgspec.msgpack.encode([f"usr_{n}", "com_1", n < 3, "admin"]) for n in (1, 2, 3)
    }
    for url in (f"sqlite:///{path}", postgresql.create("test_owners")):
        database = _at_version(url, "0006", *_FIFTH_VERSION)
        with database.administrative_write() as connection:
            for id, record in former.items():
                values = {"id": id, "record": record}
                connection.execute(
                    text("INSERT INTO holders (id, record, revision) VALUES (:id, :record, 1)"),
                    values,
                )
            before = connection.execute(text("SELECT number, tag FROM revision")).one()
        with monkeypatch.context() as patch:
            versions = "gatepass.registry.storage.migrations.versions.v0007_owners"
            patch.setattr(f"{versions}._AT_ONCE", 2)
            assert migrate(database) is True
        with database.write(_THEN) as change:
            publish(change, CompanyRules("com_1", True, None, {}))
        with database.read(_THEN) as reading:
            actor = Actor("user", "com_1", "usr_1", "Ada", frozenset("*"), "gplt_1")
            tokens = token_search.list_(reading, actor, owner="usr_1").items
            assert len(tokens) == 5
            rows = reading.session.execute(
                text("SELECT deactivated_at, lapsed_at, expires_at, warn_at FROM access_tokens")
            ).all()
            for ended, lapsed, expires_at, warn_at in rows:
                lives = ended is None and lapsed is None and expires_at is not None
                assert warn_at == (expires_at - 14 * 86_400_000 if lives else None)
            assert {row.warn_at is None for row in rows} == {True, False}
            assert {(one.owner.id, one.owner.type, one.created_by.name) for one in tokens} == {
                ("usr_1", "user", "Ada")
            }
            assert published_holder(reading, "usr_3") == Holder(
                "usr_3", "com_1", False, "admin", name="Bob"
            )
            position = reading.session.execute(
                text("SELECT number, tag FROM revisions ORDER BY number LIMIT 1 OFFSET 1")
            ).one()
            assert position.number == before.number + 1
            assert position.tag != before.tag
            changed = reading.session.execute(
                text("SELECT record_id FROM changed_records WHERE revision = :number"),
                {"number": position.number},
            )
            assert set(changed.scalars()) == set(former)
        with database.administrative_write() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), metadata)
        assert {one[0] for one in differences} <= {"remove_table", "remove_index"}
        database.close()
    postgresql.drop("test_owners")
