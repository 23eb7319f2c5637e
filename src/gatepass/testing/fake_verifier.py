"""A verifier for tests: the real decision over grants that the test makes."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import ACCESS_TOKEN, ID_LENGTH, make, new_id, parse
from gatepass.core.decision import Decision
from gatepass.core.domains import parse_domain
from gatepass.core.grants import (
    EXTERNAL,
    SERVICE_ACCOUNT,
    USER,
    CompanyRules,
    Grant,
    Holder,
    decode_grant,
)
from gatepass.core.networks import Networks, parse_network
from gatepass.core.permissions import EVERYTHING, is_permission, is_wildcard
from gatepass.core.routes import Routes
from gatepass.testing.memory_grants import MemoryGrants
from gatepass.verify.catalogue import read_catalogue
from gatepass.verify.clock import Clock
from gatepass.verify.verifier import Verifier

#: The company and the owner of a token that names none.
COMPANY = "com_test"
OWNER = "usr_test"

_ID_PREFIXES = {USER: "usr", SERVICE_ACCOUNT: "svc", EXTERNAL: "ext"}
_LONGEST_EXTERNAL_ID = 200

# The lease lasts until ``go_stale``, however far the test advances the time.
_CENTURY_MS = 100 * 365 * 86_400_000


class FakeVerifier(Verifier):
    """A verifier whose grants exist only in memory, made by the test.

    It decides as every verifier does, by the same code. Nothing connects, waits or is written, and
    there is nothing to close.

    Args:
        permissions: the permission that each route needs, as the guards take it; only to ``check``
            by method and path.
        catalogue: instead of *permissions*, a catalogue, or the path of its file. Tokens then hold
            its permissions alone, so that a misspelt one fails the test that asks for it.
        public_url: of the installation that it stands for, such as
            ``https://gatepass.example.com``: refusals then have ``help``. None: as before a
            verifier knows it.

    Attributes:
        decisions: all decisions so far, in their order.

    Raises:
        Misconfigured: the catalogue can't be read.
        CatalogueError, RouteError: an argument is invalid.
        ValueError: both *permissions* and *catalogue*; or *public_url* isn't a URL.
    """

    def __init__(
        self,
        *,
        permissions: Mapping[str, str] | None = None,
        catalogue: Catalogue | str | Path | None = None,
        public_url: str | None = None,
    ) -> None:
        if permissions is not None and catalogue is not None:
            raise ValueError("only one of permissions and catalogue may name the routes")
        if isinstance(catalogue, str | Path):
            catalogue = read_catalogue(catalogue)
        self._catalogue = catalogue
        self.decisions: list[Decision] = []
        self._grants = MemoryGrants()
        self._time = _MovableTime()
        super().__init__(
            self._grants,
            self._time.clock,
            Routes((permissions or {}).items()) if catalogue is None else catalogue.routes,
            copy=True,
            usage=_Record(self.decisions),
        )
        self._holders_by_id: dict[str, Holder] = {}
        self._rules_by_id: dict[str, CompanyRules] = {}
        self._require_owner(OWNER, COMPANY)
        if public_url is not None:
            self._grants.shared.set_public_url(public_url)
        if self._grants.shared.public_url != public_url:
            raise ValueError(f"{public_url!r} must be a URL such as https://gatepass.example.com")
        self.recover()

    # --- tokens -----------------------------------------------------------------------------------

    def token(
        self,
        *permissions: str,
        kind: Literal["api", "ui"] = "api",
        label: str = "test",
        networks: Iterable[str] = (),
        domains: Iterable[str] = (),
        expires_in: float | timedelta | None = None,
        metadata: Mapping[str, str] | None = None,
        external_id: str | None = None,
        owner: str = OWNER,
        company: str = COMPANY,
    ) -> str:
        """Create an access token.

        Args:
            permissions: at least one, such as ``charges:get`` or ``charges:*``.
            kind: ``ui`` for calls from pages, which need an Origin.
            label: ``decision.grant.label``.
            networks: the only ones it may be used from, such as ``203.0.113.0/24``; none is no
                restriction.
            domains: of a ``ui`` token, the only ones it may be used on; none is no restriction.
            expires_in: seconds, or a timedelta; never by default.
            metadata, external_id: ``decision.grant.metadata`` and ``decision.grant.external_id``.
            owner, company: ids, ``decision.grant.user`` and ``decision.grant.company``. A new owner
                is created, a user, whose role permits everything; ``owner`` creates others.

        Returns:
            The text to send as the credential.

        Raises:
            ValueError: an argument is invalid, or the owner is another company's.
        """
        self._require_owner(owner, company)
        domains = tuple(map(parse_domain, _items(domains)))
        if domains and kind != "ui":
            raise ValueError("domains must be empty, unless the token's kind is ui")
        new = make(ACCESS_TOKEN)
        self._grants.put(
            Grant(
                id=new.id,
                digest=new.digest,
                kind=_one_of(kind, "api", "ui"),
                company=company,
                user=owner,
                label=label,
                permissions=self._chosen(permissions, self._holders_by_id[owner].type),
                networks=_networks(networks),
                domains=domains,
                expires_at=None if expires_in is None else self.clock.now() + _ms(expires_in),
                deactivated=False,
                metadata=dict(metadata) if metadata else None,
                external_id=external_id,
            )
        )
        return new.text

    def deactivate(self, token: str) -> None:
        """Deactivate a token permanently: ``token_deactivated`` from now on.

        Raises:
            ValueError: this verifier has made no such token.
        """
        grant = replace(self._grant(token), deactivated=True, rehearsal=None, pending=False)
        self._grants.put(grant)

    def expire(self, token: str) -> None:
        """Let a token's time be over: ``token_expired`` from now on.

        Raises:
            ValueError: this verifier has made no such token.
        """
        self._grants.put(replace(self._grant(token), expires_at=self.clock.now()))

    def allow_for(self, token: str, permission: str, seconds: float | timedelta) -> None:
        """Give a token an exception: it holds *permission* too, for so long.

        As everywhere, its owner's role must permit it.

        Args:
            permission: such as ``charges:create``; no wildcard.

        Raises:
            ValueError: an argument is invalid, or this verifier has made no such token.
        """
        grant = self._grant(token)
        if not is_permission(self._name(permission)):
            raise ValueError(f"{permission!r} must be one permission, not a whole resource")
        ends = {permission: self.clock.now() + _ms(seconds)}
        self._grants.put(replace(grant, exceptions={**(grant.exceptions or {}), **ends}))

    # --- owners and companies ---------------------------------------------------------------------

    def owner(
        self,
        type: Literal["user", "service_account", "external"] = "external",
        *,
        external_id: str | None = None,
        name: str = "test",
        company: str = COMPANY,
    ) -> str:
        """Create an owner of access tokens, ``decision.owner``.

        Args:
            type: an ``external`` owner stands for a customer of another product. With a catalogue,
                its tokens hold permissions of the file alone.
            external_id: the id in that product; an external owner must have one, a user none.
            name: ``decision.owner.name``.
            company: an id; a new company is created.

        Returns:
            The id to create tokens with.

        Raises:
            ValueError: an argument is invalid, or another active owner has the external id.
        """
        prefix = _ID_PREFIXES[_one_of(type, *_ID_PREFIXES)]
        if (external_id is None and type == EXTERNAL) or (external_id is not None and type == USER):
            raise ValueError("external_id must be given for an external owner, never for a user")
        if external_id is not None and not 1 <= len(external_id) <= _LONGEST_EXTERNAL_ID:
            raise ValueError(f"an external_id must have 1 to {_LONGEST_EXTERNAL_ID} characters")
        taken = [
            each.external_id
            for each in self._holders_by_id.values()
            if each.active and each.company == company
        ]
        if external_id is not None and external_id in taken:
            raise ValueError(f"the external_id {external_id!r} must belong to one active owner")
        id = new_id(prefix)
        self._add_owner(Holder(id, company, True, id, type, name, external_id))
        return id

    def set_role(self, *permissions: str, owner: str = OWNER) -> None:
        """Set what the owner's role permits; the owner's tokens may do nothing else.

        Args:
            permissions: such as ``charges:get``, ``charges:*``, or ``*`` for everything, which is
                what a new owner's role permits.

        Raises:
            ValueError: a permission is malformed or unknown, or there is no such owner.
        """
        holder = _known(self._holders_by_id, owner)
        rules = self._rules_by_id[holder.company]
        role = frozenset(name if name == EVERYTHING else self._name(name) for name in permissions)
        self._put_rules(replace(rules, roles={**rules.roles, holder.role: role}))

    def deactivate_owner(self, owner: str = OWNER) -> None:
        """Deactivate an owner: ``account_deactivated`` for all of the owner's tokens.

        Raises:
            ValueError: there is no such owner.
        """
        self._put_holder(replace(_known(self._holders_by_id, owner), active=False))

    def set_allowlist(self, *networks: str, company: str = COMPANY) -> None:
        """Set the networks that the company's tokens may be used from; none is no restriction.

        Raises:
            ValueError: a network is invalid, or there is no such company.
        """
        rules = _known(self._rules_by_id, company)
        self._put_rules(replace(rules, allowlist=_networks(networks)))

    # --- time and freshness -----------------------------------------------------------------------

    def advance(self, seconds: float | timedelta) -> None:
        """Advance the verifier's time, which otherwise passes as usual.

        Raises:
            ValueError: backwards.
        """
        self._time.advanced_ms += _ms(seconds)

    def go_stale(self) -> None:
        """Behave as if Gatepass were out of reach for too long.

        ``fresh`` is False, ``check`` raises Unavailable (``stale``), and the guards answer 503.
        """
        self._grants.shared.end_lease()

    def recover(self) -> None:
        """Be fresh again."""
        clock = self.clock
        self._grants.shared.renew_lease(clock.boot_ns(), clock.wall_ms(), _CENTURY_MS)

    # ----------------------------------------------------------------------------------------------

    def _grant(self, token: str) -> Grant:
        credential = parse(token)
        record = None if credential is None else self._grants.record("grants", credential.id)
        if record is None:
            # Only the id: the text is a secret, if a test mixes up fake tokens and real ones.
            raise ValueError(f"{token[:ID_LENGTH]!r} must be a token that this verifier has made")
        return decode_grant(record)

    def _chosen(self, permissions: Iterable[str], owner_type: str) -> frozenset[str]:
        chosen = frozenset(map(self._name, permissions))
        if not chosen:
            raise ValueError("a token must have at least one permission")
        if owner_type == EXTERNAL and self._catalogue is not None:
            for name in sorted(chosen - self._catalogue.for_external):
                raise ValueError(f"{name!r} must be a permission of the catalogue's file")
        return chosen

    def _name(self, name: str) -> str:
        """*name*, if it is well-formed and in the catalogue."""
        if not (is_permission(name) or is_wildcard(name)):
            raise ValueError(f"{name!r} must be a permission such as charges:get")
        if self._catalogue is not None and not self._catalogue.knows(name):
            raise ValueError(f"{name!r} must be a permission of the catalogue")
        return name

    def _require_owner(self, owner: str, company: str) -> None:
        """Create the company and the owner, a user, if they are new."""
        holder = self._holders_by_id.get(owner)
        if holder is None:
            self._add_owner(Holder(owner, company, True, owner))
        elif holder.company != company:
            raise ValueError(f"the owner {owner!r} must stay in {holder.company!r}")

    def _add_owner(self, holder: Holder) -> None:
        """Create an owner with a role of its own, and the company if it is new."""
        company = holder.company
        rules = self._rules_by_id.get(company) or CompanyRules(company, True, None, {})
        role = {holder.role: frozenset((EVERYTHING,))}
        self._put_rules(replace(rules, roles={**rules.roles, **role}))
        self._put_holder(holder)

    def _put_holder(self, holder: Holder) -> None:
        self._holders_by_id[holder.id] = holder
        self._grants.put(holder)

    def _put_rules(self, rules: CompanyRules) -> None:
        self._rules_by_id[rules.id] = rules
        self._grants.put(rules)


class _MovableTime:
    """The machine's time, which a test can advance."""

    def __init__(self) -> None:
        self.advanced_ms = 0
        machine = Clock()
        self.clock = Clock(
            boot_ns=lambda: machine.boot_ns() + self.advanced_ms * 1_000_000,
            wall_ms=lambda: machine.wall_ms() + self.advanced_ms,
        )


class _Record:
    """Appends each decision to a list, where other verifiers count it."""

    def __init__(self, decisions: list[Decision]) -> None:
        self._decisions = decisions

    def note(self, decision: Decision, now: int) -> None:
        self._decisions.append(decision)

    def note_again(self, use: Any, now: int) -> None:
        # By ``check``, which alone remembers here: its answer is the decision.
        self._decisions.append(use.answer)


def _known(records: Mapping[str, Any], id: str) -> Any:
    if id not in records:
        raise ValueError(f"{id!r} must be one of {', '.join(map(repr, records))}")
    return records[id]


def _one_of(text: str, *choices: str) -> str:
    if text not in choices:
        raise ValueError(f"{text!r} must be {' or '.join(choices)}")
    return text


def _items(texts: Iterable[str]) -> Iterable[str]:
    """*texts*, unless it is one text, whose letters would be the items."""
    if isinstance(texts, str):
        raise ValueError(f"{texts!r} must be a list of texts")
    return texts


def _networks(texts: Iterable[str]) -> Networks | None:
    found = [parse_network(text) for text in _items(texts)]
    return Networks.of(found) if found else None


def _ms(seconds: float | timedelta) -> int:
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if not seconds > 0:
        raise ValueError("the time must be later than now")
    return max(round(seconds * 1000), 1)
