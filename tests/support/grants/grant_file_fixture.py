"""A grant file whose rows are written as the registry publishes them."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from gatepass.core.credentials import ACCESS_TOKEN, ID_LENGTH, make
from gatepass.core.grants import CompanyRules, Grant, Holder, decode_grant, encode
from gatepass.core.networks import Networks, parse_network
from gatepass.verify.grant_file import UPSERT, GrantFile, ddl

ROLE = frozenset({"charges:create", "charges:get", "charges:refund"})


@dataclass(frozen=True)
class Grants:
    """A grant file with one user of one company, and a writer of its rows."""

    path: Path

    def put(self, table: str, id: str, record: bytes) -> None:
        file = GrantFile(self.path)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(UPSERT[table], {"id": id, "record": record, "revision": 1})
            with file.writing():
                connection.execute("COMMIT")

    def token(
        self,
        *,
        kind: str = "api",
        permissions: frozenset[str] = frozenset({"charges:create", "charges:get"}),
        networks: tuple[str, ...] | None = None,
        domains: tuple[str, ...] = (),
        expires_at: int | None = None,
        deactivated: bool = False,
    ) -> str:
        """Create a token; its text."""
        new = make(ACCESS_TOKEN)
        grant = Grant(
            id=new.id,
            digest=new.digest,
            kind=kind,
            company="com_1",
            user="usr_1",
            label="a test's",
            permissions=permissions,
            networks=None if networks is None else Networks.of(map(parse_network, networks)),
            domains=domains,
            expires_at=expires_at,
            deactivated=deactivated,
        )
        self.put("grants", new.id, encode(grant))
        return new.text

    def deactivate(self, text: str) -> None:
        """Deactivate a token."""
        id = text[:ID_LENGTH]
        record = GrantFile(self.path).record("grants", id)
        assert record is not None
        self.put("grants", id, encode(replace(decode_grant(record), deactivated=True)))


def new_grant_file(path: Path) -> Grants:
    """Create a grant file with one user of one company."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in [*ddl("sqlite"), "CREATE TABLE alembic_version (version_num TEXT)"]:
            connection.execute(statement)
    grants = Grants(path)
    rules = CompanyRules("com_1", True, None, {"cashier": ROLE})
    grants.put("holders", "usr_1", encode(Holder("usr_1", "com_1", True, "cashier")))
    grants.put("company_rules", "com_1", encode(rules))
    return grants
