"""Filters a feed's records by companies and permissions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from gatepass.core.credentials import ACCESS_TOKEN, LOGIN_TOKEN
from gatepass.core.errors import InvalidInput
from gatepass.core.grants import DECOY
from gatepass.core.imported_keys import IMPORTED_KEY, PREFIX, PREFIX_IDS
from gatepass.core.permissions import covers, is_wildcard, resource_wildcard
from gatepass.core.published_catalogue import IDS as CATALOGUE_IDS
from gatepass.registry.storage.revisions import ChangedRow

#: How many companies, and how many permissions, a follower may name.
MOST_NAMED = 200

_DECIDED = (f"{ACCESS_TOKEN}_", f"{LOGIN_TOKEN}_", f"{IMPORTED_KEY}_", PREFIX_IDS[0])
# A decoy has no permissions, and each follower reports its use; prefixes have none either.
_WITHOUT_PERMISSIONS = (DECOY, PREFIX)
_NONE = frozenset(("",))


@dataclass(frozen=True, slots=True)
class Limits:
    """A follower's filter. An empty set limits nothing.

    Attributes:
        companies: ids; only grants, holders and rules of these companies pass.
        permissions: only grants pass that cover one of these, exceptions included, or for
            ``resource:*`` any permission of that resource; all login grants, which hold what their
            user's role does; all decoys.
    """

    companies: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()

    def within(self, companies: frozenset[str] | None) -> "Limits":
        """These limits, for a verifier key that is limited to *companies*; None is no limit.

        Raises:
            InvalidInput: for ``company``: the follower named another.
        """
        if companies is None:
            return self
        if not self.companies <= companies:
            raise InvalidInput([("company", "Must be a company of the verifier key.")])
        # No limit would be the meaning of an empty set.
        return replace(self, companies=self.companies or companies or _NONE)

    def of(self, changes: Iterable[ChangedRow], now: int) -> list[ChangedRow]:
        """*changes* for this follower: a record outside the limits is sent as deleted.

        But another company's prefix isn't sent: its id is the prefix, which may name the company.
        It was never within the limits, as it keeps its company.

        Args:
            now: Unix ms.
        """
        found: list[ChangedRow] = []
        for table, key, record, revision in changes:
            if record is None or self._holds(table, key, record, now):
                found.append((table, key, record, revision))
            elif not key.startswith(PREFIX_IDS[0]):
                found.append((table, key, None, revision))
        return found

    def only(self, rows: Iterable[tuple[str, str, bytes, int]], now: int) -> Iterator[ChangedRow]:
        """The rows of a snapshot that are within the limits at *now* (Unix ms)."""
        return (row for row in rows if self._holds(row[0], row[1], row[2], now))

    def named(self) -> Mapping[str, Sequence[str]] | None:
        """The limits for display; None if there are none."""
        found = {"companies": sorted(self.companies), "permissions": sorted(self.permissions)}
        return {name: values for name, values in found.items() if values} or None

    def _holds(self, table: str, key: str, record: bytes, now: int) -> bool:
        try:
            return self._hold(table, key, record, now)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # A damaged record is sent: a decision that needs it fails with an error, as on a node.
            return True

    def _hold(self, table: str, key: str, record: bytes, now: int) -> bool:
        if table == "grants":
            if key in CATALOGUE_IDS:
                # The installation's, and no company's.
                return True
            # A follower decides about no other kind of credential.
            if not key.startswith(_DECIDED):
                return False
            return not (self.companies or self.permissions) or self._hold_grant(key, record, now)
        if not self.companies:
            return True
        if table == "holders":
            return _holder.decode(record).company in self.companies
        return key in self.companies

    def _hold_grant(self, key: str, record: bytes, now: int) -> bool:
        grant = _grant.decode(record)
        if self.companies and grant.company not in self.companies:
            return False
        if not self.permissions or key.startswith(LOGIN_TOKEN):
            return True
        if grant.kind in _WITHOUT_PERMISSIONS:
            return True
        held = grant.permissions
        if grant.exceptions is not None:
            held |= {name for name, until in grant.exceptions.items() if now < until}
        return any(_covers(held, wanted) for wanted in self.permissions)


def _covers(held: frozenset[str], wanted: str) -> bool:
    if is_wildcard(wanted) and any(resource_wildcard(name) == wanted for name in held):
        return True
    return covers(held, wanted)


_NIL = msgspec.Raw(b"\xc0")


class _GrantFacts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The fields of a grant's record; those that limits don't ask for aren't decoded."""

    id: msgspec.Raw
    digest: msgspec.Raw
    kind: str
    company: str
    user: msgspec.Raw
    label: msgspec.Raw
    permissions: frozenset[str]
    networks: msgspec.Raw = _NIL
    domains: msgspec.Raw = _NIL
    expires_at: msgspec.Raw = _NIL
    deactivated: msgspec.Raw = _NIL
    metadata: msgspec.Raw = _NIL
    external_id: msgspec.Raw = _NIL
    rehearsal: msgspec.Raw = _NIL
    pending: msgspec.Raw = _NIL
    issued_at: msgspec.Raw = _NIL
    exceptions: dict[str, int] | None = None


class _HolderFacts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    id: msgspec.Raw
    company: str


_grant = msgspec.msgpack.Decoder(_GrantFacts)
_holder = msgspec.msgpack.Decoder(_HolderFacts)
