"""A node: this machine's database, grant file, verifier and background tasks.

Main workers and the command line open one. (A verify worker needs and loads less, see
``web.server.worker``.)
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Required, TypedDict, Unpack

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import parse
from gatepass.core.decision import Call, Decision, Reason, admit
from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.log_limit import LogLimit
from gatepass.node.copying import Copying
from gatepass.node.reporting import Reporting
from gatepass.node_counters import NodeCounters
from gatepass.registry.authentication.encryption import FILE_NAME, EncryptionKey
from gatepass.registry.grants import publishing
from gatepass.registry.grants.compaction import compact
from gatepass.registry.membership import token_approvals
from gatepass.registry.notifications import decoy_alarms, expiry_warnings
from gatepass.registry.notifications.token_alarms import end_reused, tell_of_late_use
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.ended_log import FILE_NAME as ENDED_LOG
from gatepass.registry.storage.ended_log import EndedLog
from gatepass.registry.tokens.calls import usage as registry_usage
from gatepass.registry.tokens.ending.closing import close_silent
from gatepass.registry.tokens.ending.unapproved import deactivate_unapproved
from gatepass.registry.tokens.ending.unused import end_unused
from gatepass.registry.tokens.lists.lapsing import record_lapsed
from gatepass.registry.tokens.temporary import exceptions
from gatepass.registry.tokens.temporary.rehearsals import note_ended
from gatepass.settings import Settings
from gatepass.verify.clock import TOLERANCE_MS, Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.periodic_task import PeriodicTask
from gatepass.verify.readiness import Readiness
from gatepass.verify.replica.database_follower import NodeLock
from gatepass.verify.replica.maintenance import Maintenance
from gatepass.verify.spools import Spool, by_kind, spools, unreported_ms
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier

if TYPE_CHECKING:
    from gatepass.node.mailing import Mailing
    from gatepass.node.reset_requests import ResetRequests
    from gatepass.node.webhooks import Webhooks
    from gatepass.oidc.provider import Provider
    from gatepass.registry.authentication.reauthentication import Reauthentication

_INTERVAL_SECONDS = 1.0
_QUICK_INTERVAL_SECONDS = 0.25
_FIRST_COMPACTION_SECONDS = 300.0
_COMPACTION_SECONDS = 3600.0
_LAPSING_SECONDS = 60.0
_ASKING_SECONDS = 5.0
_WARNING_SECONDS = 10.0
_FIRST_CLOSING_SECONDS = 60.0
_CLOSING_SECONDS = 300.0
_BREATHER_SECONDS = 0.05
#: For the runs under way, all together; the supervisor kills a worker after four times as long.
_STOP_SECONDS = 5.0

_log = logging.getLogger("gatepass.node")


class Sender(TypedDict, total=False):
    """What is known about the sender of a call, as ``core.decision.Call`` has it."""

    address: Required[bytes | None]
    origin: str | None
    referer: str | None
    address_garbage: bool


class Node:
    """The parts of a node in one process. Use :func:`open_node` to create one.

    One process of the node also has its duties: it sends mail and events, follows, reports and
    compacts.

    Attributes:
        settings, clock: as given.
        file: the local grant file.
        ended_log: the revocation log, a second record of every revocation.
        database: the registry.
        encryption_key: encrypts stored secrets.
        counters: what the node's processes count together.
        usage: this process's use counts.
        reporting: reports this node's position, in the process with the node's duties.
        verifier: makes decisions.
        leaving: True once this process stops; feeds then end.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        clock: Clock,
        counters: NodeCounters | None = None,
    ) -> None:
        self.settings = settings
        #: Until this node's grants have the installation's.
        self.first_catalogue = catalogue
        self.clock = clock
        self.counters = counters or NodeCounters()
        self.file = GrantFile(settings.grant_path)
        self._copying = Copying(settings, self.file, clock)
        on_one_machine = settings.is_sqlite
        if not on_one_machine:
            self._copying.make()
        self.ended_log = EndedLog(self.file.path.with_name(ENDED_LOG))
        self.database = Database(
            settings.database_url,
            writing=self.file.writing if on_one_machine else nullcontext,
            confirm=None if on_one_machine else self._copying.confirm,
            tolerance_ms=TOLERANCE_MS,
            revoked=self.ended_log.append,
        )
        self.encryption_key = EncryptionKey(settings.data_dir / FILE_NAME)
        self.usage = Usage(self.file.use_directory, self.counters.decisions)
        self.reporting = Reporting(settings, self.database, self.file, clock)
        self.verifier = Verifier(
            self.file,
            clock,
            catalogue.routes,
            published=True,
            copy=not on_one_machine,
            usage=self.usage,
        )
        self.readiness = Readiness(self.verifier.not_ready)
        self.leaving = False
        self._maintenance = Maintenance(self.verifier, self.usage, self.counters.workers)
        self._lock: NodeLock | None = None
        self._stopped = threading.Event()
        self._tasks: list[PeriodicTask] = []
        # The sizes at which spools were folded: one that hasn't grown needs no transaction.
        self._folded: dict[str, int] = {}
        self._log_limit = LogLimit()

    @property
    def catalogue(self) -> Catalogue:
        """The installation's catalogue, as this node decides by it now.

        Raises:
            Unavailable: the grants can't be read.
        """
        return self.verifier.catalogue() or self.first_catalogue

    # The command line opens a node, too. It starts faster without the modules of these five.

    @cached_property
    def reauthentication(self) -> "Reauthentication":
        """Re-authenticates users."""
        from gatepass.registry.authentication.reauthentication import Reauthentication

        return Reauthentication(self.database, self.encryption_key, self.clock.now)

    @cached_property
    def mailing(self) -> "Mailing":
        """Sends mail, in the process with the node's duties."""
        from gatepass.node.mailing import Mailing

        return Mailing(self.settings, self.database, self.clock.now)

    @cached_property
    def webhooks(self) -> "Webhooks":
        """Sends events to webhooks, in the process with the node's duties."""
        from gatepass.node.webhooks import Webhooks

        return Webhooks(self.settings, self.database, self.encryption_key, self.clock.now)

    @cached_property
    def reset_requests(self) -> "ResetRequests":
        """Handles the password reset requests that this process accepted."""
        from gatepass.node.reset_requests import ResetRequests

        return ResetRequests(
            self.database,
            self.clock.now,
            self.mailing.wake,
            operators_only=self.settings.oidc_required,
        )

    @cached_property
    def provider(self) -> "Provider | None":
        """The OIDC provider that users sign in with; None if there is none."""
        if self.settings.oidc_issuer is None:
            return None
        from gatepass.oidc.provider import Provider

        return Provider(self.settings, self.clock.now)

    def admit(self, credential: str | Reason, **sender: Unpack[Sender]) -> Decision:
        """Decide checks 1–8 of the rules for a caller of the control plane.

        A token that this node's copy lacks is looked up in the registry, so that a sign-in on one
        node is valid on another at once. Verification never does that.

        A decoy is looked up as well: answered sooner than an unknown token, or while the database
        is away, it would give itself away.

        Raises:
            Unavailable: this node can't decide now.
        """
        decision, known = self.verifier.admit(credential, **sender)
        unknown = known is None or decision.decoy is not None
        if unknown and self.verifier.copy and not isinstance(credential, Reason):
            return self._admit_by_registry(credential, sender)
        return decision

    def start(self) -> None:
        """Start the background tasks, and the node's duties once this process has the lock."""
        # Imported now, if there is one: a request would wait for it.
        _ = self.provider
        self.file.shared.set_public_url(self.settings.public_url)
        self._copying.serving = True
        self._maintenance.start()
        self._start(
            "revocation_log", self.ended_log.append, failure="writing the revocation log failed"
        )
        self._start(
            "password_resets", self.reset_requests.handle, failure="resetting passwords failed"
        )
        self._start(
            "duties",
            self._take_duties,
            failure="acquiring the node's lock failed",
            interval_s=_QUICK_INTERVAL_SECONDS,
        )

    def leave(self) -> None:
        """Make endless answers (feeds) end by themselves."""
        self.leaving = True

    def stop(self) -> None:
        """Stop the background tasks, handle pending reset requests, and spool the use counts."""
        self.leave()
        self._stopped.set()
        # All of them first, so that one that waits for the database holds up no other. The duties
        # come after the task that starts them, so none is missed.
        for task in self._tasks:
            task.stop(wait_s=0)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._tasks:
            self._tasks.pop(0).stop(wait_s=max(0.0, deadline - time.monotonic()))
        if self._lock is not None:
            self.webhooks.close()
            self._lock.close()
        self.reset_requests.handle()
        self._maintenance.close()
        self.file.disconnect()
        self.database.close()

    def _running(self) -> bool:
        return not self._stopped.is_set()

    def _start(
        self,
        name: str,
        work: Callable[[], object],
        *,
        failure: str,
        interval_s: float = _INTERVAL_SECONDS,
        first_s: float = 0.0,
    ) -> None:
        self._start_task(
            PeriodicTask(name, work, interval_s, first_s=first_s, log=_log, failure=failure)
        )

    def _start_task(self, task: PeriodicTask) -> None:
        task.start()
        self._tasks.append(task)

    def _take_duties(self) -> None:
        """Start the node's duties if this process acquires the node's lock.

        One process of a node has them: it folds the counts, sends mail and events, follows,
        reports, records expired tokens, warns of those that expire, asks for approvals, closes
        replaced tokens, notes ended exceptions and compacts. If it dies, another acquires the lock
        within a second.
        """
        if self._lock is None:
            self._lock = NodeLock(self.file.lock_path)
        if self._lock.held or not self._lock.acquire():
            return
        self._start_task(self.mailing.task)
        self._start_task(self.webhooks.task)
        if self.verifier.copy:
            follow = partial(self._copying.follow, self.database, self._running)
            self._start(
                "following",
                follow,
                failure="the copy of the grants can't be created",
                interval_s=_QUICK_INTERVAL_SECONDS,
            )
        self._start_task(self.reporting.task)
        self._start(
            "compaction",
            self._compact,
            failure="compaction failed, retrying in an hour",
            interval_s=_COMPACTION_SECONDS,
            first_s=_FIRST_COMPACTION_SECONDS,
        )
        self._start("folding", self.fold, failure="folding counts failed")
        self._start(
            "lapsing",
            partial(record_lapsed, self.database, self.clock.now, self._running),
            failure="recording expired tokens failed",
            interval_s=_LAPSING_SECONDS,
        )
        self._start(
            "rehearsals",
            partial(note_ended, self.database, self.clock.now, self._running),
            failure="noting ended rehearsals failed",
            interval_s=_LAPSING_SECONDS,
        )
        self._start(
            "exceptions",
            partial(exceptions.note_ended, self.database, self.clock.now, self._running),
            failure="noting ended exceptions failed",
            interval_s=_LAPSING_SECONDS,
        )
        self._start(
            "approvals",
            partial(token_approvals.ask, self.database, self.clock.now, self._running),
            failure="asking for the approval of tokens failed",
            interval_s=_ASKING_SECONDS,
        )
        # A task each: one that fails must not keep the others from ending what is due.
        for name, end in (
            ("closing", close_silent),
            ("unused", end_unused),
            ("unapproved", deactivate_unapproved),
            ("reuse", end_reused),
        ):
            self._start(
                name,
                partial(self._end_due, end),
                failure=f"ending tokens ({name}) failed",
                interval_s=_CLOSING_SECONDS,
                first_s=_FIRST_CLOSING_SECONDS,
            )
        self._start(
            "warnings",
            self._warn,
            failure="warning of expiring tokens failed",
            interval_s=_WARNING_SECONDS,
        )

    def _warn(self) -> None:
        # By a wrong clock, people would be told too early, and then not again.
        if self.verifier.not_ready() is None:
            expiry_warnings.warn(self.database, self.clock.now, self._between_batches)

    def _end_due(
        self, end: Callable[[Database, Callable[[], int], Callable[[], bool]], int]
    ) -> None:
        # By a wrong clock, tokens would look silent, unused or expired that aren't.
        if self.verifier.not_ready() is None:
            end(self.database, self.clock.now, self._running)

    def _compact(self) -> None:
        # By a wrong clock, rows that are still needed would be deleted.
        if self.verifier.not_ready() is None:
            compacted = compact(self.database, self.clock.now, self._between_batches)
            _log.info("compacted: %s", compacted)

    def _between_batches(self) -> bool:
        return not self._stopped.wait(_BREATHER_SECONDS)

    def fold(self) -> None:
        """Fold the node's spools into the registry, each line once."""
        now, now_ns = self.clock.now(), time.time_ns()
        found, complete = list(spools(self.file.use_directory)), True
        for spool in found:
            try:
                self._fold(spool)
            except Unavailable:
                raise
            except Exception as error:
                complete = False
                # A damaged spool must not block the others. It fails again every second.
                kind = type(error).__name__
                if self._log_limit.left_out(kind) is not None:
                    _log.warning("folding %s failed: %s", spool.name, kind)
        if complete:
            self.reporting.use_until = now - unreported_ms(found, now_ns)

    def _fold(self, spool: Spool) -> None:
        if self._folded.get(spool.name) != spool.size:
            with self.database.auxiliary_write(self.clock.now()) as write:
                start = registry_usage.folded_to(write, spool.name)
                if start < spool.size:
                    batches, calls = by_kind(spool.lines(start))
                    if registry_usage.fold(write, spool.name, start, spool.size, batches, calls):
                        decoy_alarms.raise_alarms(write, calls)
                        tell_of_late_use(write, calls)
            self._folded[spool.name] = spool.size
        if spool.finished:
            # Remove the file first: a spool whose offset is deleted would be folded again.
            spool.remove()
            with self.database.auxiliary_write(self.clock.now()) as write:
                registry_usage.forget(write, spool.name)
            self._folded.pop(spool.name, None)

    def _admit_by_registry(self, text: str, sender: Sender) -> Decision:
        credential = parse(text)
        call = Call(credential or Reason.token_invalid, **sender)
        if credential is None:
            return admit(None, None, None, call, 0)
        now = self.clock.now()
        with self.database.read(now) as reading:
            grant = publishing.published_grant(reading, credential.id)
            if grant is None or not (grant.company or grant.kind == "admin"):
                return admit(None, None, None, call, now)
            _, holder, rules = publishing.published_of_actor(
                reading, grant.id, grant.user, grant.company
            )
            return admit(grant, holder, rules, call, now)


def open_node(
    settings: Settings,
    catalogue: Catalogue,
    *,
    clock: Clock | None = None,
    accept: bool = False,
    counters: NodeCounters | None = None,
) -> Node:
    """Open a node. Creates the data directory if there is none, but no database.

    Args:
        catalogue: counts until the installation has one.
        clock: continues that of another process of the node; else starts from the wall clock.
        accept: start even if the wall clock is behind the latest time seen.
        counters: those that it shares with the node's other processes; else it has its own.

    Raises:
        Misconfigured: a file belongs to another user, a URL can't be read, or the clock is wrong.
    """
    _make_directory(settings.data_dir, "GATEPASS_DATA_DIR")
    _make_directory(settings.grant_path.parent, "GATEPASS_DATABASE_URL")
    if settings.grant_path.is_dir():
        raise Misconfigured(f"GATEPASS_DATABASE_URL: {settings.grant_path} must be a file")
    file = GrantFile(settings.grant_path)
    clock = clock or Clock(file.shared.latest_ms, accept=accept)
    return Node(settings, catalogue, clock, counters)


def _make_directory(path: Path, setting: str) -> None:
    """Create the directory of the database, accessible to its owner only."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise Misconfigured(f"{setting}: {path} must be a directory") from None
    except OSError as error:
        raise Misconfigured(f"{setting}: {path} can't be created: {error.strerror}") from error
