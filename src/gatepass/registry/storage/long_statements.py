"""Statements that run long without output, on PostgreSQL."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import Connection


@contextmanager
def without_response_timeout(connection: Connection) -> Iterator[None]:
    """Suspend the response timeout (``silent_server``). On SQLite there is none.

    Building an index sends nothing for minutes, and reading or writing a file in between keeps the
    server idle in its transaction. Enter it within a transaction, once in each.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.response_timeout_s = math.inf
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
    try:
        yield
    finally:
        # The class has the usual one.
        del driver.response_timeout_s
