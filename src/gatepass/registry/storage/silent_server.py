"""A PostgreSQL connection that gives up on a server which says nothing.

"A frozen writer gives others 503, not silence": the same holds for a frozen server.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy.engine import Connection

#: A server that says nothing for this long while it is asked something counts as away.
PATIENCE_S = 5.0

_Answer = TypeVar("_Answer")


class Impatient(psycopg.Connection[Any]):
    """A connection that gives up on a silent server.

    The server's own limits don't help where the server itself is frozen, and ``tcp_user_timeout``
    doesn't where its kernel still acknowledges. The connection is closed then, so that what was
    asked can't be carried out later: without its commit it is nothing.
    """

    patience_s = PATIENCE_S

    def wait(
        self, gen: PQGen[_Answer], interval: float = 0.1, timeout: float | None = None
    ) -> _Answer:
        """Wait for what *gen* asks of the server."""
        try:
            return super().wait(_impatient(gen, self.patience_s), interval, timeout)
        except _Silence:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server doesn't answer") from None


def connect(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Impatient:
    """Open a connection with what libpq reads of *given*, else with *defaults*.

    It speaks UTF-8. By PGCLIENTENCODING, the URL, a service file, or what was set for a role or a
    database, it would else be asked to speak what can't write most names.
    """
    parameters = {**defaults, **given, "client_encoding": "UTF8"}
    return Impatient.connect(**parameters, autocommit=True)


class _Silence(Exception):
    pass


def _impatient(gen: PQGen[_Answer], patience_s: float) -> PQGen[_Answer]:
    """*gen*, given up once nothing has been heard for *patience_s*; a long answer may take longer
    in all."""
    try:
        waits_for = next(gen)
        heard = time.monotonic()
        while True:
            ready = yield waits_for
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > patience_s:
                raise _Silence
            waits_for = gen.send(ready)
    except StopIteration as end:
        answer: _Answer = end.value
        return answer


@contextmanager
def patient(connection: Connection) -> Iterator[None]:
    """Let what *connection* is asked take its time: building an index is silent work, and what is
    read or written meanwhile may keep it waiting. Call it within a transaction, and once in it."""
    driver = connection.connection.dbapi_connection
    if not isinstance(driver, Impatient):
        yield
        return
    driver.patience_s = math.inf
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
    try:
        yield
    finally:
        driver.patience_s = PATIENCE_S
