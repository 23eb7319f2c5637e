"""A grant file of any size, and calls that its tokens may make."""

import sqlite3
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from random import Random

from benchmarks import sample_grants
from benchmarks.sample_grants import Row, SampleCall
from gatepass.core.credentials import make
from gatepass.core.grants import Grant, encode
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import create_schema
from gatepass.verify.grant_file import UPSERT

#: From this size on, several processes create the rows.
_MANY = 100_000
#: The number of those processes, and the number of parts they share.
_PROCESSES, _PARTS = 2, 62 * 62


@dataclass(frozen=True)
class Population:
    """A grant file of *size* grants at *path*."""

    path: Path
    size: int

    @classmethod
    def build(cls, path: Path, size: int) -> "Population":
        """Create a registry at *path* and fill its grant tables."""
        for number in range(0, size, max(1, size // 100)):
            (row,) = sample_grants.grant_rows([number])
            assert row[1] == sample_grants.record(number), "the prepared parts are out of date"
        with closing(grant_rows(size)) as grants:
            # Fork the other processes before this one opens a database.
            first = next(grants)
            database = Database(f"sqlite:///{path}")
            create_schema(database)
            database.close()
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA cache_size = -65536")
                connection.execute("BEGIN")
                # In the order of a copy that was rebuilt (grant_file.TABLES).
                connection.executemany(UPSERT["company_rules"], sample_grants.company_rows(size))
                connection.executemany(UPSERT["holders"], sample_grants.holder_rows(size))
                connection.executemany(UPSERT["grants"], first)
                for rows in grants:
                    connection.executemany(UPSERT["grants"], rows)
                connection.execute("COMMIT")
                # As in production: in WAL mode, every read checks for newer pages.
                connection.execute("PRAGMA journal_mode = WAL")
        return cls(path, size)

    def calls(self, count: int, seed: int = 1) -> list[SampleCall]:
        """One allowed call each for *count* different tokens, chosen at random from all."""
        random = Random(seed)
        numbers = random.sample(range(self.size), count)
        return [sample_grants.call(number, random) for number in numbers]

    def verifier_key(self) -> str:
        """Add a verifier key; its text."""
        new = make("gpvk")
        grant = Grant(
            new.id, new.digest, "verifier", "", "", "bench", frozenset(), None, (), None, False
        )
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            row = {"id": grant.id, "record": encode(grant), "revision": 1}
            connection.execute(UPSERT["grants"], row)
        return new.text

    def token(self, number: int) -> str:
        """The text of one token."""
        return sample_grants.text(number)


def grant_rows(size: int) -> Generator[list[Row], None, None]:
    """All rows of *size* grants ordered by id, in parts."""
    if size < _MANY:
        yield sample_grants.grant_rows(sample_grants.in_order(size))
        return
    with Pool(_PROCESSES) as pool:
        starts = sample_grants.in_order(_PARTS)
        yield from pool.imap(partial(_part, size), starts, chunksize=4)


def _part(size: int, start: int) -> list[Row]:
    return sample_grants.grant_rows(sample_grants.in_order(size, start, _PARTS))
