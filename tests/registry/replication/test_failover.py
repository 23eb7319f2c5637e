"""Failover to a streaming replica: what synchronous replication keeps, and what becomes of a
history that lost its end."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from gatepass.core.errors import Unavailable
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import search, sentences
from gatepass.registry.grants import history
from gatepass.registry.grants.publishing import published_grant
from gatepass.registry.replication import postgresql_feed
from gatepass.registry.replication.postgresql_feed import DatabaseFeed
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import create_schema
from gatepass.registry.storage.silent_server import ResponseTimeoutConnection
from gatepass.registry.tokens import access_tokens
from tests.support.database.postgresql import Cluster
from tests.support.database.small_registry import NOW, SmallRegistry
from tests.support.feed.followed_copy import FollowedCopy, published
from tests.support.waiting import until

pytestmark = pytest.mark.postgresql

NODE = Subject("node", "node_1", "a machine")


class Installation:
    """A primary, its replica, and a registry whose URL names both.

    Attributes:
        url: names both hosts.
    """

    def __init__(self, primary: Cluster, *, synchronous: bool) -> None:
        self.primary = primary
        database = Database(primary.create("registry"))
        create_schema(database)
        database.close()
        self.replica = primary.replica(synchronous=synchronous)
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in (primary, self.replica))
        self.url = f"postgresql://postgres@{hosts}/registry"
        self.registry = SmallRegistry(Database(self.url))

    def fail_over(self) -> None:
        """The primary is gone, and the replica takes its place."""
        self.primary.stop()
        self.replica.promote()


@contextmanager
def installed(*, synchronous: bool) -> Iterator[Installation]:
    with Cluster() as primary:
        installation = Installation(primary, synchronous=synchronous)
        with installation.replica:
            yield installation
            installation.registry.database.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the response timeouts to a second."""
    monkeypatch.setattr(ResponseTimeoutConnection, "response_timeout_s", 1.0)
    monkeypatch.setattr(postgresql_feed, "_RESPONSE_TIMEOUT_S", 1.0)


def test_with_a_synchronous_replica_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    with installed(synchronous=True) as installation:
        registry = installation.registry
        ada = registry.signed_in(registry.ada)
        tokens = [registry.token(ada, label=f"T{n}")[0].id for n in range(60)]
        ended: list[str] = []

        def end() -> None:
            for token in tokens:
                for _ in range(50):
                    try:
                        registry.do(access_tokens.deactivate, ada, token)
                        ended.append(token)
                        break
                    except Unavailable:
                        time.sleep(0.1)

        with FollowedCopy(tmp_path / "grants.db", DatabaseFeed(installation.url)) as copy:
            copy.until_at(registry.revision())
            deactivation = threading.Thread(target=end)
            deactivation.start()
            until(lambda: len(ended) > 15)
            installation.fail_over()
            deactivation.join()
            assert sorted(ended) == sorted(tokens)
            copy.until_at(registry.revision())
            assert copy.rows() == published(registry.database)
            assert copy.divergences == []
        with registry.read() as reading:
            for token in ended:
                grant = published_grant(reading, token)
                assert grant is not None
                assert grant.deactivated


def test_an_isolated_primary_with_a_synchronous_replica_renews_no_lease(
    tmp_path: Path,
) -> None:
    """It still answers, but may have been replaced: its heartbeat can't commit."""
    with (
        installed(synchronous=True) as installation,
        FollowedCopy(tmp_path / "grants.db", DatabaseFeed(installation.url), 2_000) as copy,
    ):
        until(lambda: copy.fresh)
        installation.replica.stop()
        with closing(DatabaseFeed(installation.primary.url("registry"))) as asked:
            with pytest.raises(psycopg.OperationalError):
                asked.heartbeat()
            assert asked.changes((0, "0" * 16)) is None
        until(lambda: not copy.fresh)
        installation.replica.start()
        until(lambda: copy.fresh)


@pytest.mark.parametrize("connectable", [False, True])
def test_a_replica_is_never_read(
    postgresql: Cluster, postgresql_url: str, connectable: bool
) -> None:
    """Even if the URL allows it: a replica may be far behind, or isolated."""
    name = postgresql_url.rpartition("/")[2]
    with postgresql.replica() as replica:
        url = replica.url(name) + ("?target_session_attrs=any" if connectable else "")
        with (
            closing(DatabaseFeed(url)) as asked,
            pytest.raises(psycopg.Error, match=r"recovery|read"),
        ):
            asked.heartbeat()


def test_lost_revisions_are_reported_and_the_copy_is_rebuilt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An asynchronous replica takes over without what it didn't get: new commits have the numbers
    of the lost ones, and other tags."""
    with installed(synchronous=False) as installation:
        registry = installation.registry
        ada = registry.signed_in(registry.ada)
        token, _ = registry.token(ada)
        _in_step(installation)
        with FollowedCopy(tmp_path / "grants.db", DatabaseFeed(installation.url), 3_000) as copy:
            copy.until_at(registry.revision())
            installation.replica.stop()
            registry.do(access_tokens.deactivate, ada, token.id)
            lost = registry.revision()
            copy.until_at(lost)
            installation.primary.stop()
            until(lambda: not copy.fresh)
            installation.replica.start()
            installation.replica.promote()
            until(lambda: copy.fresh)
            assert [number for (number, _), _ in copy.divergences] == [lost]
            assert copy.rows() == published(registry.database)
            (known,) = copy.divergences
        # It is reported, once it is told.
        for _ in range(3):
            registry.token(ada)
        with registry.database.auxiliary_write(NOW) as write:
            assert history.report_divergence(write, NODE, *known)
        with registry.read() as reading:
            told = search.list_(reading, Actor.command_line(), action="history.shortened")
            assert history.divergence_count(reading) == 1
        (event,) = told.items
        assert (event.subject.name, event.before) == ("a machine", {"revision": lost})
        assert sentences.sentence(event).startswith("The database lost changes: a machine had seen")
        assert "lost changes" in caplog.text


def test_a_copy_older_than_the_revisions_kept_is_not_reported(registry: SmallRegistry) -> None:
    position = (0, "0" * 16)
    with registry.database.auxiliary_write(NOW) as write:
        write.session.execute(history.revisions.delete().where(history.revisions.c.number < 2))
    with registry.database.auxiliary_write(NOW) as write:
        assert not history.report_divergence(write, NODE, position, (9, "f" * 16))


def _in_step(installation: Installation) -> None:
    behind = "SELECT pg_current_wal_lsn() = replay_lsn FROM pg_stat_replication"
    until(lambda: installation.primary.execute(behind) == [(True,)])
