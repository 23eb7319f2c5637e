"""Which access tokens a list has: its filters, as index scans and as conditions.

Each filter has an index in the order of the list. With several filters, the one that the fewest
tokens match leads, and the others check what it finds.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypedDict

from sqlalchemy import (
    ColumnElement,
    Table,
    Text,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
)

from gatepass.core.credentials import ACCESS_TOKEN, ID_LENGTH
from gatepass.core.errors import InvalidInput, NotFound
from gatepass.core.grants import DECOY
from gatepass.core.imported_keys import IMPORTED_KEY, is_imported
from gatepass.core.permissions import is_permission, is_wildcard, resource_wildcard
from gatepass.registry.actor import Actor
from gatepass.registry.directory import owner_records
from gatepass.registry.input.external_ids import BY_EXTERNAL_ID
from gatepass.registry.input.metadata import is_key
from gatepass.registry.input.text import folded, search_text, storable
from gatepass.registry.storage import scans
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import (
    COUNT_LIMIT,
    contains,
)
from gatepass.registry.storage.scans import Scan, Way
from gatepass.registry.storage.tables import (
    access_token_metadata,
    access_token_permissions,
    access_token_recency,
    access_tokens,
)
from gatepass.registry.storage.word_index import LABELS, Found, beginning_with
from gatepass.registry.tokens.calls.recency import LIVES
from gatepass.registry.tokens.input import KINDS

STATUSES = ("active", "pending", "expired", "deactivated")
NETWORKS = ("any", "none")
USES = ("ever", "never")

_PREFIX = f"{ACCESS_TOKEN}_"
_Conditions = list[ColumnElement[bool]]
_token = access_tokens.c
_permission = access_token_permissions.c
_entry = access_token_metadata.c.entry
_recency = access_token_recency.c
# As text, and not a parameter: SQLite's indexes of tokens with and without networks need that.
_NO_NETWORKS = literal_column("'[]'", Text)
_networks = type_coerce(_token.networks, Text)
_NEVER = 2**63 - 1
_waiting = access_tokens.alias("waiting").c
# The first is a range, so that the index of the few pending tokens is chosen.
_WAITS = [_token.pending_since > 0, _token.deactivated_at.is_(None)]


class Filters(TypedDict, total=False):
    """What a list of tokens is narrowed to; None is no filter.

    q: part of the label, in any case, or the beginning of the id, with or without ``gpat_``;
        surrounding space is ignored.
    status: ``active``, ``pending``, ``expired`` or ``deactivated``, at ``reading.now``.
    permission: only tokens with this permission, by name or within ``resource:*``.
    kind: ``api``, ``ui`` or ``decoy``.
    owner: the id of a user, service account or external owner; or ``ext:`` and an external id.
    created_by: the id of the user who created them.
    metadata: only tokens with this ``key:value``.
    external_id: only tokens with exactly this one, ended ones included.
    expires_before: Unix ms; also those that have expired.
    used: ``ever`` or ``never``.
    unused_since: Unix ms; only tokens that weren't used since, also those never used.
    network: ``any``, only tokens with networks; or ``none``, only those without.

    A decoy is never used and has no networks, and that is right. So the last three don't match it.
    """

    q: str | None
    status: str | None
    permission: str | None
    kind: str | None
    owner: str | None
    created_by: str | None
    metadata: str | None
    external_id: str | None
    expires_before: int | None
    used: str | None
    unused_since: int | None
    network: str | None


@dataclass(frozen=True)
class Selection:
    """The tokens of a list: its filters, parsed, as scans and as conditions.

    Attributes:
        q: "" is no filter.
        owner: an id; "" is none that exists.
    """

    reading: Reading
    company: str | None
    q: str = ""
    status: str | None = None
    permission: str | None = None
    kind: str | None = None
    owner: str | None = None
    created_by: str | None = None
    metadata: str | None = None
    external_id: str | None = None
    expires_before: int | None = None
    used: str | None = None
    unused_since: int | None = None
    network: str | None = None

    @classmethod
    def of(
        cls, reading: Reading, actor: Actor, company: str | None, filters: Filters
    ) -> "Selection":
        """The tokens that *filters* select of a company, or of a portal session's owner."""
        owner = filters.get("owner")
        if owner is not None and owner.startswith(BY_EXTERNAL_ID):
            owner = _owner_id(reading, company, owner)
        if actor.is_portal_session:
            # Another owner has no tokens here.
            owner = actor.user if owner in (None, actor.user) else ""
        return cls(
            reading,
            company,
            q=search_text(filters.get("q")),
            status=filters.get("status"),
            permission=filters.get("permission"),
            kind=filters.get("kind"),
            owner=owner,
            created_by=filters.get("created_by"),
            metadata=filters.get("metadata"),
            external_id=filters.get("external_id"),
            expires_before=filters.get("expires_before"),
            used=filters.get("used"),
            unused_since=filters.get("unused_since"),
            network=filters.get("network"),
        )

    def __post_init__(self) -> None:
        if self.status not in (None, *STATUSES):
            raise InvalidInput([("status", "Must be active, pending, expired or deactivated.")])
        name = self.permission
        if name is not None and not (is_permission(name) or is_wildcard(name)):
            raise InvalidInput([("permission", "Must be a permission such as charges:create.")])
        if self.kind not in (None, *KINDS):
            raise InvalidInput([("kind", "Must be api, ui or decoy.")])
        key, colon, _ = (self.metadata or "").partition(":")
        if self.metadata is not None and not (colon and is_key(key)):
            raise InvalidInput([("metadata", "Must be key:value, such as team:payments.")])
        if self.network not in (None, *NETWORKS):
            raise InvalidInput([("network", "Must be any or none.")])
        if self.used not in (None, *USES):
            raise InvalidInput([("used", "Must be ever or never.")])

    @cached_property
    def scans(self) -> list[Scan]:
        """Scans that find the tokens, in the order of their creation; none if nothing can match."""
        if self._is_empty:
            return []
        if self.company is None:
            return [Scan(access_tokens, [*self.of_status_and_kind, *self.selected_but()])]
        return scans.fastest(
            self.reading, self._ways, self._by_status, self.selected_but(), narrow=self._narrow
        )

    @cached_property
    def few(self) -> list[Scan] | None:
        """Scans that find the tokens, if they are few enough to be sorted; else None."""
        if self._is_empty or self.company is None:
            return self.scans
        return scans.few(
            self.reading, self._ways, self._by_status, self.selected_but(), narrow=self._narrow
        )

    def count(self) -> int:
        """How many tokens there are, as ``Page.count`` has it."""
        if self._label is not None and self._by_name is None:
            # Walking to all matches may take long where it soon finds those of a page.
            which = [*self.of_status_and_kind, *self.selected_but("q")]
            some = self._label.some(which, self._in_label)
            number = scans.count(self.reading, [some])
            if number > COUNT_LIMIT:
                return number
        return scans.count(self.reading, self.scans)

    @property
    def _is_empty(self) -> bool:
        texts = (self.q, self.owner, self.created_by, self.metadata, self.external_id)
        return not all(storable(text or "") for text in texts)

    @property
    def _narrow(self) -> bool:
        return bool(self.status or self.kind)

    @cached_property
    def _ways(self) -> list[Way | None]:
        return [
            self._by_name,
            self._by_permission,
            self._by_owner,
            self._by_maker,
            self._by_metadata,
            self._by_external_id,
            self._by_expiry,
            self._by_use,
            self._by_network,
        ]

    # --- the filters as conditions of a token ---

    # Most are expressions, which can't make the engine choose an index in another order.

    @cached_property
    def of_status_and_kind(self) -> _Conditions:
        """Its status and kind."""
        now = self.reading.now
        unexpired = or_(_token.expires_at.is_(None), _token.expires_at > now)
        by_status: dict[str | None, _Conditions] = {
            None: [],
            "active": [_token.deactivated_at.is_(None), unexpired, self._approved],
            "pending": [*_WAITS, unexpired],
            "expired": [_token.deactivated_at.is_(None), _token.expires_at <= now],
            "deactivated": [_token.deactivated_at.is_not(None)],
        }
        return [*by_status[self.status], *self.of_kind]

    @cached_property
    def of_kind(self) -> _Conditions:
        """Its kind."""
        return [] if self.kind is None else [_token.kind == self.kind]

    def selected_but(self, left_out: str = "") -> _Conditions:
        """All filters but status, kind, and the one that leads."""
        filters = {
            "permission": self._permitted,
            "q": self._named,
            "owner": self._owned,
            "created_by": self._made,
            "metadata": self._noted,
            "external_id": self._known,
            "expires_before": self._expiring,
            "use": self._in_use,
            "network": self._limited,
            "decoys": self._no_decoys,
        }
        return [each for name, found in filters.items() if name != left_out for each in found]

    @cached_property
    def _permitted(self) -> _Conditions:
        if self.permission is None:
            return []
        return [_posted(access_token_permissions, _permission.permission.in_(self._names))]

    @property
    def _noted(self) -> _Conditions:
        if self.metadata is None:
            return []
        return [_posted(access_token_metadata, _entry == self.metadata)]

    @property
    def _known(self) -> _Conditions:
        if self.external_id is None:
            return []
        return [func.coalesce(_token.external_id, "") == self.external_id]

    @property
    def _owned(self) -> _Conditions:
        return [] if self.owner is None else [_token.owner_id == self.owner]

    @property
    def _made(self) -> _Conditions:
        if self.created_by is None:
            return []
        return [func.coalesce(_token.created_by, "") == self.created_by]

    @property
    def _expiring(self) -> _Conditions:
        if self.expires_before is None:
            return []
        return [func.coalesce(_token.expires_at, _NEVER) < self.expires_before]

    @cached_property
    def _limited(self) -> _Conditions:
        networks = func.coalesce(_networks, "")
        by_network: dict[str | None, _Conditions] = {
            None: [],
            "none": [networks == _NO_NETWORKS],
            "any": [networks != _NO_NETWORKS],
        }
        return by_network[self.network]

    @cached_property
    def _no_decoys(self) -> _Conditions:
        if self.network is None and not self.last_used_range:
            return []
        return [func.coalesce(_token.kind, "") != DECOY]

    @cached_property
    def last_used_range(self) -> _Conditions:
        """The filters of use, as conditions of a row of ``access_token_recency``."""
        by_use = {None: [], "never": [_recency.last_at == 0], "ever": [_recency.last_at > 0]}
        conditions = by_use[self.used]
        if self.unused_since is None:
            return conditions
        # 0 is never, which is before any time.
        return [*conditions, _recency.last_at < max(self.unused_since, 1)]

    @property
    def _in_use(self) -> _Conditions:
        conditions = self.last_used_range
        if not conditions:
            return []
        return [select(_recency.id).where(_recency.id == _token.id, *conditions).exists()]

    @property
    def _names(self) -> list[str]:
        assert self.permission is not None
        return sorted({self.permission, resource_wildcard(self.permission)})

    @cached_property
    def _named(self) -> _Conditions:
        if not self.q:
            return []
        start = id_start(self.q)
        if start is None:
            return [self._in_label]
        return [or_(self._in_label, beginning_with(_token.id, start))]

    @cached_property
    def _in_label(self) -> ColumnElement[bool]:
        return contains(self.reading, _token.label_folded, folded(self.q))

    # --- the ways to the tokens, led by one of the filters ---

    @cached_property
    def _label(self) -> Found | None:
        if not self.q or self.company is None:
            return None
        return LABELS.find(self.reading, self.company, folded(self.q))

    @cached_property
    def _by_name(self) -> Way | None:
        if self._label is None:
            return None
        which = [*self.of_status_and_kind, *self.selected_but("q")]
        by_label = self._label.way(self.reading, which, self._in_label)
        return None if by_label is None else scans.either([by_label, self._by_id(which)])

    def _by_id(self, which: _Conditions) -> Way | None:
        start = id_start(self.q)
        if start is None:
            return Way([], 0)
        ids = Scan(
            access_tokens,
            [_token.company_id == self.company, beginning_with(_token.id, start)],
            few=True,
        )
        rows = scans.size(self.reading, [ids])
        return None if rows > scans.MANY else Way([replace(ids, which=which)], rows)

    @cached_property
    def _by_owner(self) -> Way | None:
        return None if self.owner is None else self._of_person("owner_id", self.owner, "owner")

    @cached_property
    def _by_maker(self) -> Way | None:
        if self.created_by is None:
            return None
        return self._of_person("created_by", self.created_by, "created_by")

    def _of_person(self, column: str, person: str, lead: str) -> Way:
        # As an expression, it can't make the engine choose an index of many more tokens.
        its = [func.coalesce(_token[column], "") == person, *self.apart]
        return self._of_each_status([_token[column] == person, *self.apart], its, lead)

    @cached_property
    def _by_network(self) -> Way | None:
        if self.network is None:
            return None
        its = _networks == _NO_NETWORKS if self.network == "none" else _networks != _NO_NETWORKS
        ours = [_token.company_id == self.company, its]
        return self._of_each_status(ours, [*self._limited, *self.apart], "network")

    def _of_each_status(self, ours: _Conditions, its: _Conditions, lead: str) -> Way:
        """The way along indexes of their own for each status.

        Args:
            ours: what selects a range of them.
            its: the same, as expressions.
        """
        ordered, few = self.statuses
        which = [*self.selected_but(lead), *self.of_kind]
        owned = [Scan(access_tokens, [*ours, *each]) for each in ordered]
        rows = scans.size(self.reading, owned)
        found = [replace(scan, which=which) for scan in owned]
        found += [Scan(access_tokens, [*each, *its], which, few=True) for each in few]
        return Way(found, rows)

    @cached_property
    def _by_expiry(self) -> Way | None:
        """Only if it leads to few: the index isn't in the order of the list."""
        if self.expires_before is None:
            return None
        ordered, few = self.statuses
        ours = [_token.company_id == self.company, _token.expires_at < self.expires_before]
        due = [Scan(access_tokens, [*ours, *each], few=True) for each in ordered]
        rows = scans.size(self.reading, due)
        if rows > scans.MANY:
            return None
        which = [*self.selected_but("expires_before"), *self.of_kind]
        found = [replace(scan, which=which) for scan in due]
        which = [*which, *self._expiring]
        found += [Scan(access_tokens, [*each, *self.apart], which, few=True) for each in few]
        return Way(found, rows)

    @cached_property
    def _by_use(self) -> Way | None:
        """Only if it leads to few, or to those that were never used, which the index has in the
        order of the list."""
        if not self.last_used_range:
            return None
        few = self.used != "never"
        table = access_token_recency
        ranges = [Scan(table, each, records=access_tokens, few=few) for each in self.uses]
        rows = scans.size(self.reading, ranges)
        if few and rows > scans.MANY:
            return None
        which = [*self.of_status_and_kind, *self.selected_but("use")]
        found = [replace(scan, which=which) for scan in ranges]
        which = [*self.selected_but(), *self.of_kind]
        _, unrecorded = self.statuses
        found += [Scan(access_tokens, [*each, *self.apart], which, few=True) for each in unrecorded]
        return Way(found, rows)

    @property
    def uses(self) -> list[_Conditions]:
        """Ranges of the index of ``access_token_recency``, one for each status."""
        lives: Collection[str] = LIVES if self.status is None else {self.status}.intersection(LIVES)
        ours = [_recency.company_id == self.company, *self.last_used_range]
        return [[*ours, _recency.life == life] for life in lives]

    @cached_property
    def _by_permission(self) -> Way | None:
        if self.permission is None:
            return None
        by_name = [
            Scan(
                access_token_permissions,
                [_permission.company_id == self.company, _permission.permission == name],
                records=access_tokens,
                shared=True,
            )
            for name in self._names
        ]
        return self._way(by_name, "permission")

    @cached_property
    def _by_metadata(self) -> Way | None:
        if self.metadata is None:
            return None
        entry = [access_token_metadata.c.company_id == self.company, _entry == self.metadata]
        return self._way([Scan(access_token_metadata, entry, records=access_tokens)], "metadata")

    @cached_property
    def _by_external_id(self) -> Way | None:
        if self.external_id is None:
            return None
        known = [_token.company_id == self.company, _token.external_id == self.external_id]
        return self._way([Scan(access_tokens, known)], "external_id")

    def _way(self, found: list[Scan], lead: str) -> Way:
        """The way along *found*, which the filter *lead* has selected."""
        which = [*self.of_status_and_kind, *self.selected_but(lead)]
        rows = scans.size(self.reading, found)
        return Way([replace(scan, which=which) for scan in found], rows)

    @cached_property
    def _by_status(self) -> list[Scan]:
        """Scans that follow the order of the list, one for each status and kind."""
        kinds = KINDS if self.kind is None else (self.kind,)
        # As expressions, they can't make the engine choose an index of many more tokens.
        ours = [*self.apart, func.coalesce(_token.kind, "").in_(kinds)]
        ordered, few = self.statuses
        return [
            *(
                Scan(access_tokens, [_token.company_id == self.company, _token.kind == kind, *each])
                for each in ordered
                for kind in kinds
            ),
            *(Scan(access_tokens, [*each, *ours], few=True) for each in few),
        ]

    @cached_property
    def _approved(self) -> ColumnElement[bool]:
        """It doesn't wait for approval. By its id: the indexes of the lists have that alone."""
        waiting = select(_waiting.id).where(
            _waiting.pending_since > 0, _waiting.deactivated_at.is_(None)
        )
        if self.company is not None:
            # As an expression, it can't make the engine choose an index of all its tokens.
            waiting = waiting.where(func.coalesce(_waiting.company_id, "") == self.company)
        return _token.id.not_in(waiting)

    @cached_property
    def apart(self) -> _Conditions:
        """Its company, as an expression that chooses no index."""
        return [func.coalesce(_token.company_id, "") == self.company]

    @cached_property
    def statuses(self) -> tuple[list[_Conditions], list[_Conditions]]:
        """The conditions of the scans for each status: of those in order, and of few tokens."""
        now = self.reading.now
        lives, ended = _token.deactivated_at.is_(None), _token.deactivated_at.is_not(None)
        before, lapsed = _token.lapsed_at.is_(None), _token.lapsed_at.is_not(None)
        unexpired = or_(_token.expires_at.is_(None), _token.expires_at > now)
        # Few tokens expire between two rounds that record it. By a wrong clock, some may be
        # recorded too early.
        due = [lives, before, _token.expires_at.is_not(None), _token.expires_at <= now]
        early = [lives, lapsed, _token.lapsed_at > now]
        by_status: dict[str | None, tuple[list[_Conditions], list[_Conditions]]] = {
            None: ([[lives, before], [lives, lapsed], [ended]], []),
            "active": ([[lives, before, unexpired, self._approved]], [[*early, self._approved]]),
            "pending": ([], [[*_WAITS, unexpired]]),
            "expired": ([[lives, lapsed, _token.expires_at <= now]], [due]),
            "deactivated": ([[ended]], []),
        }
        return by_status[self.status]


def id_start(q: str) -> str | None:
    """*q* as the beginning of a token id, with or without ``gpat_``; None if it can't be one.

    Ids aren't searched in the middle: every id contains "pat". A pasted token text matches by its
    id; its secret isn't read. A pasted id may end in the ellipsis of a list.
    """
    text = q.strip().rstrip("\u2026")
    if is_imported(text):
        return _imported_start(text)
    whole = text if text.startswith(_PREFIX) else f"{_PREFIX}{text}"
    rest = whole.removeprefix(_PREFIX)
    if not rest.isascii() or not (rest.isalnum() or text == _PREFIX):
        return None
    # Longer than an id, it can only be a token's text.
    fits = len(whole) <= ID_LENGTH or text.startswith(_PREFIX)
    return whole[:ID_LENGTH] if fits else None


def _imported_start(text: str) -> str | None:
    rest = text.removeprefix(f"{IMPORTED_KEY}_")
    fits = len(text) <= ID_LENGTH and rest.isascii() and (rest.isalnum() or not rest)
    return text if fits and rest != text else None


def _posted(table: Table, value: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition of a token: a row of it in *table*, an index of tokens, matches *value*."""
    own = (table.c[name] == _token[name] for name in ("company_id", "created_at", "id"))
    return select(table.c.id).where(value, *own).exists()


def _owner_id(reading: Reading, company: str | None, reference: str) -> str:
    """The id of the owner with an external id; "" if there is none, which owns nothing."""
    try:
        return owner_records.find(reading, company, reference).id
    except NotFound:
        return ""
