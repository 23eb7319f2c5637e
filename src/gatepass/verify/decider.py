"""Decide calls from the local grant file: token text in, decision out.

The whole path of a token (``Decider.judge``):

1. read the generation of the grants (``freshness``);
2. find the call's route, the token's grant, its holder and its company's rules (``cached_rows``);
3. decide (``core.decision``, pure);
4. read the generation again and repeat if it changed; where the file is a copy, check its lease.

An equal call may be answered from memory (``remembered``).

No network, no lock, no write, no await. See docs/explanation/one-request.md.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import Credential
from gatepass.core.decision import Call, Decision, Reason, admit, admit_verifier, decide
from gatepass.core.errors import Unavailable
from gatepass.core.grants import DECOY, CompanyRules, Grant, Holder
from gatepass.core.networks import parse_address
from gatepass.core.observed_call import refusal_id
from gatepass.core.routes import CatalogueRoute, RequestLine, Routes
from gatepass.verify.cached_rows import CachedRows, CachedToken, Span
from gatepass.verify.clock import Clock
from gatepass.verify.first_copy import wait_for_copy
from gatepass.verify.freshness import GENERATION
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.remembered import (
    RememberedDecisions,
    UsageCounter,
    call_key,
    named_route,
)

#: After this many changes of the generation in a row a reader gives up (503).
ATTEMPTS = 200

_Rule = Callable[[Grant | None, Holder | None, CompanyRules | None, Call, int], Decision]


class Decider:
    """Decides from the local grant file.

    Args:
        file: the node's grant file.
        clock: the process's time.
        routes: a catalogue's routes, for calls that name method and path.
        published: whether the installation's catalogue replaces *routes*, as soon as the file has
            one and each time it changes.
        copy: whether the file is a copy with a lease (see ``freshness``), or the database itself,
            which is always fresh.
        usage: counts the decisions.

    Attributes:
        remembered: the answers to calls that were decided.
    """

    def __init__(
        self,
        file: GrantFile,
        clock: Clock,
        routes: Routes,
        *,
        published: bool = False,
        copy: bool = False,
        usage: UsageCounter | None = None,
    ) -> None:
        self.clock = clock
        self._own_routes = routes
        self._published = published
        self.copy = copy
        self.usage = usage
        #: Until when (``time.monotonic``) checks wait for a first copy.
        self.first_copy_by = 0.0
        self.read_from(file)

    def read_from(self, file: GrantFile) -> None:
        """Decide from *file* from now on; what is known of another one is forgotten."""
        self.file = file
        self._rows = CachedRows(file, self._own_routes, published=self._published)
        self._forget_decisions()

    @property
    def routes(self) -> Routes:
        """The routes of the latest decision. The next one may read others, by a new catalogue."""
        return self._rows.span.loaded.routes

    def catalogue(self) -> Catalogue | None:
        """The installation's catalogue; None if there is none in the file, or not to be used.

        Raises:
            Unavailable: the file can't be read.
        """
        rows = self._rows
        return rows.span_at(rows.shared.words[GENERATION], self.clock.boot_ns()).loaded.catalogue

    def count_in(self, usage: UsageCounter) -> None:
        """Count decisions in *usage* from now on, and none that were made before."""
        self.usage = usage
        # They hold counts of the former.
        self._forget_decisions()

    def _forget_decisions(self) -> None:
        self.remembered = RememberedDecisions(
            self._rows, self.clock, copy=self.copy, usage=self.usage
        )

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
        if (method is None) is not (path is None):
            raise ValueError("method and path go together")
        call = (token, permission, method, path, address, origin, referer)
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
        method: str | None,
        path: str | None,
        address: str | None,
        origin: str | None,
        referer: str | None,
    ) -> Decision:
        routes = self.routes
        named = None if method is None else named_route(routes, method, path or "")
        key = call_key((token, permission, routes.tag, named, address, origin, referer))
        decision: Decision | None = self.remembered.recall(key)
        line = None if method is None else RequestLine(method, path or "")
        if decision is None:
            asked_ms = self.clock.now()
            packed = None if address is None else parse_address(address)
            decision, known = self.judge(
                token or Reason.token_missing, permission, line, packed, origin, referer
            )
            self.remembered.remember(key, decision, known, decision, asked_ms, routes)
        elif decision.call.line != line:
            # Another call on the same route. By the next catalogue they may need different
            # permissions, which matters to those that go on (``watching``).
            decision = replace(decision, call=replace(decision.call, line=line))
        return decision

    def judge(
        self,
        credential: str | Reason,
        permission: str | None = None,
        route: CatalogueRoute | RequestLine | Reason | None = None,
        address: bytes | None = None,
        origin: str | None = None,
        referer: str | None = None,
        address_garbage: bool = False,
        rule: _Rule = decide,
        counted: bool = True,
    ) -> tuple[Decision, CachedToken | None]:
        """Decide one call from its parsed parts; endpoints use this.

        Args:
            credential: the token's text, or why there is none.
            route: the method and path of the call, which are matched with the catalogue's routes;
                or the result of ``Routes.match`` with an application's own.
            address: packed (``core.networks``); None where absent or unreadable.
            address_garbage: a gateway's forwarding header couldn't be read.
            rule: ``decide``, or ``admit`` for the control plane, which then checks permissions
                operation by operation.
            counted: whether it is a use of the token. A decoy's always is.

        Returns:
            The decision, and the token's rows (None for an unknown token).

        Raises:
            Unavailable: as for :meth:`check`.
        """
        clock = self.clock
        matched: CatalogueRoute | Reason | None = None
        line: RequestLine | None = None
        if isinstance(route, RequestLine):
            line = route
        else:
            matched = route
        for _ in range(ATTEMPTS):
            # Read once: they are another file's from one moment to the next (``read_from``).
            rows = self._rows
            shared = rows.shared
            generation = shared.words[GENERATION]
            boot_ns = clock.boot_ns()
            now = (boot_ns + clock.offset_ns) // 1_000_000
            if line is not None:
                # Of the same generation as the rows: a new catalogue changes roles as well.
                routes = rows.span_at(generation, boot_ns).loaded.routes
                matched = routes.match(line.method, line.path)
            cached = (
                None if type(credential) is Reason else rows.find(credential, generation, boot_ns)
            )
            if cached is None:
                refusal = credential if isinstance(credential, Reason) else Reason.token_invalid
                call = Call(refusal, permission, matched, address, address_garbage, origin, referer)
                decision = rule(None, None, None, call, now)
            else:
                call = Call(
                    cached.credential,
                    permission,
                    matched,
                    address,
                    address_garbage,
                    origin,
                    referer,
                    line,
                )
                decision = rule(cached.grant, cached.holder, cached.company, call, now)
            if shared.words[GENERATION] != generation:
                continue
            if self.copy:
                shared.require_fresh(clock.boot_ns(), clock.wall_ms())
            if self.usage is not None and (counted or decision.decoy is not None):
                self.usage.note(decision, now)
            return decision, cached
        raise Unavailable("the grants change too quickly to be read")

    def read_again(
        self, tokens: Mapping[Credential, CachedToken | None]
    ) -> dict[Credential, CachedToken | None]:
        """The current rows of many tokens, as ``CachedRows.find_again`` returns them.

        Raises:
            Unavailable: as for :meth:`check`.
        """
        for _ in range(ATTEMPTS):
            rows = self._rows
            generation = rows.shared.generation
            found = rows.find_again(tokens, generation, self.clock.boot_ns())
            if rows.shared.generation != generation:
                continue
            if self.copy:
                rows.shared.require_fresh(self.clock.boot_ns(), self.clock.wall_ms())
            return found
        raise Unavailable("the grants change too quickly to be read")

    def span(self) -> Span:
        """The current span: as long as it is the same object, no row has changed.

        Raises:
            Unavailable: as for :meth:`check`.
        """
        rows, clock = self._rows, self.clock
        if self.copy:
            rows.shared.require_fresh(clock.boot_ns(), clock.wall_ms())
        return rows.span_at(rows.shared.generation, clock.boot_ns())

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

    def help(self, decision: Decision) -> str | None:
        """The address of the page that explains a refusal to people who may see the token.

        None unless the secret of an access token matched, and while the installation's
        ``PUBLIC_URL`` isn't known here. The page exists once the call is counted, in some seconds.
        """
        if decision.grant is None or decision.allowed:
            return None
        url = self.file.shared.public_url
        id = None if url is None else refusal_id(decision)
        return None if id is None else f"{url}/decisions/{id}"

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
        clock = self.clock
        for _ in range(ATTEMPTS):
            rows = self._rows
            shared = rows.shared
            generation = shared.generation
            cached = rows.find(credential, generation, clock.boot_ns())
            reason = (
                Reason.token_invalid
                if cached is None
                else admit_verifier(cached.grant, cached.credential)
            )
            if shared.generation != generation:
                continue
            if self.copy:
                shared.require_fresh(clock.boot_ns(), clock.wall_ms())
            if cached is None or cached.grant.kind != "limited-verifier":
                if cached is not None and cached.grant.kind == DECOY:
                    self.note_decoy(cached.grant)
                return reason, None
            return reason, cached.grant.permissions
        raise Unavailable("the grants change too quickly to be read")

    def note_decoy(self, decoy: Grant, address: bytes | None = None) -> None:
        """Count a use of a decoy where no call is decided, such as a report of its text.

        Args:
            address: packed (``core.networks``); None if it isn't known.
        """
        if self.usage is not None:
            now = self.clock.now()
            call = Call(Credential(decoy.id, decoy.digest), address=address)
            self.usage.note(decide(decoy, None, None, call, now), now)

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
            self.catalogue()
        except Unavailable:
            return "the grant file can't be read"
        return None
