"""One node: the parts of this machine, put together from its settings.

Used by the web's main workers and by the command line. (A verify worker needs less, and loads
less: see ``web.server.worker``.)
"""

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import parse
from gatepass.core.decision import Call, Decision, Reason, admit
from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.node.copying import Copying
from gatepass.node.mailing import Mailing
from gatepass.node.reporting import Reporting
from gatepass.node.reset_requests import ResetRequests
from gatepass.registry.authentication.encryption import FILE_NAME, EncryptionKey
from gatepass.registry.authentication.reauthentication import Reauthentication
from gatepass.registry.grants import publishing
from gatepass.registry.grants.compaction import compact
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.ended_log import FILE_NAME as ENDED_LOG
from gatepass.registry.storage.ended_log import EndedLog
from gatepass.registry.tokens import usage as registry_usage
from gatepass.settings import Settings
from gatepass.verify.clock import TOLERANCE_MS, Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.database_follower import NodeLock
from gatepass.verify.usage import Spool, Usage, spools
from gatepass.verify.verifier import Verifier

_ROUND_SECONDS = 1.0
_FIRST_COMPACTION_SECONDS = 300.0
_COMPACTION_SECONDS = 3600.0
_BREATHER_SECONDS = 0.05

_log = logging.getLogger("gatepass.node")


class Node:
    """This machine's parts. Made by :func:`open_node`.

    Attributes:
        settings, catalogue, clock: as given.
        file: the local grant file.
        ended_log: where what is ended is written down a second time.
        database: the registry.
        encryption_key: encrypts second-factor secrets.
        reauthentication: re-authenticates users before sensitive account changes.
        usage: this process's counts.
        reset_requests: carries out requests for password resets that this process took.
        mailing: sends mail, where the node's duties are this process's.
        reporting: tells the others of this node, where its duties are this process's.
        verifier: decides.
        leaving: this process is told to stop; what would go on for long ends now.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, clock: Clock) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.clock = clock
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
        self.reauthentication = Reauthentication(self.database, self.encryption_key, clock.now)
        self.usage = Usage(self.file.use_directory)
        self.mailing = Mailing(settings, self.database, clock.now)
        self.reset_requests = ResetRequests(self.database, clock.now, self.mailing.wake)
        self.reporting = Reporting(settings, self.database, self.file, clock)
        self.verifier = Verifier(
            self.file, clock, catalogue.routes, copy=not on_one_machine, counting=self.usage
        )
        self.leaving = False
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def admit(
        self,
        presented: str | Reason,
        *,
        address: bytes | None,
        origin: str | None = None,
        referer: str | None = None,
        address_garbage: bool = False,
    ) -> Decision:
        """Who calls the control plane, and may they from here: rows 1–8 of the rules.

        A token that this node's copy doesn't know yet is looked up in the registry, so that a
        sign-in on one node works at once on another. Verification never does that.

        Raises:
            Unavailable: it can't be decided now.
        """
        decision, known = self.verifier.admit(
            presented,
            address=address,
            origin=origin,
            referer=referer,
            address_garbage=address_garbage,
        )
        if known is None and self.verifier.copy and not isinstance(presented, Reason):
            return self._admit_by_registry(presented, address, origin, referer, address_garbage)
        return decision

    def not_ready(self) -> str | None:
        """Why this node can't decide now, in a word or two; None if it can."""
        if not self.clock.agrees:
            return "the clock went back"
        if not self.verifier.fresh():
            return "stale"
        try:
            self.file.record("company_rules", "")
        except Unavailable:
            return "the grant file can't be read"
        return None

    def start(self) -> None:
        """Begin the background rounds: clock, counts, and the node's duties if they fall to us."""
        self._begin("tick", self._tick)
        self._begin("resets", self._reset_passwords)
        self._begin("duties", self._duties)

    def leave(self) -> None:
        """Let answers that would go on for long, feeds, end by themselves."""
        self.leaving = True

    def stop(self) -> None:
        """End the rounds, spool what was counted, and carry out requests that were taken."""
        self.leave()
        self._stopped.set()
        self.mailing.wake()
        for thread in self._threads:
            thread.join(timeout=5)
        self.reset_requests.handle()
        self.usage.close()
        self.database.close()

    def _running(self) -> bool:
        return not self._stopped.is_set()

    def _tick(self) -> None:
        while not self._stopped.wait(_ROUND_SECONDS):
            try:
                self.clock.watch(self.file.shared)
                self.file.watch()
                self.usage.flush()
                self.ended_log.append()
            except Exception as error:
                _log.warning("a round failed: %s", type(error).__name__)

    def _reset_passwords(self) -> None:
        while not self._stopped.wait(_ROUND_SECONDS):
            try:
                self.reset_requests.handle()
            except Exception as error:
                _log.warning("resetting passwords failed: %s", type(error).__name__)

    def _duties(self) -> None:
        """What one process of the node does: fold the counts, send mail, and follow. Whoever gets
        the lock; if that process dies, another has it within a second."""
        lock = NodeLock(self.file.lock_path)
        try:
            while not lock.take():
                if self._stopped.wait(_ROUND_SECONDS / 4):
                    return
            self._begin("mailing", self.mailing.run, self._running)
            if self.verifier.copy:
                self._begin("follow", self._copying.run, self.database, self._running)
            self._begin("reporting", self.reporting.run, self._running)
            self._begin("compacting", self._compact)
            while self._running():
                try:
                    self.fold()
                except Exception as error:
                    _log.warning("folding counts failed: %s", type(error).__name__)
                self._stopped.wait(_ROUND_SECONDS)
        finally:
            lock.close()

    def _begin(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True, name=f"gatepass_{name}")
        thread.start()
        self._threads.append(thread)

    def _compact(self) -> None:
        pause_s = _FIRST_COMPACTION_SECONDS
        while not self._stopped.wait(pause_s):
            pause_s = _COMPACTION_SECONDS
            try:
                # By a clock that is off, what is still needed would be let go of.
                if self.not_ready() is None:
                    compacted = compact(self.database, self.clock.now, self._between_compactions)
                    _log.info("compacted: %s", compacted)
            except Exception as error:
                _log.warning("compaction is put off: %s", type(error).__name__)

    def _between_compactions(self) -> bool:
        return not self._stopped.wait(_BREATHER_SECONDS)

    def fold(self) -> None:
        """Fold the node's spools into the registry, each line once."""
        for spool in spools(self.file.use_directory):
            try:
                self._fold(spool)
            except Unavailable:
                raise
            except Exception as error:
                # Its own fault: the others count all the same.
                _log.warning("folding %s failed: %s", spool.name, type(error).__name__)

    def _fold(self, spool: Spool) -> None:
        with self.database.auxiliary_write(self.clock.now()) as write:
            start = registry_usage.folded_to(write, spool.name)
            if start < spool.size:
                batches = list(spool.batches(start))
                registry_usage.fold(write, spool.name, start, spool.size, batches)
        if spool.finished:
            # The file first: a name whose offset is forgotten must never be folded again.
            spool.remove()
            with self.database.auxiliary_write(self.clock.now()) as write:
                registry_usage.forget(write, spool.name)

    def _admit_by_registry(
        self,
        presented: str,
        address: bytes | None,
        origin: str | None,
        referer: str | None,
        address_garbage: bool,
    ) -> Decision:
        credential = parse(presented)
        call = Call(
            credential or Reason.token_invalid,
            address=address,
            address_garbage=address_garbage,
            origin=origin,
            referer=referer,
        )
        if credential is None:
            return admit(None, None, None, call, 0)
        now = self.clock.now()
        with self.database.read(now) as reading:
            grant = publishing.published_grant(reading, credential.id)
            if grant is None or not grant.company:
                return admit(None, None, None, call, now)
            holder = publishing.published_holder(reading, grant.user)
            rules = publishing.published_rules(reading, grant.company)
            return admit(grant, holder, rules, call, now)


def open_node(
    settings: Settings, catalogue: Catalogue, *, clock: Clock | None = None, accept: bool = False
) -> Node:
    """Put a node together. Makes the data directory if there is none; makes no database.

    Args:
        clock: carried on from another process of the node; else it starts from the wall clock.
        accept: start even though the wall clock is behind the latest time seen.

    Raises:
        Misconfigured: a file belongs to someone else, a URL can't be read, or the clock is wrong.
    """
    _make_directory(settings.data_dir, "GATEPASS_DATA_DIR")
    _make_directory(settings.grant_path.parent, "GATEPASS_DATABASE_URL")
    if settings.grant_path.is_dir():
        raise Misconfigured(f"GATEPASS_DATABASE_URL: {settings.grant_path} must be a file")
    file = GrantFile(settings.grant_path)
    clock = clock or Clock(file.shared.latest_ms, accept=accept)
    return Node(settings, catalogue, clock)


def _make_directory(path: Path, setting: str) -> None:
    """Make a directory for the database and what lies beside it, for its owner's eyes alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise Misconfigured(f"{setting}: {path} must be a directory") from None
    except OSError as error:
        raise Misconfigured(f"{setting}: {path} can't be made: {error.strerror}") from error
