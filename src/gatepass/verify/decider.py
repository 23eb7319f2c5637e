"""Text in, decision out: from the local grant file.

The road of a token, all of it on this screen:

1. take the generation;
2. find what is known of the text: in the cache, or in the grant file (grant, holder, company);
3. decide (``core.decision``, pure);
4. take the generation again, and where the file is a copy, look whether it is still vouched for;
   if the generation moved, repeat.

No network, no lock, no write, no await. See docs/explanation/one-request.md.
"""

from collections.abc import Callable
from hashlib import blake2s
from typing import Generic, Protocol, TypeVar

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
from gatepass.verify.first_copy import wait_for
from gatepass.verify.freshness import GENERATION
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.http.client_address import read_address

#: Decoded rows count for a second at most, so that a writer that died between its commit and the
#: second move of the generation leaves nothing behind.
CACHE_NS = 1_000_000_000
#: Texts, holders and companies kept decoded; a full cache is emptied and fills again.
CACHE_SIZE = 16_384
#: A reader that finds the generation moved this often in a row gives up (503).
ATTEMPTS = 200

_Record = TypeVar("_Record", Holder, CompanyRules)
_Fact = TypeVar("_Fact", Grant, Holder, CompanyRules)
_Rule = Callable[[Grant | None, Holder | None, CompanyRules | None, Call, int], Decision]


class Span(msgspec.Struct, frozen=True, gc=False):
    """A stretch of one generation, a second at most. What was read in it counts until it ends.

    All that was read meanwhile names the one object, so that one comparison tells whether an entry
    still counts, and an entry never outlives any of its parts.
    """

    generation: int
    until_ns: int


class Known(msgspec.Struct, gc=False):
    """What the file said about one text, for as long as the span it was read in.

    Attributes:
        record: the grant's bytes; where they are still the same, they needn't be decoded again.
        memo: room for the reply headers that an endpoint derives from it.
    """

    span: Span
    credential: Credential
    grant: Grant
    holder: Holder | None
    company: CompanyRules | None
    record: bytes
    memo: list[tuple[str, str]] | None = None

    def __repr__(self) -> str:
        return f"Known({self.grant!r})"


class _Row(msgspec.Struct, Generic[_Record], gc=False):
    """A holder or a company: when it was last read, its bytes, what they say."""

    span: Span
    record: bytes | None
    fact: _Record | None


class Counting(Protocol):
    """Who is told of every decision; must be quick and never raise (``verify.usage``)."""

    def note(self, decision: Decision, now: int) -> None: ...


class Decider:
    """Decides from the local grant file.

    Args:
        file: the node's grant file.
        clock: the process's time.
        routes: the catalogue's routes, for calls that name method and path.
        copy: whether the file is a copy that must be vouched for (see ``freshness``), or the
            database itself, which is always fresh.
        counting: who counts use.
    """

    def __init__(
        self,
        file: GrantFile,
        clock: Clock,
        routes: Routes,
        *,
        copy: bool = False,
        counting: Counting | None = None,
    ) -> None:
        self.file = file
        self.clock = clock
        self.routes = routes
        self.copy = copy
        self.counting = counting
        #: Until when (``time.monotonic``) a first copy is worth waiting for.
        self.first_copy_by = 0.0
        self._texts: dict[bytes, Known] = {}
        self._span = Span(0, 0)
        self._holders: dict[str, _Row[Holder]] = {}
        self._companies: dict[str, _Row[CompanyRules]] = {}

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
            token: the text as presented, not trimmed; None or "" if there was none.
            permission: the permission asked for, such as ``charges:create``.
            method, path: what is called, matched against the catalogue's routes; give both or
                neither. With *permission* too, both permissions must be held.
            address: the caller's IP address; None or unreadable fails every list of addresses.
            origin, referer: the headers' values; None where the header is absent.

        Returns:
            The decision. Without anything to check it is never allowed.

        Raises:
            Unavailable: it can't be decided now (``stale``, or the file can't be read).
            ValueError: only one of *method* and *path* was given.
        """
        route: str | Reason | None = None
        if method is not None or path is not None:
            if method is None or path is None:
                raise ValueError("method and path go together")
            route = self.routes.match(method, path)
        packed = None if address is None else read_address(address)
        presented = token or Reason.token_missing
        try:
            return self.judge(presented, permission, route, packed, origin, referer)[0]
        except Unavailable:
            if not wait_for(self):
                raise
            return self.judge(presented, permission, route, packed, origin, referer)[0]

    def judge(
        self,
        presented: str | Reason,
        permission: str | None = None,
        route: str | Reason | None = None,
        address: bytes | None = None,
        origin: str | None = None,
        referer: str | None = None,
        address_garbage: bool = False,
        rule: _Rule = decide,
    ) -> tuple[Decision, Known | None]:
        """Decide one call that was already read: what endpoints use.

        Args:
            presented: the token's text, or why there is none.
            route: what ``Routes.match`` said.
            address: packed (``core.networks``); None where absent or unreadable.
            address_garbage: a gateway's forwarding header couldn't be read.
            rule: ``decide``, or ``admit`` for the control plane, which then checks permissions
                operation by operation.

        Returns:
            The decision, and what is known of the text (None if it is no known token).

        Raises:
            Unavailable: as for :meth:`check`.
        """
        words = self.file.shared.words
        clock = self.clock
        for _ in range(ATTEMPTS):
            generation = words[GENERATION]
            boot_ns = clock.boot_ns()
            now = (boot_ns + clock.offset_ns) // 1_000_000
            known = (
                None if type(presented) is Reason else self._known(presented, generation, boot_ns)
            )
            if known is None:
                refusal = presented if isinstance(presented, Reason) else Reason.token_invalid
                call = Call(refusal, permission, route, address, address_garbage, origin, referer)
                decision = rule(None, None, None, call, now)
            else:
                call = Call(
                    known.credential, permission, route, address, address_garbage, origin, referer
                )
                decision = rule(known.grant, known.holder, known.company, call, now)
            if words[GENERATION] != generation:
                continue
            if self.copy and not self.fresh():
                raise Unavailable("this copy of the grants is not vouched for", reason="stale")
            if self.counting is not None:
                self.counting.note(decision, now)
            return decision, known
        raise Unavailable("the grants change too quickly to be read")

    def admit(
        self,
        presented: str | Reason,
        *,
        address: bytes | None,
        origin: str | None,
        referer: str | None = None,
        address_garbage: bool = False,
    ) -> tuple[Decision, Known | None]:
        """Rows 1–8 of the rules alone, for the control plane: who is it, may they from here."""
        return self.judge(
            presented,
            address=address,
            origin=origin,
            referer=referer,
            address_garbage=address_garbage,
            rule=admit,
        )

    def verifier_key(self, presented: str | Reason) -> Reason:
        """Whether *presented* is a verifier key that may ask for decisions; ``allowed`` if so.

        Raises:
            Unavailable: as for :meth:`check`.
        """
        if isinstance(presented, Reason):
            return presented
        shared = self.file.shared
        for _ in range(ATTEMPTS):
            generation = shared.generation
            known = self._known(presented, generation, self.clock.boot_ns())
            reason = (
                Reason.token_invalid
                if known is None
                else admit_verifier(known.grant, known.credential)
            )
            if shared.generation != generation:
                continue
            if self.copy and not self.fresh():
                raise Unavailable("this copy of the grants is not vouched for", reason="stale")
            return reason
        raise Unavailable("the grants change too quickly to be read")

    def fresh(self) -> bool:
        """Whether decisions can be made now, as far as freshness goes."""
        return not self.copy or self.file.shared.vouched(self.clock.boot_ns(), self.clock.wall_ms())

    def _known(self, text: str, generation: int, boot_ns: int) -> Known | None:
        # Length and alphabet first: hashing a megabyte of garbage would be a gift to a flooder.
        if len(text) != credentials.LENGTH or not text.isascii():
            return None
        # The key is a digest: the cache holds no secret, and a look-up's time tells nothing of one.
        key = blake2s(text.encode()).digest()
        span = self._span
        if span.generation != generation or boot_ns >= span.until_ns:
            span = self._span = Span(generation, boot_ns + CACHE_NS)
        known = self._texts.get(key)
        if known is not None and known.span is span:
            return known
        return self._read(text, key, span, known)

    def _read(self, text: str, key: bytes, span: Span, former: Known | None) -> Known | None:
        # What was known of this very text until now saves parsing and decoding, never reading.
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
            # Only a matching secret is kept: wrong guesses can't push real tokens out of the cache.
            if not credentials.matches(credential, grant.digest):
                return None
        holder, company = self._around(grant, span)
        if (
            former is not None
            and former.grant is grant
            and former.holder is holder
            and former.company is company
        ):
            former.span = span
            return former
        # The same id and digest, kept once: what is cached is read from memory at every call.
        known = Known(span, Credential(grant.id, grant.digest), grant, holder, company, record)
        if len(self._texts) >= CACHE_SIZE:
            self._texts.clear()
        self._texts[key] = known
        return known

    def _around(self, grant: Grant, span: Span) -> tuple[Holder | None, CompanyRules | None]:
        user, company = grant.user, grant.company
        if not user or not company:
            # A verifier key acts for the installation.
            return None, None
        holder, rules = self._holders.get(user), self._companies.get(company)
        if holder is not None and holder.span is span:
            if rules is not None and rules.span is span:
                return holder.fact, rules.fact
            record = self.file.record("company_rules", company)
            return holder.fact, _learn(
                self._companies, company, rules, record, decode_company, span
            )
        if rules is not None and rules.span is span:
            found = self.file.record("holders", user)
            return _learn(self._holders, user, holder, found, decode_holder, span), rules.fact
        # Where tokens are many, most calls need both: one look at the file instead of two.
        of_user, of_company = self.file.holder_and_rules(user, company)
        return (
            _learn(self._holders, user, holder, of_user, decode_holder, span),
            _learn(self._companies, company, rules, of_company, decode_company, span),
        )


def _learn(
    rows: dict[str, _Row[_Record]],
    key: str,
    row: _Row[_Record] | None,
    record: bytes | None,
    decode: Callable[[bytes], _Record],
    span: Span,
) -> _Record | None:
    """Keep what was read just now; bytes that are still the same needn't be decoded again."""
    if row is not None and row.record == record:
        row.span = span
        return row.fact
    fact = None if record is None else _decoded(decode, record)
    if len(rows) >= CACHE_SIZE:
        rows.clear()
    rows[key] = _Row(span, record, fact)
    return fact


def _decoded(decode: Callable[[bytes], _Fact], record: bytes) -> _Fact:
    try:
        return decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        # A damaged record is an outage: neither "no such token" nor a crash.
        raise Unavailable("the grant file holds a record that can't be read") from error
