"""A connection to PostgreSQL that is lost while a change is committed: what became of it is asked,
never guessed. Told that it failed, somebody would make it twice."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from math import inf

import pytest
from sqlalchemy import QueuePool, create_engine, insert, select

from gatepass.core.errors import Unavailable
from gatepass.registry.storage import group
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.tables import decision_counts
from tests.support.database.postgresql import Cluster
from tests.support.waiting import until

NOW = 1_800_000_000_000


class Relay:
    """A connection to PostgreSQL that ends as soon as a COMMIT comes by.

    Args:
        forward: whether the server gets it all the same; what it answers is lost.
    """

    def __init__(self, port: int, *, forward: bool) -> None:
        self._port = port
        self.forward = forward
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        #: Set once a change is under way: the driver commits things of its own before.
        self.armed = False
        self.cut = False
        #: Connections after the one that was cut work, unless this is set.
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listening.accept()
            except OSError:
                return
            if self.cut and self.closed:
                here.close()
                continue
            there = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._questions, args=(here, there), daemon=True).start()
            threading.Thread(target=self._answers, args=(here, there), daemon=True).start()

    def _questions(self, here: socket.socket, there: socket.socket) -> None:
        while data := here.recv(65_536):
            if self.armed and b"COMMIT\0" in data and not self.cut:
                self.cut = True
                here.shutdown(socket.SHUT_RDWR)
                if self.forward:
                    there.sendall(data)
                else:
                    # The server notices: a mere close() doesn't end what another thread reads.
                    there.shutdown(socket.SHUT_RDWR)
                return
            there.sendall(data)

    def _answers(self, here: socket.socket, there: socket.socket) -> None:
        try:
            while data := there.recv(65_536):
                here.sendall(data)
        except OSError:
            pass


@pytest.fixture(params=[True, False], ids=["carried out", "not carried out"])
def relay(request: pytest.FixtureRequest, postgresql: Cluster) -> Iterator[Relay]:
    relay = Relay(postgresql.port, forward=request.param)
    yield relay
    relay.close()


def count(database: Database) -> int | None:
    with database.read(NOW) as reading:
        total: int | None = reading.session.scalar(select(decision_counts.c.total))
        return total


def change(database: Database, relay: Relay) -> None:
    with database.write(NOW) as change:
        relay.armed = True
        change.session.execute(insert(decision_counts), {"reason": "allowed", "total": 1})


def test_the_outcome_is_read_over_a_new_connection(
    relay: Relay, postgresql_url: str, postgresql: Cluster
) -> None:
    direct = Database(postgresql_url)
    database = Database(postgresql_url.replace(str(postgresql.port), str(relay.port)))
    failed = nullcontext() if relay.forward else pytest.raises(Unavailable, match="right now")
    with failed:
        change(database, relay)
    assert relay.cut
    assert count(direct) == (1 if relay.forward else None)
    database.close()
    direct.close()


@pytest.mark.parametrize("readable", [True, False])
def test_all_changes_of_a_group_have_one_outcome(
    relay: Relay,
    postgresql_url: str,
    postgresql: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    readable: bool,
) -> None:
    # A slow machine ends no group.
    monkeypatch.setattr(group, "LONGEST_S", inf)
    relay.closed = not readable
    direct = Database(postgresql_url)
    database = Database(postgresql_url.replace(str(postgresql.port), str(relay.port)))

    def behind() -> str:
        try:
            with database.write(NOW):
                pass
        except Unavailable as error:
            return error.reason
        return "made"

    reasons = []
    with ThreadPoolExecutor(3) as pool:
        try:
            with database.write(NOW) as change:
                change.session.execute(insert(decision_counts), {"reason": "allowed", "total": 1})
                others = [pool.submit(behind) for _ in range(3)]
                until(lambda: len(database._turns._waiting) == 3)
                relay.armed = True
            reasons.append("made")
        except Unavailable as error:
            reasons.append(error.reason)
        reasons += [other.result() for other in others]
    made = "made" if relay.forward else "unavailable"
    assert reasons == [made if readable else "outcome_unknown"] * 4
    if readable:
        assert count(direct) == (1 if relay.forward else None)
    database.close()
    direct.close()


def test_an_unreadable_outcome_is_reported_as_unknown(
    relay: Relay, postgresql_url: str, postgresql: Cluster
) -> None:
    relay.closed = True
    database = Database(postgresql_url.replace(str(postgresql.port), str(relay.port)))
    with pytest.raises(Unavailable) as refusal:
        change(database, relay)
    assert refusal.value.reason == "outcome_unknown"
    assert "Check whether it was made" in refusal.value.message
    database.close()


def test_without_a_free_connection_the_outcome_is_unknown(
    relay: Relay, postgresql_url: str, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(postgresql_url.replace(str(postgresql.port), str(relay.port)))
    busy = create_engine(
        "sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.05
    )

    def change_while_all_are_taken() -> None:
        with busy.connect(), database.write(NOW) as change:
            change.session.execute(insert(decision_counts), {"reason": "allowed", "total": 1})
            relay.armed = True
            monkeypatch.setattr(database, "_changes", busy)

    with pytest.raises(Unavailable) as refusal:
        change_while_all_are_taken()
    assert refusal.value.reason == "outcome_unknown"
    database.close()
