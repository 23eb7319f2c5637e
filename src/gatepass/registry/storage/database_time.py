"""The time by which several machines compare what each of them reports.

A node's clock is its own: one that is hours off must not make a verifier look gone that may still
say "allowed". So where there are several machines, the database's clock is the one that counts.
"""

from sqlalchemy import text

from gatepass.registry.storage.database import Reading

#: A row dated further ahead was written by a clock that has been corrected since, and no limit
#: counts it. Not 0: nodes' clocks differ by seconds, and a request takes its time before it waits
#: for its turn, so of many at once an earlier one must still count the later ones.
AHEAD_MS = 60_000

#: PostgreSQL's own time, Unix ms, as it is when it is asked, not when the transaction began.
POSTGRESQL_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


def shared_now(reading: Reading) -> int:
    """Unix ms by the database's clock; on one machine (SQLite) that is ``reading.now``."""
    if reading.session.get_bind().dialect.name == "postgresql":
        return int(reading.session.execute(_NOW).scalar_one())
    now = reading.now
    return now


_NOW = text(f"SELECT {POSTGRESQL_NOW}")
