"""The database's clock, the common time of several machines.

A node's clock may be hours off. That must not make a verifier look gone that may still answer
"allowed". So with several machines, reports are timed by the database's clock.
"""

from sqlalchemy import text

from gatepass.registry.storage.database import Reading

#: A row dated further ahead was written by a clock that has been corrected since; rate limits
#: ignore it. Not 0: nodes' clocks differ by seconds, and a request reads its time before it waits
#: for the lock, so an earlier request must still count concurrent ones with later times.
AHEAD_MS = 60_000

#: PostgreSQL's time, Unix ms, at the call, not at the start of the transaction.
POSTGRESQL_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


def shared_now(reading: Reading) -> int:
    """Unix ms by the database's clock; on one machine (SQLite), ``reading.now``."""
    if reading.session.get_bind().dialect.name == "postgresql":
        return int(reading.session.execute(_NOW).scalar_one())
    return reading.now


_NOW = text(f"SELECT {POSTGRESQL_NOW}")
