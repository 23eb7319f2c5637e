"""What a decision reads, and its compact bytes.

One grant per credential, one holder per user, one row of rules per company: a changed role, user or
allowlist is one row, however many tokens it concerns. The bytes are MessagePack arrays; a field is
only ever added at the end, with a default, so that nodes of two versions read each other's rows.
"""

from functools import lru_cache
from sys import intern

import msgspec
from msgspec.structs import force_setattr

from gatepass.core.networks import Networks

#: Sets of permissions kept as one object for all records that have an equal one.
_SETS_KEPT = 1_024
_LARGEST_SET_KEPT = 64


class Grant(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The facts of one credential.

    Attributes:
        id: the credential's first 21 characters.
        digest: SHA-256 of its secret.
        kind: ``api``, ``ui``, ``login`` or ``verifier``.
        company, user: ids; empty for a verifier key, which acts for the installation.
        label: what its maker called it.
        permissions: what was chosen. Empty for ``login``, which may do what its user's role may.
        networks: None is no restriction; an empty list lets no address through.
        domains: canonical entries; empty is any origin. Looked at for kind ``ui`` alone.
        expires_at: Unix time in milliseconds from which on it is refused; None is never.
        deactivated: whether it was ended for good.
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

    def __repr__(self) -> str:
        return f"Grant(id={self.id!r}, kind={self.kind!r}, deactivated={self.deactivated})"


class Holder(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The state of one user: active or not, and which role of which company."""

    id: str
    company: str
    active: bool
    role: str


class Trial(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An allowlist on trial: it counts instead of the settled one before ``until`` (Unix ms), and
    then no more, whether or not anything still runs."""

    networks: Networks
    until: int


class CompanyRules(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The state of one company.

    Attributes:
        allowlist: None is no restriction; an empty list lets no address through.
        roles: role id to what that role permits, ``resource:*`` and ``*`` as stored.
        trial: a list that counts instead for a while.
    """

    id: str
    active: bool
    allowlist: Networks | None
    roles: dict[str, frozenset[str]]
    trial: Trial | None = None

    def allowlist_at(self, now: int) -> Networks | None:
        """The allowlist that counts at *now* (Unix ms); None is no restriction."""
        if self.trial is not None and now < self.trial.until:
            return self.trial.networks
        return self.allowlist


# Sets are sorted as they are written, so that equal records are equal bytes.
_encoder = msgspec.msgpack.Encoder(order="deterministic")
_grant = msgspec.msgpack.Decoder(Grant)
_holder = msgspec.msgpack.Decoder(Holder)
_company = msgspec.msgpack.Decoder(CompanyRules)


def encode(record: Grant | Holder | CompanyRules) -> bytes:
    """The bytes that are stored and sent to other nodes."""
    return _encoder.encode(record)


def decode_grant(record: bytes) -> Grant:
    """Read a grant's bytes. Raises ``msgspec.DecodeError`` if they are not one.

    What many records have in common is one object for all of them, here and below: thousands of
    them are kept decoded, and a decision is as quick as the memory it has to fetch.
    """
    grant = _grant.decode(record)
    force_setattr(grant, "kind", intern(grant.kind))
    force_setattr(grant, "company", intern(grant.company))
    force_setattr(grant, "user", intern(grant.user))
    force_setattr(grant, "permissions", _one_for_all(grant.permissions))
    return grant


def decode_holder(record: bytes) -> Holder:
    """Read a holder's bytes. Raises ``msgspec.DecodeError`` if they are not one."""
    holder = _holder.decode(record)
    force_setattr(holder, "id", intern(holder.id))
    force_setattr(holder, "company", intern(holder.company))
    force_setattr(holder, "role", intern(holder.role))
    return holder


def decode_company(record: bytes) -> CompanyRules:
    """Read a company's rules. Raises ``msgspec.DecodeError`` if they are not some."""
    company = _company.decode(record)
    roles = {intern(role): _one_for_all(names) for role, names in company.roles.items()}
    force_setattr(company, "id", intern(company.id))
    force_setattr(company, "roles", roles)
    return company


def _one_for_all(names: frozenset[str]) -> frozenset[str]:
    # Bounded in number and in size: companies choose the sets of their tokens.
    return _kept(names) if len(names) <= _LARGEST_SET_KEPT else names


@lru_cache(_SETS_KEPT)
def _kept(names: frozenset[str]) -> frozenset[str]:
    """*names*, or the equal set that came first."""
    return names
