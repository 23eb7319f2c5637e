"""A small grant file with companies, users and tokens of every kind, and clocks for tests."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gatepass.core import credentials
from gatepass.core.errors import Unavailable
from gatepass.core.grants import CompanyRules, Grant, Holder, Rehearsal, encode
from gatepass.core.networks import Networks, parse_network
from gatepass.core.routes import Routes
from gatepass.verify.clock import Clock
from gatepass.verify.freshness import SharedMap
from gatepass.verify.grant_file import UPSERT, GrantFile, ddl
from gatepass.verify.verifier import Verifier
from tests.support.waiting import until

Record = Grant | Holder | CompanyRules

CATALOGUE = """\
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get: {title: "See a charge", routes: ["GET /v1/charges/{id}"]}
  refunds:create: {title: "Refund", routes: ["POST /v1/charges/{id}/refund"]}
"""
ROUTES = {
    "POST /v1/charges": "charges:create",
    "GET /v1/charges/{id}": "charges:get",
    "POST /v1/charges/{id}/refund": "refunds:create",
}
#: Permission names of more than two thousand bytes together.
MANY = tuple(f"resource-number-{number:03d}:create" for number in range(100))
START_MS = 1_800_000_000_000

_TABLE = {Grant: "grants", Holder: "holders", CompanyRules: "company_rules"}


class Clocks:
    """Boot clock and wall clock, which only the test moves."""

    def __init__(self) -> None:
        self.boot_ns = 5_000_000_000_000
        self.wall_ms = START_MS

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        self.boot_ns += round(seconds * 1_000_000_000)
        self.wall_ms += round(seconds * 1_000)

    def clock(self, latest_ms: int = 0, **how: Any) -> Clock:
        """A process's clock that reads these two."""
        return Clock(latest_ms, boot_ns=lambda: self.boot_ns, wall_ms=lambda: self.wall_ms, **how)


class Samples:
    """A grant file with tokens of every kind.

    Attributes:
        file: the grant file.
        texts: name: the token's text.
        grants: name: the token's grant.
        records: all records stored at first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = self._connect()
        for statement in ddl("sqlite"):
            self.connection.execute(statement)
        self.connection.execute(
            "CREATE TABLE revision (id INTEGER PRIMARY KEY, number INTEGER, tag TEXT)"
        )
        self.connection.execute("INSERT INTO revision VALUES (1, 0, '')")
        self.file = GrantFile(path)
        self.texts: dict[str, str] = {}
        self.grants: dict[str, Grant] = {}
        self._fill()

    def close(self) -> None:
        self.connection.close()

    def in_this_process(self) -> "Samples":
        """The same samples for a forked process: with its own connection."""
        mine = object.__new__(Samples)
        mine.__dict__.update(self.__dict__)
        mine.connection = self._connect()
        return mine

    def verifier(self, clock: Clock | None = None, **how: Any) -> Verifier:
        """A new verifier, as in another process."""
        return Verifier(GrantFile(self.path), clock or Clock(), Routes(ROUTES.items()), **how)

    def put(self, *records: Record) -> None:
        """Commit records as the registry does."""
        self.begin(*records)
        with self.file.writing():
            self.connection.execute("COMMIT")

    def begin(self, *records: Record) -> None:
        """Write records, and leave the transaction open."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("UPDATE revision SET number = number + 1, tag = hex(randomblob(8))")
        for record in records:
            self.connection.execute(
                UPSERT[_TABLE[type(record)]],
                {"id": record.id, "record": encode(record), "revision": 1},
            )

    def changed(self, name: str, **facts: Any) -> Grant:
        """A token's grant with changed fields, not stored."""
        return msgspec.structs.replace(self.grants[name], **facts)

    def change(self, name: str, **facts: Any) -> None:
        """Change fields of a token's grant, and commit."""
        self.put(self.changed(name, **facts))

    def token(self, name: str, prefix: str = "gpat", **facts: Any) -> Grant:
        """Create a token's text and its grant, not stored."""
        new = credentials.make(prefix)
        kind = {"gpat": "api", "gplt": "login", "gpvk": "verifier"}.get(prefix, "api")
        usual: dict[str, Any] = {
            "kind": kind,
            "company": "cmp_1",
            "user": "usr_dev",
            "label": f"the {name} one",
            "permissions": frozenset() if kind == "login" else frozenset(ROUTES.values()),
            "networks": None,
            "domains": (),
            "expires_at": None,
            "deactivated": False,
        }
        if kind == "verifier":
            usual |= {"company": "", "user": "", "permissions": frozenset()}
        grant = Grant(id=new.id, digest=new.digest, **(usual | facts))
        self.texts[name], self.grants[name] = new.text, grant
        return grant

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        # Tests need not survive a power cut.
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def _fill(self) -> None:
        developer = frozenset({"charges:create", "charges:get", *MANY})
        roles = {"developer": developer, "admin": frozenset({"*"}), "nobody": frozenset[str]()}
        self.records: list[Record] = [
            CompanyRules("cmp_1", True, None, roles),
            CompanyRules("cmp_listed", True, networks("203.0.113.0/24", "2001:db8::/32"), roles),
            CompanyRules("cmp_closed", False, None, roles),
            Holder("usr_dev", "cmp_1", True, "developer", name="Dev"),
            Holder("usr_admin", "cmp_1", True, "admin"),
            Holder("usr_nobody", "cmp_1", True, "nobody"),
            Holder("usr_gone", "cmp_1", False, "developer"),
            Holder("usr_listed", "cmp_listed", True, "developer"),
            Holder("usr_closed", "cmp_closed", True, "developer"),
            self.token("good"),
            self.token("deactivated", deactivated=True),
            self.token("pending", deactivated=True, pending=True),
            self.token(
                "rehearsed",
                deactivated=True,
                rehearsal=Rehearsal(START_MS, START_MS + 3_600_000, 100),
            ),
            self.token("expired", expires_at=1),
            self.token("lasting", expires_at=START_MS + 60_000),
            self.token("gone", user="usr_gone"),
            self.token("closed", user="usr_closed", company="cmp_closed"),
            self.token("listed", user="usr_listed", company="cmp_listed"),
            self.token("networked", networks=networks("198.51.100.0/24")),
            self.token("ui", kind="ui", domains=("shop.example.com", "*.example.org")),
            self.token("ui anywhere", kind="ui"),
            self.token("poor", user="usr_nobody"),
            self.token("wide", user="usr_admin", permissions=frozenset({"charges:*"})),
            self.token("many", permissions=frozenset({"charges:get", *MANY})),
            self.token("login", "gplt"),
            self.token("admin login", "gplt", user="usr_admin"),
            self.token("verifier", "gpvk"),
            self.token("ended verifier", "gpvk", deactivated=True),
            # The registry stores none of these as grants. Even so, they must not act as tokens.
            self.token("invitation", "gpiv"),
            self.token("reset", "gprs"),
            self.token("email change", "gpec"),
        ]
        self.put(*self.records)
        self.token("unknown")
        good = self.texts["good"]
        self.texts["wrong secret"] = another_secret(good)
        self.texts["bad checksum"] = good[:-1] + ("0" if good[-1] != "0" else "1")
        self.texts["empty"] = ""


def reason(verifier: Verifier, text: str) -> str:
    """The reason of the decision about a call, or why there is none."""
    try:
        return verifier.check(text, permission="charges:get").reason
    except Unavailable as error:
        return error.reason


def until_decided(verifier: Verifier, text: str, expected: str) -> None:
    """Wait until the decision about *text* has that reason."""
    until(lambda: reason(verifier, text) == expected, lambda: reason(verifier, text))


def networks(*texts: str) -> Networks:
    """Parse a list of networks."""
    return Networks.of(map(parse_network, texts))


def another_secret(text: str) -> str:
    """A well-formed text with the id of *text* and another secret."""
    body = text[:21] + credentials.make("gpat").text[21:53]
    return body + credentials._checksum(body.encode())


def make_map(directory: Path) -> SharedMap:
    """A shared map without a grant file."""
    return SharedMap(directory / "grants.db-map")


def header_lines(headers: Iterable[tuple[str, bytes | str]]) -> Any:
    """A look-up of headers by name, as both ports pass it to the endpoints."""
    lines: Mapping[str, list[str | None]] = {}
    found: dict[str, list[str | None]] = dict(lines)
    for name, value in headers:
        raw = value.encode("utf-8") if isinstance(value, str) else value
        found.setdefault(name.lower(), []).append(raw.decode() if raw.isascii() else None)
    return lambda name: found.get(name, ())
