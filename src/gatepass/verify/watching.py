"""Watch calls that go on after their decision: WebSockets, streaming answers.

One thread decides them again whenever the grants or the time may have changed an answer, and ends
them while nothing can be decided (a stale copy). It reads the rows of hundreds of tokens with three
statements, and rests between two rounds. So neither decisions nor a follower wait for it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from gatepass.core.credentials import Credential
from gatepass.core.decision import Call, Decision, decide
from gatepass.core.errors import Unavailable
from gatepass.core.grants import Grant
from gatepass.core.rehearsal import unrehearsed
from gatepass.log_limit import LogLimit
from gatepass.verify import forks
from gatepass.verify.cached_rows import CachedToken, Span
from gatepass.verify.decider import Decider
from gatepass.verify.periodic_task import PeriodicTask
from gatepass.verify.remembered import NEVER_MS, next_moment

INTERVAL_SECONDS = 0.05
#: A rest lasts this many times the round before, up to the maximum: many watched calls of a busy
#: installation don't keep a core busy.
_REST, _LONGEST_REST_SECONDS = 4.0, 0.25
#: For so long the grants may be unreadable: a moment's lock of the file ends nothing.
_UNREADABLE_SECONDS = 1.0
#: Rounds without a watched call after which the thread ends.
_IDLE_ROUNDS = 200
_TOKENS_AT_ONCE = 200

_log = logging.getLogger("gatepass.watching")

Callback = Callable[[str], object]


class Watch:
    """A watched call."""

    def __init__(self, watching: "Watching", decision: Decision, callback: Callback) -> None:
        self._watching = watching
        self.call: Call = decision.call
        self.callback = callback
        credential = decision.call.credential
        #: None if the call was refused from the start; then *refusal* says why.
        self.credential: Credential | None = None
        if decision.allowed and isinstance(credential, Credential):
            self.credential = credential
        self.refusal: str = decision.reason.value

    def cancel(self) -> None:
        """Stop watching; may be called repeatedly, and by the callback.

        The callback isn't called any more, unless another thread is just calling it.
        """
        self._watching.remove(self)


class _Decided(NamedTuple):
    """A token whose calls were decided.

    Attributes:
        known: its rows; None if there are none.
        grant: by which its calls that go on are decided.
        next_ms: the next moment at which time alone may change an answer.
    """

    known: CachedToken | None
    grant: Grant | None
    next_ms: int

    @classmethod
    def of(cls, known: CachedToken | None, now: int) -> "_Decided":
        if known is None:
            return cls(None, None, NEVER_MS)
        grant = unrehearsed(known.grant)
        return cls(known, grant, next_moment(grant, known.company, now, allowed=True))

    def decide(self, call: Call, now: int) -> Decision:
        known = self.known
        if known is None:
            return decide(None, None, None, call, now)
        if call.line is not None:
            # The catalogue may be another one since.
            routes = known.span.loaded.routes
            call = replace(call, route=routes.match(call.line.method, call.line.path))
        return decide(self.grant, known.holder, known.company, call, now)


_Watched = Mapping[Credential | None, Sequence[Watch]]


class Watching:
    """The watched calls of a decider, and the thread that decides them again.

    The thread runs while there are any. A fork has none of its parent's, which serves them.
    """

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._lock = threading.Lock()
        #: By credential: a token's are read once for all of its calls.
        self._watches: dict[Credential | None, dict[Watch, None]] = {}
        self._added: list[Watch] = []
        self._task: PeriodicTask | None = None
        self._idle_rounds = 0
        # Of the last round: the span it began in, the tokens, and the first of their next moments.
        self._span: Span | None = None
        self._decided: dict[Credential, _Decided] = {}
        self._next_ms = 0
        self._rest_until = 0.0
        self._unreadable_since: float | None = None
        self._log_limit = LogLimit()
        forks.register(self)

    def add(self, decision: Decision, callback: Callback) -> Watch:
        """Watch the call of *decision*; see ``Verifier.watch``."""
        watch = Watch(self, decision, callback)
        with self._lock:
            self._watches.setdefault(watch.credential, {})[watch] = None
            self._added.append(watch)
            if self._task is None:
                self._task = PeriodicTask(
                    "watching", self._work, INTERVAL_SECONDS, log=_log, failure="watching failed"
                )
                self._task.start()
        return watch

    def remove(self, watch: Watch) -> bool:
        """Stop watching; whether it was being watched."""
        with self._lock:
            watches = self._watches.get(watch.credential, {})
            if watch not in watches:
                return False
            del watches[watch]
            if not watches:
                del self._watches[watch.credential]
            return True

    def before_fork(self) -> None:
        """Keep the calls as they are until the fork is done."""
        self._lock.acquire()

    def after_fork(self) -> None:
        """Continue."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the parent's calls; its thread doesn't exist here."""
        self._watches.clear()
        self._added.clear()
        self._task = None

    # --- the thread -------------------------------------------------------------------------------

    def _work(self) -> None:
        with self._lock:
            added, self._added = self._added, []
            idle = not self._watches
            self._end_thread_unless_used(idle)
        if idle:
            return
        try:
            span = self._decider.span()
            # Something may have changed between the decision and its watch.
            for portion in _portions(_by_credential(added)):
                self._decide(portion, {})
                # Decided by rows that the next round may find changed back to those of the last.
                for credential in self._decided.keys() & portion.keys():
                    del self._decided[credential]
            if self._is_due(span):
                self._decide_all(span)
            self._unreadable_since = None
        except Unavailable as error:
            self._undecided(error.reason)
        except Exception:
            # Nothing goes on undecided. The task logs it.
            self._undecided(Unavailable.reason)
            raise

    def _end_thread_unless_used(self, idle: bool) -> None:
        self._idle_rounds = self._idle_rounds + 1 if idle else 0
        if self._idle_rounds > _IDLE_ROUNDS and self._task is not None:
            self._task.stop()
            self._task = None
            self._idle_rounds = 0

    def _is_due(self, span: Span) -> bool:
        """Whether grants or time may have changed an answer since the last round began."""
        changed = span is not self._span or self._decider.clock.now() >= self._next_ms
        return changed and time.monotonic() >= self._rest_until

    def _decide_all(self, span: Span) -> None:
        began = time.monotonic()
        with self._lock:
            watched = {each: list(watches) for each, watches in self._watches.items()}
        former, self._decided, self._next_ms = self._decided, {}, NEVER_MS
        for portion in _portions(watched):
            self._decided |= self._decide(portion, former)
        self._span = span
        ended = time.monotonic()
        self._rest_until = ended + min(_REST * (ended - began), _LONGEST_REST_SECONDS)

    def _decide(
        self, watched: _Watched, former: Mapping[Credential, _Decided]
    ) -> dict[Credential, _Decided]:
        """Decide calls again.

        Args:
            former: tokens whose calls, all of them, needn't be decided before their next moment
                unless their rows have changed.
        """
        now = self._decider.clock.now()
        for watch in watched.get(None, ()):
            self._end(watch, watch.refusal)
        asked = {
            credential: former[credential].known if credential in former else None
            for credential in watched
            if credential is not None
        }
        found = {}
        for credential, known in self._decider.read_again(asked).items():
            decided = former.get(credential)
            if decided is None or known is not decided.known or now >= decided.next_ms:
                decided = _Decided.of(known, now)
                for watch in watched[credential]:
                    decision = decided.decide(watch.call, now)
                    if not decision.allowed:
                        self._end(watch, decision.reason.value)
            found[credential] = decided
            self._next_ms = min(self._next_ms, decided.next_ms)
        return found

    def _undecided(self, reason: str) -> None:
        """Have the round repeated; or end every call, if none is decided for too long."""
        self._span, self._decided = None, {}
        now = time.monotonic()
        if self._unreadable_since is None:
            self._unreadable_since = now
        if reason != "stale" and now < self._unreadable_since + _UNREADABLE_SECONDS:
            return
        with self._lock:
            watched = [watch for watches in self._watches.values() for watch in watches]
        for watch in watched:
            self._end(watch, reason)

    def _end(self, watch: Watch, reason: str) -> None:
        if not self.remove(watch):
            return
        try:
            watch.callback(reason)
        except Exception as error:
            # The others must be told as well.
            kind = type(error).__name__
            if self._log_limit.left_out(kind) is not None:
                _log.warning("a callback of watch failed: %s", kind)


def _by_credential(watches: Sequence[Watch]) -> dict[Credential | None, list[Watch]]:
    found: dict[Credential | None, list[Watch]] = {}
    for watch in watches:
        found.setdefault(watch.credential, []).append(watch)
    return found


def _portions(watched: _Watched) -> Iterator[_Watched]:
    credentials = iter(watched.items())
    while portion := dict(islice(credentials, _TOKENS_AT_ONCE)):
        yield portion
