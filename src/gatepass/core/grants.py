"""The records that a decision reads, and their compact encoding.

One grant per credential, one holder per owner, one record of rules per company: changing a role, an
owner or an allowlist writes one row, however many tokens it affects. The encoding is MessagePack
arrays. New fields are only appended, with a default, so that nodes of two versions read each
other's rows.
"""

from functools import lru_cache
from sys import intern
from typing import Final

import msgspec
from msgspec.structs import astuple, force_setattr

from gatepass.core.networks import Networks

#: Sets of permissions that are shared by all records with an equal set.
_SETS_KEPT = 1_024
_LARGEST_SET_KEPT = 64


#: Types of owners.
USER: Final = "user"
SERVICE_ACCOUNT: Final = "service_account"
EXTERNAL: Final = "external"
_EXTERNAL_ROLE = "external/"
_NOTHING: frozenset[str] = frozenset()
#: The kind of a token that is made to be found: every use is refused like an unknown token's.
DECOY: Final = "decoy"


class Rehearsal(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A deactivation on trial: for a while, part of a token's calls is refused.

    It ends by the clock alone, even if no process runs.

    Attributes:
        start, until: Unix ms.
        share: of the calls that are refused, in percent.
    """

    start: int
    until: int
    share: int


class Grant(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One credential.

    Attributes:
        id: the credential's first 21 characters.
        digest: SHA-256 of its secret.
        kind: ``api``, ``ui``, ``decoy``, ``login``, ``verifier``, ``limited-verifier``, ``admin``
            or ``portal``.
        company, user: ids; empty for a verifier key, which acts for the installation. ``user`` is
            the owner's, who isn't always a user. An admin key has no user, and a company only if it
            is limited to one.
        label: chosen by its creator.
        permissions: chosen by its creator. Empty for ``login``, which has its user's role's. For
            ``admin`` its areas; for ``limited-verifier`` the ids of its companies; for ``portal``
            what a token that is created in it may hold. A reader that doesn't know one of these
            kinds refuses it.
        networks: None is no restriction; an empty list allows no address.
        domains: canonical entries; empty is any origin. Only for kind ``ui``. For ``portal`` the
            origins it may be used from, and empty is none.
        expires_at: Unix time in milliseconds from which it is refused; None is never.
        deactivated: permanently; if it is *pending*, only until it is approved; with a *rehearsal*
            not at all. A reader that doesn't know these refuses the token.
        metadata: what other programs note of it; None if there is nothing. No decision reads it.
        external_id: the id that one of them knows it by, likewise.
        rehearsal: None if there is none.
        pending: a second person must approve it first.
        issued_at: when it was created, in Unix seconds; None if that isn't known. No decision
            reads it.
        exceptions: permissions that it holds besides its own, each until a time (Unix ms); None if
            there are none. A reader that doesn't know them refuses these calls.
    """

    id: str
    digest: bytes
    kind: str
    company: str
    user: str
    label: str
    permissions: frozenset[str]
    networks: Networks | None
    domains: tuple[str, ...]
    expires_at: int | None
    deactivated: bool
    metadata: dict[str, str] | None = None
    external_id: str | None = None
    rehearsal: Rehearsal | None = None
    pending: bool = False
    issued_at: int | None = None
    exceptions: dict[str, int] | None = None

    def excepted(self, now: int) -> frozenset[str]:
        """The permissions of the exceptions that are in effect at *now* (Unix ms)."""
        if self.exceptions is None:
            return _NOTHING
        return frozenset(name for name, until in self.exceptions.items() if now < until)

    @property
    def ended(self) -> bool:
        """Whether it is deactivated, and neither pending nor just in rehearsal."""
        return self.deactivated and not self.pending and self.rehearsal is None

    def __repr__(self) -> str:
        return f"Grant(id={self.id!r}, kind={self.kind!r}, deactivated={self.deactivated})"


class Holder(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The owner of tokens: a user, a service account or an external owner.

    Attributes:
        role: a key of its company's ``roles``; for an external owner ``external_role`` of one.
        type: ``user``, ``service_account`` or ``external``.
        external_id: the id that the owner has in another product, if any.
    """

    id: str
    company: str
    active: bool
    role: str
    type: str = USER
    name: str = ""
    external_id: str | None = None


class Trial(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An allowlist on trial: it replaces the saved one before ``until`` (Unix ms).

    It ends by the clock alone, even if no process runs.
    """

    networks: Networks
    until: int


class CompanyRules(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The rules of one company.

    Attributes:
        allowlist: None is no restriction; an empty list allows no address.
        roles: role id to the role's permissions, with ``resource:*`` and ``*`` as stored; and
            ``external_role`` of it to those that it grants external owners.
        trial: a list that replaces *allowlist* for a while.
    """

    id: str
    active: bool
    allowlist: Networks | None
    roles: dict[str, frozenset[str]]
    trial: Trial | None = None

    def allowlist_at(self, now: int) -> Networks | None:
        """The allowlist in effect at *now* (Unix ms); None is no restriction."""
        if self.trial is not None and now < self.trial.until:
            return self.trial.networks
        return self.allowlist


# Sets are encoded sorted, so that equal records have equal bytes.
_encoder = msgspec.msgpack.Encoder(order="deterministic")
_grant = msgspec.msgpack.Decoder(Grant)
_holder = msgspec.msgpack.Decoder(Holder)
_company = msgspec.msgpack.Decoder(CompanyRules)


def encode(record: Grant | Holder | CompanyRules) -> bytes:
    """Encode a record, for the database and other nodes."""
    if type(record) is Grant:
        # Most have none of the fields that were appended, and stay as short as without them.
        values = list(astuple(record))
        for default in reversed(Grant.__struct_defaults__):
            if values[-1] != default:
                break
            values.pop()
        return _encoder.encode(values)
    return _encoder.encode(record)


def decode_grant(record: bytes) -> Grant:
    """Decode a grant. Raises ``msgspec.DecodeError`` if the bytes aren't one."""
    return _grant.decode(record)


def share_values(grant: Grant) -> Grant:
    """*grant*, which from now on refers to the objects of other records for values equal to theirs.

    For a grant that is cached, below as well for holders and companies: thousands of them are, and
    a decision is as fast as the memory it reads.
    """
    force_setattr(grant, "kind", intern(grant.kind))
    force_setattr(grant, "company", intern(grant.company))
    force_setattr(grant, "user", intern(grant.user))
    force_setattr(grant, "permissions", _shared(grant.permissions))
    return grant


def decode_holder(record: bytes) -> Holder:
    """Decode a holder. Raises ``msgspec.DecodeError`` if the bytes aren't one."""
    holder = _holder.decode(record)
    force_setattr(holder, "id", intern(holder.id))
    force_setattr(holder, "company", intern(holder.company))
    force_setattr(holder, "role", intern(holder.role))
    force_setattr(holder, "type", intern(holder.type))
    return holder


def decode_company(record: bytes) -> CompanyRules:
    """Decode a company's rules. Raises ``msgspec.DecodeError`` if the bytes aren't those."""
    company = _company.decode(record)
    roles = {intern(role): _shared(names) for role, names in company.roles.items()}
    force_setattr(company, "id", intern(company.id))
    force_setattr(company, "roles", roles)
    return company


def external_role(role: str) -> str:
    """The key, in a company's roles, of what the role with id *role* grants external owners.

    They have fewer permissions than users with the same role. Stored as a role of their own, they
    bind verifiers of earlier releases, too.
    """
    return _EXTERNAL_ROLE + role


def role_of_key(key: str) -> str:
    """The id of the role that a key of a company's roles, perhaps an ``external_role``, is of."""
    return key.removeprefix(_EXTERNAL_ROLE)


def is_external_role(key: str) -> bool:
    """Whether a key of a company's roles is an ``external_role``."""
    return key.startswith(_EXTERNAL_ROLE)


def _shared(names: frozenset[str]) -> frozenset[str]:
    # Bounded in number and in size: companies choose the sets of their tokens.
    return _first_equal(names) if len(names) <= _LARGEST_SET_KEPT else names


@lru_cache(_SETS_KEPT)
def _first_equal(names: frozenset[str]) -> frozenset[str]:
    """*names*, or the equal set that came first."""
    return names
