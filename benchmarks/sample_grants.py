"""Sample grants, each derived from its number.

So ten million grants need no list in memory, and every run measures the same data. The tokens are
no secrets. A grant's bytes are assembled from prepared parts, since encoding ten million of them
one by one would take minutes. ``record`` encodes a grant with the product's own code, and
``Population.build`` compares the two.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b, sha256
from random import Random

import msgspec

from gatepass.core.catalogue import BUILT_IN_ROLES, built_in_permissions, parse_catalogue
from gatepass.core.grants import CompanyRules, Grant, Holder, encode
from gatepass.core.networks import Network, Networks, format_address

GRANTS_PER_USER = 100
GRANTS_PER_COMPANY = 1_000
PERMISSIONS_PER_GRANT = 6
#: Distinct ids in the called paths, as in a service whose busiest records repeat.
PATH_IDS = 600

CATALOGUE_TEXT = """\
permissions:
  charges:create:   {title: Create charges,      routes: ["POST /v1/charges"]}
  charges:get:      {title: See one charge,      routes: ["GET /v1/charges/{id}"]}
  charges:search:   {title: List charges,        routes: ["GET /v1/charges"]}
  charges:capture:  {title: Capture charges,     routes: ["POST /v1/charges/{id}/capture"]}
  charges:refund:   {title: Refund charges,      routes: ["POST /v1/charges/{id}/refund"]}
  refunds:get:      {title: See one refund,      routes: ["GET /v1/refunds/{id}"]}
  refunds:search:   {title: List refunds,        routes: ["GET /v1/refunds"]}
  customers:create: {title: Add customers,       routes: ["POST /v1/customers"]}
  customers:get:    {title: See one customer,    routes: ["GET /v1/customers/{id}"]}
  customers:search: {title: List customers,      routes: ["GET /v1/customers"]}
  customers:modify: {title: Change customers,    routes: ["PATCH /v1/customers/{id}"]}
  payouts:get:      {title: See one payout,      routes: ["GET /v1/payouts/{id}"]}
  payouts:search:   {title: List payouts,        routes: ["GET /v1/payouts"]}
  webhooks:create:  {title: Add webhooks,        routes: ["POST /v1/webhooks"]}
  webhooks:search:  {title: List webhooks,       routes: ["GET /v1/webhooks"]}
  webhooks:delete:  {title: Remove webhooks,     routes: ["DELETE /v1/webhooks/{id}"]}
"""
CATALOGUE = parse_catalogue(CATALOGUE_TEXT)

_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TO_BASE62 = bytes(_BASE62[byte % 62] for byte in range(256))
#: An id begins with its number's digits, the lowest first: neighbouring numbers have distant ids,
#: and the numbers can still be enumerated in the order of their ids.
_PAIRS = [chr(low) + chr(high) for high in _BASE62 for low in _BASE62]
_ROUTES = {known.name: known.routes[0] for known in CATALOGUE.permissions if known.routes}
_COMBINATIONS = [
    frozenset(Random(seed).sample(sorted(_ROUTES), PERMISSIONS_PER_GRANT)) for seed in range(256)
]
_EXPIRES_AT = 4_000_000_000_000

# Five disjoint, ordered IPv4 networks: the first octet's upper bits are fixed, the rest is random.
_BITS = (32, 28, 24, 24, 20)
NETWORKS_PER_GRANT = len(_BITS)
_HOSTS = int.from_bytes(b"".join(((1 << (32 - bits)) - 1).to_bytes(4, "big") for bits in _BITS))
_GIVEN = int.from_bytes(b"".join(bytes((32 * at, 0, 0, 0)) for at in range(1, 6)))
_DRAWN = int.from_bytes(b"\x1f\xff\xff\xff" * 5) & ~_HOSTS
_five = struct.Struct("4s4s4s4s4s").unpack
_four_bytes = b"\xc4\x04"  # MessagePack: four bytes follow


@dataclass(frozen=True)
class SampleCall:
    """An allowed call."""

    token: str
    permission: str
    method: str
    path: str
    address: str


Row = tuple[str, bytes, int]


def text(number: int) -> str:
    """The text of one token."""
    identifier, secret, _ = _parts(number)
    body = f"{identifier}{secret.decode()}"
    crc, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        crc, digit = divmod(crc, 62)
        digits = chr(_BASE62[digit]) + digits
    return body + digits


def call(number: int, random: Random) -> SampleCall:
    """A call that one token may make, chosen at random."""
    _, _, seed = _parts(number)
    address, bits = random.choice([*zip(_firsts(seed), _BITS, strict=True)])
    packed = int.from_bytes(address) + random.randrange(1 << (32 - bits))
    permission = random.choice(sorted(_COMBINATIONS[seed[0]]))
    method, path = _ROUTES[permission].split(" ")
    target = f"{path.split('/')[2][:2]}_{random.randrange(PATH_IDS) + 10_000_000}"
    return SampleCall(
        token=text(number),
        permission=permission,
        method=method,
        path=path.replace("{id}", target),
        address=format_address(packed.to_bytes(4)),
    )


def record(number: int) -> bytes:
    """A grant's bytes, encoded by the product."""
    identifier, secret, seed = _parts(number)
    networks = [Network(a, bits) for a, bits in zip(_firsts(seed), _BITS, strict=True)]
    return encode(
        Grant(
            id=identifier,
            digest=sha256(secret).digest(),
            kind="api",
            company=_company(number),
            user=_user(number),
            label=_label(number),
            permissions=_COMBINATIONS[seed[0]],
            networks=Networks.of(networks),
            domains=(),
            expires_at=None if seed[1] < 128 else _EXPIRES_AT,
            deactivated=False,
        )
    )


def grant_rows(numbers: Iterable[int], revision: int = 1) -> list[Row]:
    """The grants of *numbers* as rows of a grant file."""
    rows = []
    for number in numbers:
        identifier, secret, seed = _parts(number)
        first = int.from_bytes(seed[44:]) & _DRAWN | _GIVEN
        body = _TEMPLATE % (
            identifier.encode(),
            sha256(secret).digest(),
            number // GRANTS_PER_COMPANY,
            number // GRANTS_PER_USER,
            number,
            _PERMISSIONS[seed[0]],
            _four_bytes.join(_five(first.to_bytes(20))),
            _four_bytes.join(_five((first | _HOSTS).to_bytes(20))),
            _NEVER if seed[1] < 128 else _EXPIRES,
        )
        rows.append((identifier, body, revision))
    return rows


def in_order(size: int, start: int = 0, step: int = 1) -> Iterator[int]:
    """The numbers below *size* that equal *start* modulo *step* (a power of 62), ordered by id.

    SQLite inserts ordered rows faster.
    """
    if step >= size:
        yield start
        return
    for number in range(start, min(size, start + 62 * step), step):
        yield from in_order(size, number, step * 62)


def holder_rows(size: int) -> Iterator[Row]:
    """The users of *size* grants."""
    for number in range(0, size, GRANTS_PER_USER):
        role = ("admin", "manager", "customer-service")[number // GRANTS_PER_USER % 3]
        holder = Holder(_user(number), _company(number), True, role)
        yield holder.id, encode(holder), 1


def company_rows(size: int) -> Iterator[Row]:
    """The companies of *size* grants."""
    roles = {
        role.id: frozenset(built_in_permissions(role.id, CATALOGUE)) for role in BUILT_IN_ROLES
    }
    for number in range(0, size, GRANTS_PER_COMPANY):
        yield _company(number), encode(CompanyRules(_company(number), True, None, roles)), 1


def _parts(number: int) -> tuple[str, bytes, bytes]:
    """A grant's id, its secret, and 64 bytes from which the rest is derived."""
    seed = blake2b(number.to_bytes(8)).digest()
    drawn = seed[:44].translate(_TO_BASE62)
    higher, lower = divmod(number, len(_PAIRS))
    return f"gpat_{_PAIRS[lower]}{_PAIRS[higher]}{drawn[:12].decode()}", drawn[12:], seed


def _firsts(seed: bytes) -> tuple[bytes, ...]:
    return _five((int.from_bytes(seed[44:]) & _DRAWN | _GIVEN).to_bytes(20))


def _user(number: int) -> str:
    return f"usr_{number // GRANTS_PER_USER:016d}"


def _company(number: int) -> str:
    return f"com_{number // GRANTS_PER_COMPANY:016d}"


def _label(number: int) -> str:
    return f"Integration {number:08d}"


# An array of eleven, as ``record`` encodes it.
_TEMPLATE = (
    b"\x9b\xb5%b\xc4\x20%b\xa3api\xb4com_%016d\xb4usr_%016d\xb4Integration %08d%b"
    b"\x94\x95\xc4\x04%b\x95\xc4\x04%b\x90\x90\x90%b\xc2"
)
_PERMISSIONS = [msgspec.msgpack.encode(sorted(names)) for names in _COMBINATIONS]
_NEVER, _EXPIRES = b"\xc0", b"\xcf" + _EXPIRES_AT.to_bytes(8)
