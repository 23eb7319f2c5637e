"""Test data: a grant file of any size, and calls that its tokens may make.

Everything follows from a grant's number, so a million grants need no list in memory, and every
run measures the same data. The tokens are no secrets.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256, shake_256
from pathlib import Path
from random import Random

from gatepass.core.catalogue import BUILT_IN_ROLES, built_in_permissions, parse_catalogue
from gatepass.core.credentials import ACCESS_TOKEN
from gatepass.core.grants import CompanyRules, Grant, Holder, encode
from gatepass.core.networks import Network, Networks, format_address
from gatepass.registry.database import Database
from gatepass.registry.schema import create_schema
from gatepass.verify.grant_file import UPSERT

GRANTS_PER_USER = 100
GRANTS_PER_COMPANY = 1_000
NETWORKS_PER_GRANT = 5
PERMISSIONS_PER_GRANT = 6
#: Distinct ids in the paths that are called, as of a service whose busiest records repeat.
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
_ROUTES = {known.name: known.routes[0] for known in CATALOGUE.permissions if known.routes}
_COMBINATIONS = [
    frozenset(Random(seed).sample(sorted(_ROUTES), PERMISSIONS_PER_GRANT)) for seed in range(256)
]
_BITS = (32, 28, 24, 24, 20)


@dataclass(frozen=True)
class SampleCall:
    """A call that is allowed: who calls, what, from where."""

    token: str
    permission: str
    method: str
    path: str
    address: str


@dataclass(frozen=True)
class Population:
    """A grant file of *size* grants at *path*."""

    path: Path
    size: int

    @classmethod
    def build(cls, path: Path, size: int) -> "Population":
        """Make a whole registry at *path* and fill its grant tables."""
        database = Database(f"sqlite:///{path}")
        create_schema(database)
        database.close()
        with sqlite3.connect(path, isolation_level=None) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA cache_size = -1048576")
            connection.execute("BEGIN")
            connection.executemany(UPSERT["grants"], map(_grant_row, range(size)))
            connection.executemany(UPSERT["holders"], _holder_rows(size))
            connection.executemany(UPSERT["company_rules"], _company_rows(size))
            connection.execute("COMMIT")
            # As in production: readers of a file in WAL mode look for newer pages at every read.
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        return cls(path, size)

    def calls(self, count: int, seed: int = 1) -> list[SampleCall]:
        """One allowed call each for *count* different tokens, chosen at random from all."""
        random = Random(seed)
        return [_call(number, random) for number in random.sample(range(self.size), count)]

    def token(self, number: int) -> str:
        """The text of one token."""
        return _text(_body(number))


def _seed(number: int) -> bytes:
    return shake_256(number.to_bytes(8, "big")).digest(80)


def _body(number: int) -> str:
    return f"{ACCESS_TOKEN}_{_seed(number)[:48].translate(_TO_BASE62).decode()}"


def _text(body: str) -> str:
    crc, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        crc, digit = divmod(crc, 62)
        digits = chr(_BASE62[digit]) + digits
    return body + digits


def _networks(seed: bytes) -> list[Network]:
    networks = []
    for at, bits in enumerate(_BITS):
        number = int.from_bytes(seed[48 + 4 * at : 52 + 4 * at], "big") >> (32 - bits)
        networks.append(Network((number << (32 - bits)).to_bytes(4, "big"), bits))
    return networks


def _grant_row(number: int) -> tuple[str, bytes, int]:
    seed = _seed(number)
    body = seed[:48].translate(_TO_BASE62)
    grant = Grant(
        id=f"{ACCESS_TOKEN}_{body[:16].decode()}",
        digest=sha256(body[16:]).digest(),
        kind="api",
        company=_company(number),
        user=_user(number),
        label=f"Integration {number}",
        permissions=_COMBINATIONS[seed[68]],
        networks=Networks.of(_networks(seed)),
        domains=(),
        expires_at=None if seed[69] < 128 else 4_000_000_000_000,
        deactivated=False,
    )
    return grant.id, encode(grant), 1


def _user(number: int) -> str:
    return f"usr_{number // GRANTS_PER_USER:016d}"


def _company(number: int) -> str:
    return f"com_{number // GRANTS_PER_COMPANY:016d}"


def _holder_rows(size: int) -> Iterator[tuple[str, bytes, int]]:
    for number in range(0, size, GRANTS_PER_USER):
        role = ("admin", "manager", "customer-service")[number // GRANTS_PER_USER % 3]
        holder = Holder(_user(number), _company(number), True, role)
        yield holder.id, encode(holder), 1


def _company_rows(size: int) -> Iterator[tuple[str, bytes, int]]:
    roles = {
        role.id: frozenset(built_in_permissions(role.id, CATALOGUE)) for role in BUILT_IN_ROLES
    }
    for number in range(0, size, GRANTS_PER_COMPANY):
        yield _company(number), encode(CompanyRules(_company(number), True, None, roles)), 1


def _call(number: int, random: Random) -> SampleCall:
    seed = _seed(number)
    network = random.choice(_networks(seed))
    offset = random.randrange(network.size)
    address = (int.from_bytes(network.address, "big") + offset).to_bytes(4, "big")
    permission = random.choice(sorted(_COMBINATIONS[seed[68]]))
    method, path = _ROUTES[permission].split(" ")
    identifier = f"{path.split('/')[2][:2]}_{random.randrange(PATH_IDS) + 10_000_000}"
    return SampleCall(
        token=_text(_body(number)),
        permission=permission,
        method=method,
        path=path.replace("{id}", identifier),
        address=format_address(address),
    )
