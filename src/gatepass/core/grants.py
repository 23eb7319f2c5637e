"""What a decision reads, and its compact bytes.

One grant per credential, one holder per user, one row of rules per company: a changed role, user or
allowlist is one row, however many tokens it concerns. The bytes are MessagePack arrays; a field is
only ever added at the end, with a default, so that nodes of two versions read each other's rows.
"""

import msgspec

from gatepass.core.networks import Networks


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


class CompanyRules(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The state of one company.

    Attributes:
        allowlist: None is no restriction; an empty list lets no address through.
        roles: role id to what that role permits, ``resource:*`` and ``*`` as stored.
    """

    id: str
    active: bool
    allowlist: Networks | None
    roles: dict[str, frozenset[str]]


# Sets are sorted as they are written, so that equal records are equal bytes.
_encoder = msgspec.msgpack.Encoder(order="deterministic")
_grant = msgspec.msgpack.Decoder(Grant)
_holder = msgspec.msgpack.Decoder(Holder)
_company = msgspec.msgpack.Decoder(CompanyRules)


def encode(record: Grant | Holder | CompanyRules) -> bytes:
    """The bytes that are stored and sent to other nodes."""
    return _encoder.encode(record)


def decode_grant(record: bytes) -> Grant:
    """Read a grant's bytes. Raises ``msgspec.DecodeError`` if they are not one."""
    return _grant.decode(record)


def decode_holder(record: bytes) -> Holder:
    """Read a holder's bytes. Raises ``msgspec.DecodeError`` if they are not one."""
    return _holder.decode(record)


def decode_company(record: bytes) -> CompanyRules:
    """Read a company's rules. Raises ``msgspec.DecodeError`` if they are not some."""
    return _company.decode(record)
