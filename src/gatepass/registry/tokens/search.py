"""Search of access tokens, as fast with a million of them as with a thousand, on both engines.

Each filter has an index in the order of the list. With several filters, the one that the fewest
tokens match leads, and the others check what it finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypedDict, Unpack

from sqlalchemy import ColumnElement, Table, func, or_, select

from gatepass.core.credentials import ACCESS_TOKEN, ID_LENGTH
from gatepass.core.errors import InvalidInput, NotFound
from gatepass.core.permissions import is_permission, is_wildcard, resource_wildcard
from gatepass.registry.actor import Actor
from gatepass.registry.directory import owner_records
from gatepass.registry.directory.company_scope import scope
from gatepass.registry.input.external_ids import BY_EXTERNAL_ID
from gatepass.registry.input.metadata import is_key
from gatepass.registry.input.text import folded, search_text, storable
from gatepass.registry.storage import scans
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import (
    COUNT_LIMIT,
    Page,
    contains,
    read_cursor,
    read_limit,
)
from gatepass.registry.storage.scans import Scan, Way
from gatepass.registry.storage.tables import (
    access_token_metadata,
    access_token_permissions,
    access_tokens,
)
from gatepass.registry.storage.word_index import LABELS, Found, beginning_with
from gatepass.registry.tokens.input import KINDS
from gatepass.registry.tokens.records import STORED, AccessToken, tokens_of

STATUSES = ("active", "expired", "deactivated")

_PREFIX = f"{ACCESS_TOKEN}_"
_Conditions = list[ColumnElement[bool]]
_token = access_tokens.c
_permission = access_token_permissions.c
_entry = access_token_metadata.c.entry


class Filters(TypedDict, total=False):
    """What a list of tokens is narrowed to; None is no filter.

    q: part of the label, in any case, or the beginning of the id, with or without ``gpat_``;
        surrounding space is ignored.
    status: ``active``, ``expired`` or ``deactivated``, at ``reading.now``.
    permission: only tokens with this permission, by name or within ``resource:*``.
    kind: ``api`` or ``ui``.
    owner: the id of a user, service account or external owner; or ``ext:`` and an external id.
    metadata: only tokens with this ``key:value``.
    external_id: only tokens with exactly this one, ended ones included.
    """

    q: str | None
    status: str | None
    permission: str | None
    kind: str | None
    owner: str | None
    metadata: str | None
    external_id: str | None


def list_(
    reading: Reading,
    actor: Actor,
    *,
    company: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    counted: bool = True,
    **filters: Unpack[Filters],
) -> Page[AccessToken]:
    """A company's tokens, newest first; the command line sees all companies'.

    A portal session sees its owner's, and needs no permission.

    Args:
        company: for operators, and admin keys with ``tokens``: its id, or ``ext:`` and its external
            id. None is the actor's.
        counted: whether to count all that match.
        filters: see ``Filters``.

    Raises:
        Forbidden: without ``access-tokens:search``; for *company*, as ``scope`` says.
        NotFound: there is no such company, or the admin key is limited to another one.
        InvalidInput: for a filter, ``cursor`` or ``limit``.
    """
    its = scope(
        reading, actor, company, permission="access-tokens:search", area="tokens", portal=True
    )
    after, limit = read_cursor(cursor), read_limit(limit)
    wanted = _Wanted.of(reading, actor, its, filters)
    with scans.by_index(reading):
        found = wanted.scans()
        ids, more = scans.page(reading, found, after, limit)
        whole = after is None and more is None
        number = len(ids) if whole else wanted.count(found) if counted else None
    rows = {row.id: row for row in reading.session.execute(STORED.where(_token.id.in_(ids)))}
    return Page(tokens_of(reading, [rows[id] for id in ids]), more, number)


def ids(reading: Reading, actor: Actor, filters: Filters, *, most: int) -> list[str]:
    """The ids of the tokens of the actor's company that match, newest first; at most *most*.

    Performs no permission check.

    Raises:
        InvalidInput: for a filter.
    """
    wanted = _Wanted.of(reading, actor, actor.company, filters)
    with scans.by_index(reading):
        return scans.page(reading, wanted.scans(), None, most)[0]


def by_status(reading: Reading, company: str) -> dict[str, int]:
    """The number of a company's tokens of each status, as ``Page.count`` has it."""
    with scans.by_index(reading):
        return {
            status: scans.count(reading, _Wanted(reading, company, status=status).scans())
            for status in STATUSES
        }


@dataclass(frozen=True)
class _Wanted:
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
    metadata: str | None = None
    external_id: str | None = None

    @classmethod
    def of(cls, reading: Reading, actor: Actor, company: str | None, filters: Filters) -> "_Wanted":
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
            metadata=filters.get("metadata"),
            external_id=filters.get("external_id"),
        )

    def __post_init__(self) -> None:
        if self.status not in (None, *STATUSES):
            raise InvalidInput([("status", "Must be active, expired or deactivated.")])
        name = self.permission
        if name is not None and not (is_permission(name) or is_wildcard(name)):
            raise InvalidInput([("permission", "Must be a permission such as charges:create.")])
        if self.kind not in (None, *KINDS):
            raise InvalidInput([("kind", "Must be api or ui.")])
        key, colon, _ = (self.metadata or "").partition(":")
        if self.metadata is not None and not (colon and is_key(key)):
            raise InvalidInput([("metadata", "Must be key:value, such as team:payments.")])

    def scans(self) -> list[Scan]:
        """Scans that find the tokens; none if nothing can match."""
        texts = (self.q, self.owner, self.metadata, self.external_id)
        if not all(storable(text or "") for text in texts):
            return []
        if self.company is None:
            return [Scan(access_tokens, [*self._of_status, *self._selected])]
        return scans.fastest(
            self.reading,
            [
                self._by_name,
                self._by_permission,
                self._by_owner,
                self._by_metadata,
                self._by_external_id,
            ],
            self._by_status,
            self._selected,
            narrow=bool(self.status or self.kind),
        )

    def count(self, found: Sequence[Scan]) -> int:
        """How many tokens there are, as ``Page.count`` has it."""
        if self._label is not None and self._by_name is None:
            # Walking to all matches may take long where it soon finds those of a page.
            which = [*self._of_status, *self._selected_but("q")]
            some = self._label.some(which, self._in_label)
            number = scans.count(self.reading, [some])
            if number > COUNT_LIMIT:
                return number
        return scans.count(self.reading, found)

    # --- the filters as conditions of a token ---

    @cached_property
    def _of_status(self) -> _Conditions:
        """Its status and kind."""
        now = self.reading.now
        by_status: dict[str | None, _Conditions] = {
            None: [],
            "active": [
                _token.deactivated_at.is_(None),
                or_(_token.expires_at.is_(None), _token.expires_at > now),
            ],
            "expired": [_token.deactivated_at.is_(None), _token.expires_at <= now],
            "deactivated": [_token.deactivated_at.is_not(None)],
        }
        of_kind = [] if self.kind is None else [_token.kind == self.kind]
        return [*by_status[self.status], *of_kind]

    @property
    def _selected(self) -> _Conditions:
        """All filters but status and kind."""
        return self._selected_but("")

    def _selected_but(self, left_out: str) -> _Conditions:
        """All filters but status, kind, and the one that leads."""
        filters = {
            "permission": self._permitted,
            "q": self._named,
            "owner": self._owned,
            "metadata": self._noted,
            "external_id": self._known,
        }
        return [each for name, found in filters.items() if name != left_out for each in found]

    @cached_property
    def _permitted(self) -> _Conditions:
        if self.permission is None:
            return []
        return [_posted(access_token_permissions, _permission.permission.in_(self._names))]

    @property
    def _noted(self) -> _Conditions:
        return (
            []
            if self.metadata is None
            else [_posted(access_token_metadata, _entry == self.metadata)]
        )

    @property
    def _known(self) -> _Conditions:
        return [] if self.external_id is None else [_token.external_id == self.external_id]

    @property
    def _owned(self) -> _Conditions:
        return [] if self.owner is None else [_token.owner_id == self.owner]

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

    @property
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
        which = [*self._of_status, *self._selected_but("q")]
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

    @property
    def _by_owner(self) -> Way | None:
        if self.owner is None:
            return None
        ranges, few = self._statuses
        which = self._selected_but("owner")
        if self.kind is not None:
            which.append(_token.kind == self.kind)
        ours = [_token.owner_id == self.owner, func.coalesce(_token.company_id, "") == self.company]
        owned = [Scan(access_tokens, [*ours, *each]) for each in ranges]
        rows = scans.size(self.reading, owned)
        found = [replace(scan, which=which) for scan in owned]
        # As an expression, it can't make the engine choose an index of many more tokens.
        its = [func.coalesce(_token.owner_id, "") == self.owner, *ours[1:]]
        found += [Scan(access_tokens, [*each, *its], which, few=True) for each in few]
        return Way(found, rows)

    @property
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

    @property
    def _by_metadata(self) -> Way | None:
        if self.metadata is None:
            return None
        entry = [access_token_metadata.c.company_id == self.company, _entry == self.metadata]
        return self._way([Scan(access_token_metadata, entry, records=access_tokens)], "metadata")

    @property
    def _by_external_id(self) -> Way | None:
        if self.external_id is None:
            return None
        known = [_token.company_id == self.company, _token.external_id == self.external_id]
        return self._way([Scan(access_tokens, known)], "external_id")

    def _way(self, found: list[Scan], lead: str) -> Way:
        """The way along *found*, which the filter *lead* has selected."""
        which = [*self._of_status, *self._selected_but(lead)]
        rows = scans.size(self.reading, found)
        return Way([replace(scan, which=which) for scan in found], rows)

    @property
    def _by_status(self) -> list[Scan]:
        """Scans that follow the order of the list, one for each status and kind."""
        kinds = KINDS if self.kind is None else (self.kind,)
        # As expressions, they can't make the engine choose an index of many more tokens.
        ours = [
            func.coalesce(_token.company_id, "") == self.company,
            func.coalesce(_token.kind, "").in_(kinds),
        ]
        ordered, few = self._statuses
        return [
            *(
                Scan(access_tokens, [_token.company_id == self.company, _token.kind == kind, *each])
                for each in ordered
                for kind in kinds
            ),
            *(Scan(access_tokens, [*each, *ours], few=True) for each in few),
        ]

    @property
    def _statuses(self) -> tuple[list[_Conditions], list[_Conditions]]:
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
            "active": ([[lives, before, unexpired]], [early]),
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
    whole = text if text.startswith(_PREFIX) else f"{_PREFIX}{text}"
    rest = whole.removeprefix(_PREFIX)
    if not rest.isascii() or not (rest.isalnum() or text == _PREFIX):
        return None
    # Longer than an id, it can only be a token's text.
    fits = len(whole) <= ID_LENGTH or text.startswith(_PREFIX)
    return whole[:ID_LENGTH] if fits else None


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
