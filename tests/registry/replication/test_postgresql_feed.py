"""A node's feed from PostgreSQL: from the primary only, complete, and in time."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from gatepass.core.errors import Unavailable
from gatepass.registry.replication import postgresql_feed
from gatepass.registry.replication.postgresql_feed import DatabaseFeed
from gatepass.registry.storage import group
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.silent_server import ResponseTimeoutConnection
from gatepass.registry.tokens import access_tokens
from tests.support.database.pooler import Pooler
from tests.support.database.postgresql import Cluster
from tests.support.database.small_registry import SmallRegistry
from tests.support.feed.followed_copy import FollowedCopy, published
from tests.support.waiting import until


@pytest.fixture
def registry(postgresql_url: str) -> Iterator[SmallRegistry]:
    """Two companies on PostgreSQL."""
    database = Database(postgresql_url)
    yield SmallRegistry(database)
    database.close()


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    """Its kernel still acknowledges; the server doesn't answer."""
    with ExitStack() as thawing:
        for pid in cluster.processes():
            os.kill(pid, signal.SIGSTOP)
            thawing.callback(os.kill, pid, signal.SIGCONT)
        yield


def end_a_token(registry: SmallRegistry) -> int:
    """Create and deactivate a token; returns the revision of the deactivation."""
    ada = registry.signed_in(registry.ada)
    token, _ = registry.token(ada)
    with registry.write() as change:
        access_tokens.deactivate(change, ada, token.id)
        revision = change.revision
    return revision


def test_a_heartbeat_returns_the_primarys_time(postgresql_url: str) -> None:
    with closing(DatabaseFeed(postgresql_url)) as asked:
        before = time.time_ns() // 1_000_000
        assert before - 1 <= asked.heartbeat() <= time.time_ns() // 1_000_000 + 1


def test_a_snapshot_has_no_time_limit(
    registry: SmallRegistry, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower that applies it while streaming looks idle to the server: neither the server's
    timeouts nor the response timeout limit the whole."""
    monkeypatch.setattr(postgresql_feed, "_ROWS_AT_ONCE", 2)
    name = postgresql_url.rpartition("/")[2]
    limits = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
    with psycopg.connect(postgresql_url, autocommit=True) as administrator:
        for limit in limits:
            administrator.execute(f"ALTER DATABASE {name} SET {limit} = '200ms'")  # type: ignore[arg-type] # a test's own text
        try:
            with closing(DatabaseFeed(postgresql_url)) as asked:
                here, rows = asked.snapshot()
                taken = []
                for row in rows:
                    taken.append(row)
                    time.sleep(0.3 if len(taken) in (1, 4) else 0)
        finally:
            for limit in limits:
                administrator.execute(f"ALTER DATABASE {name} RESET {limit}")  # type: ignore[arg-type] # a test's own text
    found = {(table, key): (record, revision) for table, key, record, revision in taken}
    assert found == published(registry.database)
    assert here[0] == registry.revision()


def test_many_changes_are_streamed_completely(
    registry: SmallRegistry, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower that was away for days needn't hold them all in memory."""
    with closing(DatabaseFeed(postgresql_url)) as asked:
        before, rows = asked.snapshot()
        copy = {(table, key): (record, revision) for table, key, record, revision in rows}
        for _ in range(3):
            end_a_token(registry)
        monkeypatch.setattr(postgresql_feed, "_ROWS_AT_ONCE", 2)
        ahead = asked.changes(before)
        assert ahead is not None
        there, rows = ahead
        assert not isinstance(rows, list)
        copy |= {(table, key): (record, revision) for table, key, record, revision in rows}
        assert copy == published(registry.database)
        assert there[0] == registry.revision()
        assert asked.changes(there) == (there, ())


def test_a_follower_asks_and_reads_in_one_round_trip_each(
    registry: SmallRegistry, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, each round trip waits for a processor at both ends."""
    waits = 0
    wait = ResponseTimeoutConnection.wait

    def counted(self: ResponseTimeoutConnection, *arguments: Any, **options: Any) -> Any:
        nonlocal waits
        waits += 1
        return wait(self, *arguments, **options)

    with closing(DatabaseFeed(postgresql_url)) as asked:
        here, rows = asked.snapshot()
        list(rows)
        revision = end_a_token(registry)
        monkeypatch.setattr(ResponseTimeoutConnection, "wait", counted)
        asked.heartbeat()
        ahead = asked.changes(here)
    assert ahead is not None
    assert list(ahead[1])[-1][3] == ahead[0][0] == revision
    assert waits == 2


def test_an_abandoned_snapshot_leaves_no_transaction_open(
    registry: SmallRegistry, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_feed, "_ROWS_AT_ONCE", 1)
    with closing(DatabaseFeed(postgresql_url)) as asked:
        _, rows = asked.snapshot()
        next(iter(rows))
        del rows
        assert asked.changes((0, "0" * 16)) is None
        asked.heartbeat()
        _, rows = asked.snapshot()
        assert len(list(rows)) == len(published(registry.database))


def test_a_frozen_server_times_out_and_following_continues(
    registry: SmallRegistry,
    postgresql: Cluster,
    postgresql_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old connection stays half-open; a new one works once the server has resumed."""
    monkeypatch.setattr(postgresql_feed, "_RESPONSE_TIMEOUT_S", 0.5)
    monkeypatch.setitem(postgresql_feed._PARAMETERS, "connect_timeout", 2)
    with closing(DatabaseFeed(postgresql_url)) as asked:
        asked.heartbeat()
        with frozen(postgresql):
            # By itself: nothing thaws it as long as this goes on.
            for _ in range(2):
                with pytest.raises(psycopg.OperationalError):
                    asked.heartbeat()
        asked.heartbeat()
    with FollowedCopy(tmp_path / "grants.db", DatabaseFeed(postgresql_url), 1_500) as copy:
        until(lambda: copy.fresh)
        with frozen(postgresql):
            until(lambda: not copy.fresh)
        until(lambda: copy.fresh)
        copy.until_at(end_a_token(registry))
        assert copy.rows() == published(registry.database)


def test_without_notifications_polling_finds_changes(
    registry: SmallRegistry, postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = group._KEEP_REVISION
    monkeypatch.setitem(kept, "postgresql", kept["sqlite"])
    with FollowedCopy(tmp_path / "grants.db", DatabaseFeed(postgresql_url)) as copy:
        copy.until_at(registry.revision())
        copy.until_at(end_a_token(registry))


# --- behind a pooler ------------------------------------------------------------------------------


def test_behind_a_pooler_changes_are_made_and_followed(
    registry: SmallRegistry, postgresql: Cluster, postgresql_url: str, tmp_path: Path
) -> None:
    """In transaction mode: no session settings, no prepared statements, no notifications."""
    with Pooler(postgresql) as pooler:
        url = pooler.url(postgresql_url.rpartition("/")[2])
        direct, registry.database = registry.database, Database(url)
        with FollowedCopy(tmp_path / "grants.db", DatabaseFeed(url)) as copy:
            copy.until_at(registry.revision())
            for _ in range(10):
                copy.until_at(end_a_token(registry))
            assert copy.rows() == published(direct)
        registry.database.close()
        registry.database = direct


def test_behind_a_pooler_each_transaction_has_the_required_settings(
    registry: SmallRegistry, postgresql: Cluster, postgresql_url: str, idle_limit: None
) -> None:
    with Pooler(postgresql, connections=2) as pooler:
        database = Database(pooler.url(postgresql_url.rpartition("/")[2]))
        settings = [
            "SELECT current_setting('lock_timeout'), current_setting('synchronous_commit'), "
            "current_setting('idle_in_transaction_session_timeout'), "
            "current_setting('transaction_isolation'), pg_backend_pid()"
        ]
        servers = set()
        with psycopg.connect(pooler.url(postgresql_url.rpartition("/")[2])) as other:
            for _ in range(4):
                # Somebody else holds a connection now and then, so that ours is now this, now that.
                other.execute("SELECT 1")
                with database.write(registry.now) as change:
                    *found, pid = change.session.execute(text(settings[0])).one()
                    assert found == ["2s", "on", "2s", "read committed"]
                    servers.add(pid)
                other.commit()
                with database.read(registry.now) as reading:
                    *found, pid = reading.session.execute(text(settings[0])).one()
                    assert found == ["2s", "on", "2s", "repeatable read"]
                    servers.add(pid)
        database.close()
        assert servers


def test_behind_a_pooler_a_frozen_writer_is_terminated(
    registry: SmallRegistry, postgresql: Cluster, postgresql_url: str, idle_limit: None
) -> None:
    with Pooler(postgresql) as pooler:
        database = Database(pooler.url(postgresql_url.rpartition("/")[2]))
        before = registry.revision()

        def freeze() -> None:
            with database.write(registry.now) as change:
                time.sleep(2.3)
                change.session.execute(text("SELECT 1"))

        with pytest.raises(Unavailable):
            freeze()
        with database.write(registry.now) as change:
            assert change.revision == before + 1
        database.close()
