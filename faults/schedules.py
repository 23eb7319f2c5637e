"""Runs random schedules of changes, crashes and restarts; copies must equal the registry."""

import shutil
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import CATALOGUE, now
from gatepass.core.credentials import LOGIN_TOKEN, make
from gatepass.core.errors import GatepassError
from gatepass.core.set_digest import SetDigest
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions
from gatepass.registry.authentication.session_records import begin
from gatepass.registry.directory import companies, roles, user_roles, users, verifier_keys
from gatepass.registry.grants import publishing
from gatepass.registry.grants.compaction import compact
from gatepass.registry.membership import offboarding
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.replication.postgresql_feed import DatabaseFeed
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Change, Database, Reading
from gatepass.registry.storage.schema import create_schema
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.hand_over import Handling, Recipient
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import TABLES, GrantFile
from gatepass.verify.replica import frames
from gatepass.verify.replica.database_follower import Feed, Follower
from gatepass.verify.replica.grant_copy import ChangedRow, Position, open_copy, position
from gatepass.verify.replica.streamed_copy import StreamedCopy
from tests.support.database.fixtures import empty_postgresql
from tests.support.database.postgresql import Cluster

_STALENESS_MS = 10_000
_DAY_MS = 86_400_000
_STEPS = 24
_SETS = (["charges:get"], ["charges:*"], ["charges:create", "charges:search"])
_NETWORKS: tuple[list[str], ...] = ([], ["10.0.0.0/8"], ["203.0.113.0/24", "2001:db8::/32"])
_ROLES = ("admin", "manager", "customer-service", "reporting")
_picked = st.integers(0, 999)
_ROWS = "SELECT id, record, revision FROM {table} ORDER BY id"
_T = TypeVar("_T")


@experiment(9, "schedules", "Random schedules of changes, crashes, restarts and compaction")
def schedules(lab: Lab) -> Iterator[Result]:
    """hypothesis draws schedules of changes: to tokens, users, roles, sign-ins and the allowlist,
    and garbage collection. Two kinds of copies follow when the schedule says so: a node's, from
    PostgreSQL, and an embedded verifier's, through the frames of the feed. They crash in the
    middle of applying, and are reopened. On both engines.

    Passes when after each following the copy equals the registry by digest, a crash leaves the
    copy unchanged, and in the end all copies are equal to the registry.
    """
    examples = lab.number(1_000, 30)
    for engine, share in (("SQLite", examples - examples // 3), ("PostgreSQL", examples // 3)):
        lab.say(f"schedules: {share} on {engine}")
        started = time.monotonic()
        did: Counter[str] = Counter()
        failed = ""
        # In memory where possible: power cuts are no part of this.
        memory = Path("/dev/shm")
        with (
            TemporaryDirectory(dir=memory if memory.is_dir() else lab.directory) as directory,
            _machines(Path(directory), engine, did) as machine,
        ):
            try:
                run_state_machine_as_test(
                    machine,
                    settings=settings(
                        max_examples=share,
                        stateful_step_count=_STEPS,
                        deadline=None,
                        database=None,
                        suppress_health_check=list(HealthCheck),
                        print_blob=False,
                        report_multiple_bugs=False,
                    ),
                )
            except Exception as error:
                failed = "; ".join([f"{error}", *getattr(error, "__notes__", [])])
        yield Finding(
            f"{engine}: copies equal to the registry by digest",
            f"{did['compared']:,} times in {did['schedules']:,} schedules",
            "always",
            not failed and did["schedules"] >= share,
            failed
            or f"{did['changes']:,} changes, {did['crashes']:,} crashes in "
            f"{time.monotonic() - started:.0f} s",
        )


class _Crash(Exception):
    """Simulated death of a follower."""


@contextmanager
def _machines(directory: Path, engine: str, did: Counter[str]) -> Iterator[Any]:
    """A factory of state machines on one engine, each over an empty registry."""
    numbers = iter(range(10**9))
    with ExitStack() as running:
        url = f"sqlite:///{directory / 'template.db'}"
        if engine == "PostgreSQL":
            url = running.enter_context(Cluster()).create("schedules")
        with closing(Database(url)) as database:
            create_schema(database)

        def machine() -> RuleBasedStateMachine:
            own = directory / str(next(numbers))
            own.mkdir()
            if engine == "PostgreSQL":
                empty_postgresql(url)
                return _Schedule(own, Database(url), url, did)
            shutil.copy(directory / "template.db", own / "registry.db")
            return _Schedule(own, Database(f"sqlite:///{own / 'registry.db'}"), "", did)

        yield machine


class _Schedule(RuleBasedStateMachine):
    def __init__(self, directory: Path, database: Database, url: str, did: Counter[str]) -> None:
        super().__init__()
        self._directory = directory
        self._database = database
        self._did = did
        self._copies: list[_Copy] = [_EmbeddedCopy(directory / "embedded.db", database)]
        if url:
            self._copies.append(_NodesCopy(directory / "node.db", url))
        self._users: list[str] = []
        self._tokens: list[str] = []
        self._logins: list[str] = []
        self._roles: list[str] = []
        self._keys: list[str] = []

    @initialize()
    def begin(self) -> None:
        """A company with three people."""
        self._did["schedules"] += 1
        line = Actor.command_line()
        with self._database.write(now()) as change:
            company = companies.create(change, line, catalogue=CATALOGUE, name="Schedules")
            self._company = company.id
            for name in ("ada", "bob", "eve"):
                user = users.create(
                    change,
                    line,
                    company=company.id,
                    email=f"{name}@example.com",
                    name=name,
                    role="admin",
                    password_hash="none",
                    operator=name == "ada",
                )
                self._users.append(user.id)

    @rule(who=_picked, permissions=st.sampled_from(_SETS), networks=st.sampled_from(_NETWORKS))
    def make_token(self, who: int, permissions: list[str], networks: list[str]) -> None:
        """A user creates a token, if permitted."""

        def make_one(change: Change) -> None:
            made = access_tokens.create(
                change,
                users.on_behalf_of(change, self._one(self._users, who)),
                catalogue=CATALOGUE,
                label="scheduled",
                kind="api",
                permissions=permissions,
                networks=networks,
            )
            self._tokens.append(made[0].id)

        self._change(make_one)

    @precondition(lambda self: self._tokens)
    @rule(which=_picked, permissions=st.sampled_from(_SETS), networks=st.sampled_from(_NETWORKS))
    def edit_token(self, which: int, permissions: list[str], networks: list[str]) -> None:
        """A token is modified."""
        wanted = {"permissions": permissions, "networks": networks}
        self._change(
            lambda change: access_tokens.modify(
                change,
                self._ada(change),
                self._one(self._tokens, which),
                catalogue=CATALOGUE,
                changes=wanted,
            )
        )

    @precondition(lambda self: self._tokens)
    @rule(which=_picked)
    def end_token(self, which: int) -> None:
        """A token is deactivated."""
        self._change(
            lambda change: access_tokens.deactivate(
                change, self._ada(change), self._one(self._tokens, which)
            )
        )

    @rule(who=_picked, role=st.sampled_from(_ROLES))
    def change_role(self, who: int, role: str) -> None:
        """Bob or Eve gets another role."""
        self._change(
            lambda change: user_roles.change_role(
                change, self._ada(change), self._one(self._users[1:], who), role=role
            )
        )

    @rule(who=_picked, rest=st.sampled_from(["deactivate", "keep", "hand_over"]))
    def deactivate_user(self, who: int, rest: Any) -> None:
        """Bob's or Eve's account is deactivated; Ada may get the tokens."""
        to = Recipient("user", self._users[0]) if rest == "hand_over" else None
        self._change(
            lambda change: offboarding.deactivate(
                change,
                self._ada(change),
                self._one(self._users[1:], who),
                tokens=Handling(rest, to),
            )
        )

    @rule(who=_picked)
    def sign_in(self, who: int) -> None:
        """A user signs in."""

        def sign_in(change: Change) -> None:
            user = users.get(change, self._one(self._users, who))
            credential = make(LOGIN_TOKEN)
            begin(
                change,
                user,
                credential,
                lifetime_ms=10_000_000,
                address=None,
                user_agent=None,
            )
            self._logins.append(credential.id)

        self._change(sign_in)

    @precondition(lambda self: self._logins)
    @rule(which=_picked, gone=st.booleans())
    def end_sign_in(self, which: int, gone: bool) -> None:
        """A sign-in is deactivated, or garbage-collected."""
        login = self._one(self._logins, which)
        if gone:
            self._change(lambda change: publishing.withdraw_grants(change, [login]))
        else:
            self._change(lambda change: sessions.deactivate(change, self._ada(change), login))

    @rule(permissions=st.sampled_from(_SETS), which=_picked)
    def change_roles(self, permissions: list[str], which: int) -> None:
        """A custom role is created or modified."""

        def make(change: Change) -> None:
            if len(self._roles) < 2:
                made = roles.create(
                    change,
                    self._ada(change),
                    catalogue=CATALOGUE,
                    name=f"role {len(self._roles)}",
                    permissions=permissions,
                )
                self._roles.append(made.id)
            else:
                roles.modify(
                    change,
                    self._ada(change),
                    self._one(self._roles, which),
                    catalogue=CATALOGUE,
                    changes={"permissions": permissions},
                )

        self._change(make)

    @rule(networks=st.sampled_from(_NETWORKS))
    def change_allowlist(self, networks: list[str]) -> None:
        """The company's allowlist changes."""
        self._change(
            lambda change: allowlist.replace(
                change,
                self._ada(change),
                self._company,
                [Entry(network, "") for network in networks],
                confirm=True,
            )
        )

    @rule(end=st.booleans(), which=_picked)
    def change_keys(self, end: bool, which: int) -> None:
        """A verifier key is created or deactivated."""

        def make(change: Change) -> None:
            line = Actor.command_line()
            if end and self._keys:
                verifier_keys.deactivate(change, line, self._one(self._keys, which))
            else:
                self._keys.append(verifier_keys.create(change, line, label="key")[0].id)

        self._change(make)

    @rule(days=st.sampled_from([2, 9]))
    def compact(self, days: int) -> None:
        """Garbage collection after two days (ended sign-ins) or nine (old revisions as well)."""
        compact(self._database, lambda: now() + days * _DAY_MS)

    @rule(which=_picked)
    def follow(self, which: int) -> None:
        """A copy follows, and must equal the registry."""
        copy = self._one(self._copies, which)
        self._follow(copy)

    @rule()
    def follow_all(self) -> None:
        """All copies follow."""
        for copy in self._copies:
            self._follow(copy)

    @rule(which=_picked, at=st.integers(0, 8))
    def crash(self, which: int, at: int) -> None:
        """A follower dies while it applies changes; the copy must stay as it was."""
        copy = self._one(self._copies, which)
        before = copy.digest()
        if copy.follow_until_crash(at):
            self._did["crashes"] += 1
            if copy.digest() != before:
                raise AssertionError(f"{copy.path.name} was left half-applied")
        else:
            self._compare(copy)

    @rule(which=_picked)
    def restart(self, which: int) -> None:
        """A follower restarts."""
        self._one(self._copies, which).restart()

    def teardown(self) -> None:
        """All copies follow once more, and must equal the registry."""
        try:
            if self._users:
                self.follow_all()
        finally:
            for copy in self._copies:
                copy.close()
            self._database.close()
            shutil.rmtree(self._directory)

    def _follow(self, copy: "_Copy") -> None:
        copy.follow()
        self._compare(copy)

    def _compare(self, copy: "_Copy") -> None:
        self._did["compared"] += 1
        with self._database.read(now()) as reading:
            here = revisions.latest(reading)
            registry = _digest(
                tuple(row)
                for table in TABLES
                for row in reading.session.execute(text(_ROWS.format(table=table)))
            )
        if copy.digest() != (here, registry):
            raise AssertionError(f"{copy.path.name} differs from the registry")

    def _change(self, make: Callable[[Change], object]) -> None:
        # An operation that the rules refuse changes nothing.
        with suppress(GatepassError), self._database.write(now()) as change:
            make(change)
            self._did["changes"] += 1

    def _ada(self, reading: Reading) -> Actor:
        return users.on_behalf_of(reading, self._users[0])

    @staticmethod
    def _one(those: list[_T], which: int) -> _T:
        return those[which % len(those)]


class _Copy(ABC):
    """A copy that follows the registry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._clock = Clock()
        # The file must exist before its shared map.
        open_copy(path).close()
        self.restart()

    def restart(self) -> None:
        """Close the copy, and open its file again."""
        self.close()
        self._file = GrantFile(self.path)

    def follow(self) -> None:
        """Apply all changes since the copy's position; it must be fresh then."""
        self._apply(None)
        if not self._file.shared.is_fresh(self._clock.boot_ns(), self._clock.wall_ms()):
            raise AssertionError(f"{self.path.name} is stale")

    def follow_until_crash(self, at: int) -> bool:
        """Apply changes and die after *at* records, or before the commit.

        Returns:
            Whether it died; it doesn't where nothing has changed.
        """
        try:
            self._apply(at)
        except _Crash:
            self.restart()
            return True
        return False

    def digest(self) -> tuple[Position | None, str]:
        """Its position and the digest of its rows, as another process reads them."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            rows = (
                row for table in TABLES for row in connection.execute(_ROWS.format(table=table))
            )
            return position(connection), _digest(rows)

    @abstractmethod
    def _apply(self, crash_at: int | None) -> None:
        """Apply all changes; die after *crash_at* records unless it is None."""

    @abstractmethod
    def close(self) -> None:
        """Close the copy; uncommitted changes are lost, as when a process dies."""


class _NodesCopy(_Copy):
    """A node's copy, which follows PostgreSQL."""

    _connection: sqlite3.Connection | None = None

    def __init__(self, path: Path, url: str) -> None:
        self._feed = DatabaseFeed(url)
        super().__init__(path)

    def close(self) -> None:
        """Close both databases."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._feed.close()

    def _apply(self, crash_at: int | None) -> None:
        if self._connection is None:
            self._connection = open_copy(self.path)
            self._follower = Follower(self._file, self._clock, _STALENESS_MS)
        feed: Feed = self._feed if crash_at is None else _Crashing(self._feed, crash_at)
        self._follower.sync(self._connection, feed)


class _EmbeddedCopy(_Copy):
    """An embedded verifier's copy, which follows the frames of a feed."""

    _copy: StreamedCopy | None = None

    def __init__(self, path: Path, database: Database) -> None:
        self._database = database
        super().__init__(path)

    def close(self) -> None:
        """Close the file."""
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def _apply(self, crash_at: int | None) -> None:
        if self._copy is None:
            self._copy = StreamedCopy(self._file, self._clock, "", threading.Lock())
        stream = self._stream(self._copy.begin())
        reader = frames.Frames()
        records = 0
        # In pieces that don't end where frames do.
        for start in range(0, len(stream), 100):
            for frame in reader.feed(stream[start : start + 100]):
                if crash_at is not None:
                    if records and (records > crash_at or isinstance(frame, frames.Reached)):
                        raise _Crash
                    records += isinstance(frame, frames.Records)
                self._copy.apply(frame)

    def _stream(self, here: Position | None) -> bytes:
        """The bytes that a server would send."""
        boot_ns = self._clock.boot_ns()
        with self._database.read(now()) as reading:
            found = None if here is None else revisions.changes_since(reading, here)
            rows: list[ChangedRow] = (
                [
                    (table, key, record, revision)
                    for query in revisions.SNAPSHOT
                    for table, key, record, revision in reading.session.execute(text(query))
                ]
                if found is None
                else found[1]
            )
            there = revisions.latest(reading) if found is None else found[0]
        opening = frames.Opening(
            protocol=frames.PROTOCOL,
            boot_ns=boot_ns,
            staleness_ms=_STALENESS_MS,
            full=found is None,
            node="node_0000000000000000",
            version="0",
            wall_ms=self._clock.now(),
        )
        parts = [frames.pack(rows[start : start + 2]) for start in range(0, len(rows), 2)]
        sent: list[frames.Frame] = [opening, *parts, frames.Reached(*there, boot_ns)]
        return b"".join(map(frames.encode, sent))


def _digest(rows: Iterable[tuple[str, bytes, int]]) -> str:
    digest = SetDigest()
    digest.add(rows)
    return f"{digest} of {digest.rows}"


class _Crashing:
    """A feed whose reader dies after *after* records."""

    def __init__(self, feed: Feed, after: int) -> None:
        self._feed = feed
        self._after = after

    def heartbeat(self) -> int:
        """Forwards to the feed."""
        return self._feed.heartbeat()

    def changes(self, after: Position) -> tuple[Position, Iterable[ChangedRow]] | None:
        """Forwards to the feed, until the reader dies."""
        found = self._feed.changes(after)
        return None if found is None else (found[0], self._until(found[1]))

    def snapshot(self) -> tuple[Position, Iterable[ChangedRow]]:
        """Forwards to the feed, until the reader dies."""
        there, rows = self._feed.snapshot()
        return there, self._until(rows)

    def wait(self, seconds: float) -> None:
        """Returns at once."""

    def close(self) -> None:
        """Forwards to the feed."""
        self._feed.close()

    def _until(self, rows: Iterable[ChangedRow]) -> Iterator[ChangedRow]:
        for number, row in enumerate(rows):
            if number == self._after:
                raise _Crash
            yield row
        # Everything is applied and nothing committed.
        raise _Crash
