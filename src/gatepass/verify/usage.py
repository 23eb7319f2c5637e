"""Use counts: counted in memory, spooled to a file per process every two seconds.

The hot path only updates a dictionary. A thread appends the counts as JSON lines (``spools``). The
process that holds the node's lock adds each line to the registry once (``registry.tokens.usage``).
A killed process loses the counts that it had not spooled: those of two seconds at most, never a
token.

Where the secret matched, equal calls are counted together, whatever was decided. They are bounded
in number: a caller with a token chooses paths, addresses and origins. Calls over a bound are
counted without what tells them apart. An unknown token leaves nothing but the reason's count; a
decoy, which is refused like one, leaves its calls.
"""

import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec

from gatepass.core.decision import Decision
from gatepass.core.networks import format_address
from gatepass.core.observed_call import OBSERVED, CountedCall, needed, observe, observed_origin
from gatepass.core.reason import Reason
from gatepass.core.routes import CatalogueRoute
from gatepass.log_limit import LogLimit
from gatepass.node_counters import Counter
from gatepass.verify.spools import Batch, CallBatch, SpoolWriter, log

#: Tokens are counted in so many dictionaries. One for all would take milliseconds to grow, and a
#: decision waits for that.
PARTS = 64
#: Tokens counted in each between two flushes; the uses of any further ones count only as decisions.
MOST_IN_PART = 3_000
#: Calls of a token, and of all tokens, that are told apart between two flushes.
MOST_CALLS_OF_TOKEN = 100
MOST_CALLS = 20_000
#: Remembered decisions with uses that weren't flushed; those of any more count as decisions only.
_MOST_AGAIN = 200_000
#: Calls in one line. Formatting a line takes about as long as some decisions; they wait for it.
LINE_CALLS = 128
# Releases the interpreter's lock, which requests wait for.
_PAUSE_SECONDS = 0.000_05

# Bound once: an enumeration looks up its members at each use.
_ALLOWED = Reason.allowed
_TOKEN_INVALID = Reason.token_invalid


class Use(msgspec.Struct, gc=False):
    """Equal decisions about equal calls.

    Not a tuple: thousands of those would be garbage-collected, for milliseconds at a time.

    Attributes:
        token: the token's id.
        reason: of the decision.
        permission: the one asked for by name.
        route: the catalogue's that matched.
        address: packed.
        origin: as ``observed_origin`` returned it.
        count: how often it was decided. Only grows, so that a race between threads can lose a
            count and never invents one.
        first, at: when first since the last flush, and when last, in Unix ms.
    """

    token: str
    reason: Reason
    permission: str | None
    route: CatalogueRoute | None
    address: bytes | None
    origin: str | None
    count: int = 0
    first: int = 0
    at: int = 0


class RepeatedUse(Use, gc=False):
    """A use that is counted through several flushes.

    Attributes:
        flushed: how many of ``count`` were flushed.
    """

    flushed: int = 0


class Usage:
    """Counts the decisions of this process. ``note`` is for the hot path, the rest for a thread.

    Args:
        directory: of the node's spools; created with mode 0700 if absent.
        decided: also counts the decisions by reason, once they are spooled.
    """

    def __init__(self, directory: Path, decided: Counter[str] | None = None) -> None:
        self._decided = decided
        self._counts = _Counts()
        # Those with counts that weren't flushed.
        self._again: list[RepeatedUse] = []
        self._spool = SpoolWriter(directory)
        self._log_limit = LogLimit()

    def note(self, decision: Decision, now: int) -> None:
        """Count one decision made at *now* (Unix ms). Concurrent threads may lose a count, never
        invent one."""
        grant, counts = decision.grant, self._counts
        if grant is not None or (grant := decision.decoy) is not None:
            # Only some facts of the call: a decision would keep its grant in memory.
            call, reason, token = decision.call, decision.reason, grant.id
            permission, address, route = call.permission, call.address, call.route
            if type(route) is not CatalogueRoute:
                route = None
            origin = None
            if call.origin is not None or call.referer is not None:
                origin = observed_origin(call.origin, call.referer)
            part = counts.parts[hash(token) % PARTS]
            seen = part.get(token)
            if seen is None:
                if len(part) < MOST_IN_PART or decision.decoy is not None:
                    part[token] = _Token(
                        token, reason, permission, route, address, origin, 1, now, now
                    )
                    return
            elif (
                seen.address == address
                and seen.route is route
                and seen.reason is reason
                and seen.permission == permission
                and seen.origin == origin
            ):
                seen.count += 1
                seen.at = now
                return
            else:
                key = (reason._value_, permission, route, address, origin)
                use = None if seen.others is None else seen.others.get(key)
                if use is None:
                    use = Use(token, reason, permission, route, address, origin, 1, now, now)
                    counts.add(seen, use)
                else:
                    use.count += 1
                    use.at = now
                return
        counts.add_decisions(decision.reason._value_, 1)

    def note_again(self, use: RepeatedUse, now: int) -> None:
        """Count one more decision like those of *use*. It costs less than ``note``."""
        use.at = now
        count = use.count = use.count + 1
        if count == use.flushed + 1:
            if len(self._again) < _MOST_AGAIN:
                use.first = now
                self._again.append(use)
            else:
                use.flushed = count
                self._counts.add_decisions(use.reason._value_, 1)

    def flush(self) -> None:
        """Append the counts since the last flush to this process's spool.

        A full disk loses nothing: the counts are kept for the next flush. The spool's modification
        time says that all decisions until then are in it (``unreported_ms``).
        """
        now_ns = time.time_ns()
        # Another thread may be about to count in these; a count that comes too late is lost.
        counts, self._counts = self._counts, _Counts()
        again, self._again = self._again, []
        decisions, told_apart = counts.decisions.copy(), _Lines()
        # The last one is for decisions alone.
        portions = chain(self._portions(again, counts), ([],))
        for portion in portions:
            if not (portion or decisions):
                break
            lines, decided = told_apart.lines(portion, decisions)
            try:
                self._spool.append(lines)
            except OSError as error:
                if self._log_limit.left_out(error.errno) is not None:
                    log.warning("use counts can't be spooled now: %s", error.strerror)
                self._keep(decisions, portion, portions)
                return
            if self._decided is not None:
                for reason, count in decided.items():
                    self._decided.add(reason, count)
            decisions = {}
            time.sleep(_PAUSE_SECONDS)
        self._spool.mark(now_ns)

    def close(self) -> None:
        """Flush, and unlock the spool so that it gets folded and removed."""
        self.flush()
        self._spool.release()

    def _portions(self, again: list[RepeatedUse], counts: "_Counts") -> Iterator[list["_Counted"]]:
        """What was counted since the last flush, as much at a time as two lines should hold."""
        for start in range(0, len(again), LINE_CALLS):
            portion: list[_Counted] = []
            for use in again[start : start + LINE_CALLS]:
                count = use.count
                more, use.flushed = count - use.flushed, count
                if use.count != count:
                    # Counted meanwhile, by a thread that took it for one of the list.
                    self._again.append(use)
                if more:
                    portion.append((use, more, False))
            if portion:
                yield portion
        while portion := counts.take():
            yield portion

    def _keep(
        self,
        decisions: dict[str, int],
        portion: list["_Counted"],
        portions: Iterator[list["_Counted"]],
    ) -> None:
        """Count for the next flush what couldn't be spooled."""
        for reason, count in decisions.items():
            self._counts.add_decisions(reason, count)
        for some in chain((portion,), portions):
            for counted in some:
                self._counts.enter(*counted)
            time.sleep(_PAUSE_SECONDS)


#: A use, how many of it are counted, and whether its calls are over a bound: then those that were
#: refused are counted with the decisions.
_Counted = tuple[Use, int, bool]


class _Token(Use, gc=False):
    """The first use of a token between two flushes, and its other ones by what tells them apart.

    Those over a bound have the keys True (allowed) and False (refused).
    """

    others: dict[object, Use] | None = None


class _Counts:
    """What was counted between two flushes.

    Attributes:
        parts: the uses, by token. A token is in the part of its id's hash.
        decisions: number by reason of the others.
    """

    def __init__(self) -> None:
        self.parts: tuple[dict[str, _Token], ...] = tuple({} for _ in range(PARTS))
        self.decisions: dict[str, int] = {}
        self._others = 0

    def add_decisions(self, reason: str, count: int) -> None:
        """Count decisions whose calls aren't counted."""
        self.decisions[reason] = self.decisions.get(reason, 0) + count

    def enter(self, use: Use, count: int, over: bool) -> None:
        """Count *count* of those that *use* counted.

        Args:
            over: as in ``_Counted``.
        """
        facts = (use.token, use.reason, use.permission, use.route, use.address, use.origin)
        part = self.parts[hash(use.token) % PARTS]
        token = part.get(use.token)
        if token is None:
            token = part[use.token] = _Token(*facts, 0, use.first, use.at)
        self.add(token, Use(*facts, count, use.first, use.at), over)

    def add(self, token: _Token, more: Use, over: bool = False) -> None:
        """Add *more*, another use of *token*.

        Args:
            over: as in ``_Counted``.
        """
        others, allowed = token.others, more.reason is _ALLOWED
        if others is None:
            others = token.others = {}
        use: Use | None = None
        if not over:
            key = _key(more)
            use = token if key == _key(token) else others.get(key)
            if use is None:
                if len(others) < MOST_CALLS_OF_TOKEN - 1 and self._others < MOST_CALLS:
                    self._others += 1
                    others[key] = more
                    return
                if not allowed:
                    self.add_decisions(more.reason._value_, more.count)
        if use is None:
            use = others.setdefault(allowed, more)
            if use is more:
                return
            if more.at >= use.at:
                # It may show as the token's last use.
                use.address, use.permission, use.route = more.address, more.permission, more.route
        use.count += more.count
        use.first = min(use.first, more.first)
        use.at = max(use.at, more.at)

    def take(self) -> list[_Counted]:
        """Some uses; removed here, so that they are freed a few at a time."""
        taken: list[_Counted] = []
        for part in self.parts:
            while part and len(taken) < LINE_CALLS:
                _, token = part.popitem()
                taken.append((token, token.count, False))
                if token.others is not None:
                    # Copied at once: other threads go on.
                    for key, use in list(token.others.items()):
                        taken.append((use, use.count, type(key) is bool))
        return taken


class _Lines:
    """Formats uses as lines of a spool, and bounds the calls that these tell apart."""

    def __init__(self) -> None:
        self._told_apart: dict[str, int] = {}
        self._room = MOST_CALLS
        self._tokens: dict[str, tuple[int, int, str | None, str]] = {}
        self._calls: list[CountedCall] = []

    def lines(
        self, portion: list[_Counted], decisions: dict[str, int]
    ) -> tuple[bytes, dict[str, int]]:
        """Two lines, a ``Batch`` and a ``CallBatch``; and the decisions in them, by reason.

        Args:
            decisions: number by reason, besides those of *portion*.
        """
        self._tokens, self._calls, decisions = {}, [], dict(decisions)
        for use, count, over in portion:
            if count and (use.reason is _ALLOWED or not over):
                reason = use.reason._value_
                decisions[reason] = decisions.get(reason, 0) + count
            # Of sign-ins and portal sessions only the decisions are counted.
            if count and use.token.startswith(OBSERVED):
                self._add(use, count, over)
        lines = msgspec.json.encode(Batch(self._tokens, decisions)) + b"\n"
        if self._calls:
            lines += msgspec.json.encode(CallBatch(self._calls)) + b"\n"
        return lines, decisions

    def _add(self, use: Use, count: int, over: bool) -> None:
        token, reason, route, last = use.token, use.reason, use.route, use.at
        address = None if use.address is None else format_address(use.address)
        names = needed(use.permission, None if route is None else route.permission)
        allowed, call = reason is _ALLOWED, None
        apart = self._told_apart.get(token, 0)
        # A decoy's first call raises its alarm, however many calls of other tokens there are.
        room = self._room > 0 or (apart == 0 and reason is _TOKEN_INVALID)
        if not over and room and apart < MOST_CALLS_OF_TOKEN:
            self._told_apart[token] = apart + 1
            self._room -= 1
            call = observe(reason, names, route, address, use.origin)
        self._calls.append(CountedCall(token, allowed, call, count, use.first, last))
        if allowed:
            name = names[0] if names else ""
            former = self._tokens.get(token)
            if former is not None:
                count += former[0]
                if last < former[1]:
                    _, last, address, name = former
            self._tokens[token] = (count, last, address, name)


def _key(use: Use) -> tuple[object, ...]:
    # The reason's text: a member of an enumeration computes its hash each time.
    return use.reason._value_, use.permission, use.route, use.address, use.origin
