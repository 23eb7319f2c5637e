"""The rows that decisions need: a token's grant, its holder, its company's rules, the catalogue.

Rows are cached, and valid for the span they were read in: while the generation stands and the
file's position is confirmed once a second.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Generic, TypeVar

import msgspec

from gatepass.core import credentials, imported_keys, published_catalogue
from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import Credential
from gatepass.core.errors import Unavailable
from gatepass.core.grants import (
    CompanyRules,
    Grant,
    Holder,
    decode_company,
    decode_grant,
    decode_holder,
    share_values,
)
from gatepass.core.imported_keys import LONGEST, SHORTEST
from gatepass.core.published_catalogue import CONTENTS_ID, DIGEST_ID
from gatepass.core.routes import RouteError, Routes
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.recent import RecentCache

#: What is cached is confirmed once a second, by reading the file's position, so that a writer that
#: dies between its commit and the second change of the generation leaves no stale rows behind.
CACHE_NS = 1_000_000_000
#: Tokens, holders and companies that are cached at least, if they are used.
CACHE_SIZE = 16_384

#: How often a catalogue that changes while it is read is read again.
_CATALOGUE_ATTEMPTS = 3

_Record = TypeVar("_Record", Holder, CompanyRules)
_Fact = TypeVar("_Fact", bytes, Catalogue, Grant, Holder, CompanyRules)


class LoadedCatalogue(msgspec.Struct, frozen=True, gc=False):
    """The routes that calls are matched with. A new object each time they are another's.

    Attributes:
        catalogue: the installation's; None if the routes are the application's own.
        record: the bytes of its ``DIGEST_ID``; None likewise.
    """

    routes: Routes
    catalogue: Catalogue | None = None
    record: bytes | None = None


class Span(msgspec.Struct, gc=False):
    """The time for which rows read under one generation are valid.

    All entries read in it refer to the same object. So one identity comparison validates an entry,
    and an entry never outlives any of its parts.

    Attributes:
        position: of the file, read before the rows. While it is the same, the rows are current.
        until_ns: when the position must be read again (boot clock).
        loaded: the catalogue, read with the rows.
    """

    generation: int
    position: tuple[int, str] | None
    until_ns: int
    loaded: LoadedCatalogue


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


class _Row(msgspec.Struct, Generic[_Record], gc=False):
    """A holder's or a company's row: the span it was read in, its bytes, the decoded record."""

    span: Span
    record: bytes | None
    fact: _Record | None


class CachedRows:
    """Finds the rows of tokens in the cache, or in *file*.

    Args:
        routes: those that calls are matched with.
        published: whether the file's catalogue replaces *routes*, once it has one.

    Attributes:
        shared: the generation of the rows, and the lease of a copy.
        span: the current one.
    """

    def __init__(self, file: GrantFile, routes: Routes, *, published: bool = False) -> None:
        self._file = file
        self.shared = file.shared
        self._own = LoadedCatalogue(routes)
        self._published = published
        self.span = Span(0, None, 0, self._own)
        # The declared prefixes, and the span they were read in.
        self._prefixes: tuple[Span | None, tuple[str, ...]] = (None, ())
        self._tokens: RecentCache[bytes, CachedToken] = RecentCache(CACHE_SIZE)
        self._holders: RecentCache[str, _Row[Holder]] = RecentCache(CACHE_SIZE)
        self._companies: RecentCache[str, _Row[CompanyRules]] = RecentCache(CACHE_SIZE)

    def find(self, text: str, generation: int, boot_ns: int) -> CachedToken | None:
        """The rows of a token, if there is a grant with its id and secret.

        Args:
            text: the token, as it was sent.
            generation: read before this call, and again after the decision.
            boot_ns: the boot clock's time.

        Raises:
            Unavailable: the file can't be read.
        """
        # Length and alphabet first, so that a flood of megabyte-long texts isn't hashed.
        if len(text) != credentials.LENGTH or not text.isascii():
            return self._find_imported(text, generation, boot_ns)
        # Keyed by digest: the cache holds no secret, and a look-up's timing reveals none.
        key = blake2b(text.encode()).digest()
        span = self.span
        if span.generation != generation or boot_ns >= span.until_ns:
            span = self.span_at(generation, boot_ns)
        tokens = self._tokens
        cached = tokens.recent.get(key) or tokens.revive(key)
        if cached is not None and cached.span is span:
            return cached
        return self._read(text, key, span, cached)

    def find_again(
        self, tokens: Mapping[Credential, CachedToken | None], generation: int, boot_ns: int
    ) -> dict[Credential, CachedToken | None]:
        """The rows of many tokens whose texts aren't at hand, with three statements.

        Args:
            tokens: each with its rows as this method returned them before: it returns the same
                object while they are the same.
            generation, boot_ns: as for ``find``.

        Raises:
            Unavailable: the file can't be read.
        """
        span = self.span_at(generation, boot_ns)
        records = self._file.records("grants", [credential.id for credential in tokens])
        grants = {
            credential: _grant(credential, former, records[credential.id])
            for credential, former in tokens.items()
            if credential.id in records
        }
        self._read_ahead([grant for grant in grants.values() if grant is not None], span)
        found: dict[Credential, CachedToken | None] = dict.fromkeys(tokens)
        for credential, grant in grants.items():
            if grant is not None:
                record, former = records[credential.id], tokens[credential]
                found[credential] = self._token(grant, record, span, former)
        return found

    def _find_imported(self, text: str, generation: int, boot_ns: int) -> CachedToken | None:
        """The rows of a key of another system; most texts have no prefix that was declared."""
        if not text.isascii() or not SHORTEST <= len(text) <= LONGEST:
            return None
        span = self.span_at(generation, boot_ns)
        if not text.startswith(self._prefixes_in(span)):
            return None
        key = blake2b(text.encode()).digest()
        cached = self._tokens.recent.get(key) or self._tokens.revive(key)
        if cached is not None and cached.span is span:
            return cached
        return self._read(text, key, span, cached)

    def _prefixes_in(self, span: Span) -> tuple[str, ...]:
        read_in, prefixes = self._prefixes
        if read_in is not span:
            prefixes = self._file.imported_prefixes()
            self._prefixes = (span, prefixes)
        return prefixes

    def span_at(self, generation: int, boot_ns: int) -> Span:
        """The current span, extended if nothing was committed since; or a new one.

        Raises:
            Unavailable: the file can't be read.
        """
        span = self.span
        if span.generation == generation and boot_ns < span.until_ns:
            return span
        # Before any row of a new span, and after all rows of the former.
        position = self._file.position()
        until_ns = boot_ns + CACHE_NS
        if span.generation == generation and span.position == position is not None:
            span.until_ns = until_ns
            return span
        span = self.span = Span(generation, position, until_ns, self._load(span.loaded))
        return span

    def _load(self, loaded: LoadedCatalogue) -> LoadedCatalogue:
        """The file's catalogue: *loaded* if that is still it.

        Raises:
            Unavailable: the file can't be read, or the catalogue in it can't.
        """
        if not self._published:
            return self._own
        for _ in range(_CATALOGUE_ATTEMPTS):
            record = self._file.record("grants", DIGEST_ID)
            if record is None:
                return self._own
            if record == loaded.record:
                return loaded
            contents = self._file.record("grants", CONTENTS_ID)
            # Two statements: a commit in between changed one of them.
            if contents is not None and _digest(contents) == _digest(record):
                catalogue = _decoded(published_catalogue.catalogue_in, contents)
                return LoadedCatalogue(catalogue.routes, catalogue, record)
        raise Unavailable("the catalogue changes too quickly to be read")

    def _read(
        self, text: str, key: bytes, span: Span, former: CachedToken | None
    ) -> CachedToken | None:
        # An entry of an earlier span saves parsing and decoding, never reading.
        credential = credentials.parse(text) if former is None else former.credential
        if credential is None:
            credential = imported_keys.parse(text, self._prefixes_in(span))
            if credential is None:
                return None
        record = self._file.record("grants", credential.id)
        grant = None if record is None else _grant(credential, former, record)
        if record is None or grant is None:
            return None
        cached = self._token(grant, record, span, former)
        if cached is not former and (former is not None or self._tokens.accepts(key)):
            share_values(grant)
            self._tokens.put(key, cached)
        return cached

    def _token(
        self, grant: Grant, record: bytes, span: Span, former: CachedToken | None
    ) -> CachedToken:
        """A token's rows, read in *span*; *former* if they are the same."""
        holder, company = self._holder_and_rules(grant, span)
        if (
            former is not None
            and former.grant is grant
            and former.holder is holder
            and former.company is company
            # Else a decision by former routes might be remembered for this span.
            and former.span.loaded is span.loaded
        ):
            former.span = span
            return former
        # Shares the grant's id and digest: a smaller entry is faster to read from memory.
        return CachedToken(span, Credential(grant.id, grant.digest), grant, holder, company, record)

    def _read_ahead(self, grants: Sequence[Grant], span: Span) -> None:
        """Cache the holders and companies of *grants*, with one statement each."""
        _cache_all(
            self._file,
            "holders",
            self._holders,
            {grant.user for grant in grants},
            decode_holder,
            span,
        )
        _cache_all(
            self._file,
            "company_rules",
            self._companies,
            {grant.company for grant in grants},
            decode_company,
            span,
        )

    def _holder_and_rules(
        self, grant: Grant, span: Span
    ) -> tuple[Holder | None, CompanyRules | None]:
        user, company = grant.user, grant.company
        if not company:
            # A verifier key acts for the installation, and so may an admin key.
            return None, None
        holders, companies = self._holders, self._companies
        rules = companies.recent.get(company) or companies.revive(company)
        if not user:
            # An admin key of one company.
            record = self._file.record("company_rules", company)
            return None, _cache(companies, company, rules, record, decode_company, span)
        holder = holders.recent.get(user) or holders.revive(user)
        if holder is not None and holder.span is span:
            if rules is not None and rules.span is span:
                return holder.fact, rules.fact
            record = self._file.record("company_rules", company)
            return holder.fact, _cache(companies, company, rules, record, decode_company, span)
        if rules is not None and rules.span is span:
            found = self._file.record("holders", user)
            return _cache(holders, user, holder, found, decode_holder, span), rules.fact
        # With many tokens most calls need both: one statement instead of two.
        of_user, of_company = self._file.holder_and_rules(user, company)
        return (
            _cache(holders, user, holder, of_user, decode_holder, span),
            _cache(companies, company, rules, of_company, decode_company, span),
        )


def _grant(credential: Credential, former: CachedToken | None, record: bytes) -> Grant | None:
    """The grant in *record*, if it has the secret's digest; decoded only if its bytes changed."""
    if former is not None and former.record == record:
        return former.grant
    grant = _decoded(decode_grant, record)
    # Only matching secrets are cached, so wrong guesses can't evict real tokens.
    return grant if credentials.matches(credential, grant.digest) else None


def _cache_all(
    file: GrantFile,
    table: str,
    rows: RecentCache[str, _Row[_Record]],
    ids: Iterable[str],
    decode: Callable[[bytes], _Record],
    span: Span,
) -> None:
    """Cache the rows of a table that weren't read in *span* yet."""
    found = {id: rows.recent.get(id) or rows.revive(id) for id in ids if id}
    unread = [id for id, row in found.items() if row is None or row.span is not span]
    for id, record in file.records(table, unread).items():
        _cache(rows, id, found[id], record, decode, span)


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
    if row is not None or rows.accepts(key):
        rows.put(key, _Row(span, record, fact))
    return fact


def _digest(record: bytes) -> bytes:
    return _decoded(published_catalogue.digest_in, record)


def _decoded(decode: Callable[[bytes], _Fact], record: bytes) -> _Fact:
    try:
        return decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RouteError) as error:
        # A damaged record is an outage: neither "no such token" nor a crash.
        raise Unavailable("the grant file holds a record that can't be read") from error
