"""Remembered decisions: the answer to an equal call, while nothing changed that it depends on."""

from hashlib import blake2b
from typing import Any, Final, Protocol

import msgspec

from gatepass.core.decision import Decision
from gatepass.core.grants import CompanyRules, Grant
from gatepass.core.observed_call import DAY_MS, observed_origin
from gatepass.core.routes import CatalogueRoute, Routes
from gatepass.verify.cached_rows import CachedRows, CachedToken, Span
from gatepass.verify.clock import Clock
from gatepass.verify.freshness import GENERATION
from gatepass.verify.recent import RecentCache
from gatepass.verify.usage import RepeatedUse

#: Decisions that are remembered at least, if they are used.
MEMORY_SIZE = 16_384
#: Later than any moment, in Unix ms.
NEVER_MS: Final = 1 << 62

_encode = msgspec.msgpack.Encoder().encode


class Remembered(RepeatedUse, gc=False, kw_only=True):
    """A decision about one call, valid for the span its rows were read in; counts its uses.

    Attributes:
        until_ms: the next moment at which time alone changes it, in Unix ms.
        answer: of the endpoint that asked.
    """

    span: Span
    until_ms: int
    answer: Any


class UsageCounter(Protocol):
    """Counts every decision; must be fast and never raise (``verify.usage``)."""

    def note(self, decision: Decision, now: int) -> None: ...

    def note_again(self, use: RepeatedUse, now: int) -> None: ...


class RememberedDecisions:
    """The decisions that a process remembers.

    Args:
        rows: what the decisions were made from.
        clock: the process's time.
        copy: whether the grants are a copy, which decides nothing once its lease has ended.
        usage: counts the decisions.
    """

    def __init__(
        self,
        rows: CachedRows,
        clock: Clock,
        *,
        copy: bool,
        usage: UsageCounter | None,
    ) -> None:
        self._rows = rows
        self._shared = rows.shared
        self._clock = clock
        self._copy = copy
        self._usage = usage
        self._decisions: RecentCache[bytes, Remembered] = RecentCache(MEMORY_SIZE)

    def recall(self, key: bytes) -> Any:
        """The answer to an equal call that was decided before, if it would be decided the same now.

        Counts as a decision. None if it must be decided.

        Args:
            key: a digest of everything that the decision depends on, besides rows and time.

        Raises:
            Unavailable: no decision is possible now (``stale``, or the file can't be read).
        """
        decisions, clock = self._decisions, self._clock
        remembered = decisions.recent.get(key) or decisions.revive(key)
        if remembered is None:
            return None
        span, rows = remembered.span, self._rows
        boot_ns = clock.boot_ns()
        # One reading of the generation is enough: no row is read.
        if (
            span is not rows.span
            or span.generation != self._shared.words[GENERATION]
            or (boot_ns >= span.until_ns and rows.span_at(span.generation, boot_ns) is not span)
        ):
            return None
        now = (boot_ns + clock.offset_ns) // 1_000_000
        if now >= remembered.until_ms:
            return None
        if self._copy:
            self._shared.require_fresh(clock.boot_ns(), clock.wall_ms())
        if self._usage is not None:
            self._usage.note_again(remembered, now)
        return remembered.answer

    def remember(
        self,
        key: bytes,
        decision: Decision,
        known: CachedToken | None,
        answer: object,
        asked_ms: int,
        routes: Routes | None = None,
    ) -> None:
        """Let ``recall`` give *answer* to equal calls while *decision* stands.

        Only for tokens whose secret matched, so that guesses displace nothing.

        Args:
            known: the token's rows, as ``Decider.judge`` returned them.
            asked_ms: a time before the decision, in Unix ms.
            routes: those by which *key* names the route (``named_route``); None if it names none.
                The decision may be by a newer catalogue's: another call could have the same key.
        """
        if routes is not None and known is not None and known.span.loaded.routes is not routes:
            return
        if known is not None and decision.grant is not None and self._decisions.accepts(key):
            call = decision.call
            remembered = Remembered(
                decision.grant.id,
                decision.reason,
                call.permission,
                call.route if type(call.route) is CatalogueRoute else None,
                call.address,
                observed_origin(call.origin, call.referer),
                span=known.span,
                until_ms=next_moment(
                    known.grant, known.company, asked_ms, allowed=decision.allowed
                ),
                answer=answer,
            )
            self._decisions.put(key, remembered)


def named_route(routes: Routes, method: str, path: str) -> str:
    """The route of a call, or why it has none, as a key names it, beside the tag of *routes*.

    Calls on one route share a key, whatever their paths are.
    """
    route = routes.match(method, path)
    return route.text if isinstance(route, CatalogueRoute) else route


def call_key(parts: tuple[str | None, ...]) -> bytes:
    """A digest of the parts of a call, for ``recall``: the memory holds no secret.

    Args:
        parts: in an order and number that is always the same.
    """
    try:
        return blake2b(_encode(parts)).digest()
    except UnicodeEncodeError:
        # Unpaired surrogates, which no token and no permission has.
        return blake2b(repr(parts).encode("ascii", "backslashreplace")).digest()


def next_moment(grant: Grant, company: CompanyRules | None, after_ms: int, *, allowed: bool) -> int:
    """The next moment at which time alone could change a decision's answer, in Unix ms."""
    rehearsal = grant.rehearsal
    moments = [
        grant.expires_at,
        None if company is None or company.trial is None else company.trial.until,
        *(grant.exceptions or {}).values(),
    ]
    if rehearsal is not None and after_ms < rehearsal.until:
        # Other calls are refused in each second.
        moments += rehearsal.until, (after_ms // 1000 + 1) * 1000
    if not allowed:
        # The id of a refusal is of one day.
        moments.append((after_ms // DAY_MS + 1) * DAY_MS)
    return min((at for at in moments if at is not None and at > after_ms), default=NEVER_MS)
