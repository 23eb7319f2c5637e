"""A primary that a test scripts, and a copy that syncs with it on command."""

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gatepass.core.grants import CompanyRules, Grant, Holder, encode
from gatepass.verify.replica.database_follower import Follower
from gatepass.verify.replica.grant_copy import ChangedRow, Position
from tests.support.feed.followed_copy import CopyReader
from tests.support.grants.grant_fixtures import Clocks

STALENESS_MS = 10_000


class Outage(Exception):
    """The primary is unreachable."""


class ScriptedPrimary:
    """A registry with a history, and its feed.

    Attributes:
        now_ms: its clock.
        faults: the names of the methods that fail.
        asked: the names of the methods called so far, in order.
        during: called with the name before each method.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.rows: dict[tuple[str, str], tuple[bytes, int]] = {}
        self.history: dict[int, str] = {0: "0" * 16}
        self.faults: set[str] = set()
        self.asked: list[str] = []
        self.during: Callable[[str], None] = lambda _: None
        self.woken = threading.Event()

    @property
    def position(self) -> Position:
        number = max(self.history)
        return number, self.history[number]

    def commit(self, *records: Grant | Holder | CompanyRules) -> None:
        """Commit one revision."""
        number = max(self.history) + 1
        tables = {Grant: "grants", Holder: "holders", CompanyRules: "company_rules"}
        for record in records:
            self.rows[tables[type(record)], record.id] = (encode(record), number)
        self.history[number] = secrets.token_hex(8)
        self.woken.set()

    def lose_last_revision(self) -> None:
        """Continue without the last revision, as after a failover to a lagging replica."""
        number, _ = self.position
        del self.history[number]
        lost = [name for name, (_, revision) in self.rows.items() if revision == number]
        for name in lost:
            del self.rows[name]

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        self.during(name)
        if name in self.faults:
            raise Outage(name)

    def _sent(self, name: str, rows: list[ChangedRow]) -> Iterator[ChangedRow]:
        for number, row in enumerate(rows):
            if number and number == len(rows) // 2:
                self._ask(f"half of the {name}")
            yield row

    def heartbeat(self) -> int:
        told_ms = self.now_ms()
        self._ask("heartbeat")
        return told_ms

    def changes(self, after: Position) -> tuple[Position, Iterable[ChangedRow]] | None:
        self._ask("changes")
        if self.history.get(after[0]) != after[1]:
            return None
        rows = [
            (table, key, record, revision)
            for (table, key), (record, revision) in self.rows.items()
            if revision > after[0]
        ]
        return self.position, self._sent("changes", sorted(rows, key=lambda row: (row[3], row[1])))

    def snapshot(self) -> tuple[Position, Iterable[ChangedRow]]:
        self._ask("snapshot")
        rows = [(*name, *content) for name, content in self.rows.items()]
        return self.position, self._sent("snapshot", rows)

    def wait(self, seconds: float) -> None:
        self._ask("wait")
        self.woken.wait(min(seconds, 0.02))
        self.woken.clear()

    def close(self) -> None:
        self._ask("close")


class SyncedCopy(CopyReader):
    """A node's copy that syncs on command, and a verifier in another process.

    Attributes:
        connection: the follower's connection to the copy.
    """

    def __init__(self, path: Path, clocks: Clocks) -> None:
        super().__init__(path, clocks)
        self.follower = Follower(self.file, clocks.clock(), STALENESS_MS)

    def sync(self, primary: ScriptedPrimary) -> None:
        """Sync with the primary once."""
        self.follower.sync(self.connection, primary)
