"""Decide calls from the local grant file: token text in, decision out.

The whole path of a token (``Decider.judge``):

1. read the generation of the grants (``freshness``);
2. find the token's grant, its holder and its company's rules: in the cache, or in the grant file;
3. decide (``core.decision``, pure);
4. read the generation again and repeat if it changed; where the file is a copy, check its lease.

No network, no lock, no write, no await. See docs/explanation/one-request.md.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from gatepass.core import credentials
from gatepass.core.credentials import Credential
from gatepass.core.decision import Call, Decision, Reason, admit, admit_verifier, decide
from gatepass.core.errors import Unavailable
from gatepass.core.grants import (
    CompanyRules,
    Grant,
    Holder,
    decode_company,
    decode_grant,
    decode_holder,
)
from gatepass.core.routes import Routes
from gatepass.verify.clock import Clock
from gatepass.verify.first_copy import wait_for_copy
from gatepass.verify.freshness import GENERATION
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.http.client_address import read_address
from gatepass.verify.recent import RecentCache
from gatepass.verify.usage import Use

#: What is cached is confirmed once a second, by reading the file's position, so that a writer that
#: dies between its commit and the second change of the generation leaves no stale rows behind.
CACHE_NS = 1_000_000_000
#: Tokens, holders, companies and decisions that are cached at least, if they are used.
CACHE_SIZE = 16_384
#: After this many changes of the generation in a row a reader gives up (503).
ATTEMPTS = 200
_NEVER_MS: Final = 1 << 62

_encode = msgspec.msgpack.Encoder().encode
_Record = TypeVar("_Record", Holder, CompanyRules)
_Fact = TypeVar("_Fact", Grant, Holder, CompanyRules)
_Rule = Callable[[Grant | None, Holder | None, CompanyRules | None, Call, int], Decision]


class Span(msgspec.Struct, gc=False):
    """The time for which rows read under one generation are valid.

    All entries read in it refer to the same object. So one identity comparison validates an entry,
    and an entry never outlives any of its parts.

    Attributes:
        position: of the file, read before the rows. While it is the same, the rows are current.
        until_ns: when the position must be read again (boot clock).
    """

    generation: int
    position: tuple[int, str] | None
    until_ns: int


class CachedToken(msgspec.Struct, gc=False):
    """The decoded rows of one token, valid for the span they were read in.

    Attributes:
        record: the grant's bytes; while they are the same, they aren't decoded again.
    """

    span: Span
    credential: Credential
    grant: Grant
    holder: Holder | None
    company: CompanyRules | None
    record: bytes

    def __repr__(self) -> str:
        return f"CachedToken({self.grant!r})"


class Remembered(Use, gc=False, kw_only=True):
    """A decision about one call, valid for the span its rows were read in; counts its uses.

    Attributes:
        until_ms: the next moment at which time alone changes it, in Unix ms.
        answer: of the endpoint that asked.
    """

    span: Span
    until_ms: int
    answer: Any


class _Row(msgspec.Struct, Generic[_Record], gc=False):
    """A holder's or a company's row: the span it was read in, its bytes, the decoded record."""

    span: Span
    record: bytes | None
    fact: _Record | None


class UsageCounter(Protocol):
    """Counts every decision; must be fast and never raise (``verify.usage``)."""

    def note(self, decision: Decision, now: int) -> None: ...

    def note_again(self, use: Use, now: int) -> None: ...


class Decider:
    """Decides from the local grant file.

    Args:
        file: the node's grant file.
        clock: the process's time.
        routes: the catalogue's routes, for calls that name method and path.
        copy: whether the file is a copy with a lease (see ``freshness``), or the database itself,
            which is always fresh.
        usage: counts the decisions.
    """

    def __init__(
        self,
        file: GrantFile,
        clock: Clock,
        routes: Routes,
        *,
        copy: bool = False,
        usage: UsageCounter | None = None,
    ) -> None:
        self.file = file
        self.clock = clock
        self.routes = routes
        self.copy = copy
        self.usage = usage
        #: Until when (``time.monotonic``) checks wait for a first copy.
        self.first_copy_by = 0.0
        self._span = Span(0, None, 0)
        self._decisions: RecentCache[bytes, Remembered] = RecentCache(CACHE_SIZE)
        self._tokens: RecentCache[bytes, CachedToken] = RecentCache(CACHE_SIZE)
        self._holders: RecentCache[str, _Row[Holder]] = RecentCache(CACHE_SIZE)
        self._companies: RecentCache[str, _Row[CompanyRules]] = RecentCache(CACHE_SIZE)

    def check(
        self,
        token: str | None,
        *,
        permission: str | None = None,
        method: str | None = None,
        path: str | None = None,
        address: str | None = None,
        origin: str | None = None,
        referer: str | None = None,
    ) -> Decision:
        """Decide whether *token* may do this, from here, now.

        Args:
            token: the text as the caller sent it, not trimmed; None or "" if there was none.
            permission: the permission asked for, such as ``charges:create``.
            method, path: of the request, matched against the catalogue's routes; give both or
                neither. With *permission* too, the token needs both permissions.
            address: the caller's IP address; None or an unreadable one fails every list of
                addresses.
            origin, referer: the headers' values; None where the header is absent.

        Returns:
            The decision. A call with neither permission nor route is never allowed.

        Raises:
            Unavailable: no decision is possible now (``stale``, or the file can't be read).
            ValueError: only one of *method* and *path* was given.
        """
        route: str | Reason | None = None
        if method is not None or path is not None:
            if method is None or path is None:
                raise ValueError("method and path go together")
            route = self.routes.match(method, path)
        call = (token, permission, route, address, origin, referer)
        try:
            return self._check(*call)
        except Unavailable:
            if not wait_for_copy(self):
                raise
            return self._check(*call)

    def _check(
        self,
        token: str | None,
        permission: str | None,
        route: str | Reason | None,
        address: str | None,
        origin: str | None,
        referer: str | None,
    ) -> Decision:
        key = call_key((token, permission, route, address, origin, referer))
        decision: Decision | None = self.recall(key)
        if decision is None:
            asked_ms = self.clock.now()
            packed = None if address is None else read_address(address)
            decision, known = self.judge(
                token or Reason.token_missing, permission, route, packed, origin, referer
            )
            self.remember(key, decision, known, decision, asked_ms)
        return decision

    def judge(
        self,
        credential: str | Reason,
        permission: str | None = None,
        route: str | Reason | None = None,
        address: bytes | None = None,
        origin: str | None = None,
        referer: str | None = None,
        address_garbage: bool = False,
        rule: _Rule = decide,
    ) -> tuple[Decision, CachedToken | None]:
        """Decide one call from its parsed parts; endpoints use this.

        Args:
            credential: the token's text, or why there is none.
            route: the result of ``Routes.match``.
            address: packed (``core.networks``); None where absent or unreadable.
            address_garbage: a gateway's forwarding header couldn't be read.
            rule: ``decide``, or ``admit`` for the control plane, which then checks permissions
                operation by operation.

        Returns:
            The decision, and the token's rows (None for an unknown token).

        Raises:
            Unavailable: as for :meth:`check`.
        """
        words = self.file.shared.words
        clock = self.clock
        for _ in range(ATTEMPTS):
            generation = words[GENERATION]
            boot_ns = clock.boot_ns()
            now = (boot_ns + clock.offset_ns) // 1_000_000
            cached = (
                None if type(credential) is Reason else self._find(credential, generation, boot_ns)
            )
            if cached is None:
                refusal = credential if isinstance(credential, Reason) else Reason.token_invalid
                call = Call(refusal, permission, route, address, address_garbage, origin, referer)
                decision = rule(None, None, None, call, now)
            else:
                call = Call(
                    cached.credential, permission, route, address, address_garbage, origin, referer
                )
                decision = rule(cached.grant, cached.holder, cached.company, call, now)
            if words[GENERATION] != generation:
                continue
            if self.copy and not self.fresh():
                raise _stale()
            if self.usage is not None:
                self.usage.note(decision, now)
            return decision, cached
        raise Unavailable("the grants change too quickly to be read")

    def count_in(self, usage: UsageCounter) -> None:
        """Count decisions in *usage* from now on, and none that were made before."""
        self.usage = usage
        # They hold counts of the former.
        self._decisions = RecentCache(CACHE_SIZE)

    def recall(self, key: bytes) -> Any:
        """The answer to an equal call that was decided before, if it would be decided the same now.

        Counts as a decision. None if it must be decided.

        Args:
            key: a digest of everything that the decision depends on, besides rows and time.

        Raises:
            Unavailable: as for :meth:`check`.
        """
        decisions, clock = self._decisions, self.clock
        remembered = decisions.recent.get(key) or decisions.get(key)
        if remembered is None:
            return None
        span = remembered.span
        boot_ns = clock.boot_ns()
        # One reading of the generation is enough: no row is read.
        if (
            span is not self._span
            or span.generation != self.file.shared.words[GENERATION]
            or (boot_ns >= span.until_ns and self._span_at(span.generation, boot_ns) is not span)
        ):
            return None
        now = (boot_ns + clock.offset_ns) // 1_000_000
        if now >= remembered.until_ms:
            return None
        if self.copy and not self.fresh():
            raise _stale()
        if self.usage is not None:
            self.usage.note_again(remembered, now)
        return remembered.answer

    def remember(
        self,
        key: bytes,
        decision: Decision,
        known: CachedToken | None,
        answer: object,
        asked_ms: int,
    ) -> None:
        """Let ``recall`` give *answer* to equal calls while *decision* stands.

        Only for tokens whose secret matched, so that guesses displace nothing.

        Args:
            known: the token's rows, as ``judge`` returned them.
            asked_ms: a time before the decision, in Unix ms.
        """
        if known is not None and decision.grant is not None:
            call = decision.call
            remembered = Remembered(
                decision.grant.id,
                call.address,
                call.permission or (call.route if type(call.route) is str else None),
                decision.reason,
                span=known.span,
                until_ms=_next_moment(known, asked_ms),
                answer=answer,
            )
            self._decisions.put(key, remembered)

    def admit(
        self,
        credential: str | Reason,
        *,
        address: bytes | None,
        origin: str | None,
        referer: str | None = None,
        address_garbage: bool = False,
    ) -> tuple[Decision, CachedToken | None]:
        """Authenticate a caller of the control plane: rules 1–8, without permissions."""
        return self.judge(
            credential,
            address=address,
            origin=origin,
            referer=referer,
            address_garbage=address_garbage,
            rule=admit,
        )

    def verifier_key(self, credential: str | Reason) -> tuple[Reason, frozenset[str] | None]:
        """Check a verifier key.

        Returns:
            ``allowed``, or the reason why it isn't valid; and the ids of the companies that it is
            limited to, None without a limit.

        Raises:
            Unavailable: as for :meth:`check`.
        """
        if isinstance(credential, Reason):
            return credential, None
        shared = self.file.shared
        for _ in range(ATTEMPTS):
            generation = shared.generation
            cached = self._find(credential, generation, self.clock.boot_ns())
            reason = (
                Reason.token_invalid
                if cached is None
                else admit_verifier(cached.grant, cached.credential)
            )
            if shared.generation != generation:
                continue
            if self.copy and not self.fresh():
                raise _stale()
            if cached is None or cached.grant.kind != "limited-verifier":
                return reason, None
            return reason, cached.grant.permissions
        raise Unavailable("the grants change too quickly to be read")

    def fresh(self) -> bool:
        """Whether the grants are the database itself, or a copy whose lease runs."""
        shared, clock = self.file.shared, self.clock
        return not self.copy or shared.is_fresh(clock.boot_ns(), clock.wall_ms())

    def not_ready(self) -> str | None:
        """Why no decision is possible now, in a few words; None if one is."""
        if not self.clock.agrees:
            return "the clock went back"
        if not self.fresh():
            return "stale"
        try:
            self.file.record("company_rules", "")
        except Unavailable:
            return "the grant file can't be read"
        return None

    def _find(self, text: str, generation: int, boot_ns: int) -> CachedToken | None:
        # Length and alphabet first, so that a flood of megabyte-long texts isn't hashed.
        if len(text) != credentials.LENGTH or not text.isascii():
            return None
        # Keyed by digest: the cache holds no secret, and a look-up's timing reveals none.
        key = blake2b(text.encode()).digest()
        span = self._span
        if span.generation != generation or boot_ns >= span.until_ns:
            span = self._span_at(generation, boot_ns)
        tokens = self._tokens
        cached = tokens.recent.get(key) or tokens.get(key)
        if cached is not None and cached.span is span:
            return cached
        return self._read(text, key, span, cached)

    def _span_at(self, generation: int, boot_ns: int) -> Span:
        """The current span, extended if nothing was committed since; or a new one."""
        span = self._span
        if span.generation == generation and boot_ns < span.until_ns:
            return span
        # Before any row of a new span, and after all rows of the former.
        position = self.file.position()
        until_ns = boot_ns + CACHE_NS
        if span.generation == generation and span.position == position is not None:
            span.until_ns = until_ns
            return span
        span = self._span = Span(generation, position, until_ns)
        return span

    def _read(
        self, text: str, key: bytes, span: Span, former: CachedToken | None
    ) -> CachedToken | None:
        # An entry of an earlier span saves parsing and decoding, never reading.
        credential = credentials.parse(text) if former is None else former.credential
        if credential is None:
            return None
        record = self.file.record("grants", credential.id)
        if record is None:
            return None
        if former is not None and former.record == record:
            grant = former.grant
        else:
            grant = _decoded(decode_grant, record)
            # Only matching secrets are cached, so wrong guesses can't evict real tokens.
            if not credentials.matches(credential, grant.digest):
                return None
        holder, company = self._holder_and_rules(grant, span)
        if (
            former is not None
            and former.grant is grant
            and former.holder is holder
            and former.company is company
        ):
            former.span = span
            return former
        # Shares the grant's id and digest: a smaller entry is faster to read from memory.
        cached = CachedToken(
            span, Credential(grant.id, grant.digest), grant, holder, company, record
        )
        self._tokens.put(key, cached)
        return cached

    def _holder_and_rules(
        self, grant: Grant, span: Span
    ) -> tuple[Holder | None, CompanyRules | None]:
        user, company = grant.user, grant.company
        if not company:
            # A verifier key acts for the installation, and so may an admin key.
            return None, None
        if not user:
            # An admin key of one company.
            record = self.file.record("company_rules", company)
            rules = self._companies.get(company)
            return None, _cache(self._companies, company, rules, record, decode_company, span)
        holder, rules = self._holders.get(user), self._companies.get(company)
        if holder is not None and holder.span is span:
            if rules is not None and rules.span is span:
                return holder.fact, rules.fact
            record = self.file.record("company_rules", company)
            return holder.fact, _cache(
                self._companies, company, rules, record, decode_company, span
            )
        if rules is not None and rules.span is span:
            found = self.file.record("holders", user)
            return _cache(self._holders, user, holder, found, decode_holder, span), rules.fact
        # With many tokens most calls need both: one statement instead of two.
        of_user, of_company = self.file.holder_and_rules(user, company)
        return (
            _cache(self._holders, user, holder, of_user, decode_holder, span),
            _cache(self._companies, company, rules, of_company, decode_company, span),
        )


def call_key(parts: tuple[str | None, ...]) -> bytes:
    """A digest of the parts of a call, for ``Decider.recall``: the cache holds no secret.

    Args:
        parts: in an order and number that is always the same.
    """
    try:
        return blake2b(_encode(parts)).digest()
    except UnicodeEncodeError:
        # Unpaired surrogates, which no token and no permission has.
        return blake2b(repr(parts).encode("ascii", "backslashreplace")).digest()


def _stale() -> Unavailable:
    return Unavailable("the lease of this copy of the grants has ended", reason="stale")


def _next_moment(known: CachedToken, after_ms: int) -> int:
    """The next moment at which time alone could change a decision, in Unix ms."""
    company = known.company
    moments = (
        known.grant.expires_at,
        None if company is None or company.trial is None else company.trial.until,
    )
    return min((at for at in moments if at is not None and at > after_ms), default=_NEVER_MS)


def _cache(
    rows: RecentCache[str, _Row[_Record]],
    key: str,
    row: _Row[_Record] | None,
    record: bytes | None,
    decode: Callable[[bytes], _Record],
    span: Span,
) -> _Record | None:
    """Cache a row that was just read; decode it only if its bytes changed."""
    if row is not None and row.record == record:
        row.span = span
        return row.fact
    fact = None if record is None else _decoded(decode, record)
    rows.put(key, _Row(span, record, fact))
    return fact


def _decoded(decode: Callable[[bytes], _Fact], record: bytes) -> _Fact:
    try:
        return decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        # A damaged record is an outage: neither "no such token" nor a crash.
        raise Unavailable("the grant file holds a record that can't be read") from error
