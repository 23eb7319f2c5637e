"""A PostgreSQL connection with a response timeout.

A frozen server must give callers 503, not silence, as a frozen writer does.
"""

import time
from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

#: A server that sends nothing for this long during a request counts as unavailable.
RESPONSE_TIMEOUT_S = 5.0

_Answer = TypeVar("_Answer")


class ResponseTimeoutConnection(psycopg.Connection[Any]):
    """A connection that closes itself when the server stops responding.

    The server's own timeouts don't help if the server itself is frozen, and ``tcp_user_timeout``
    doesn't if its kernel still acknowledges. Closing the connection prevents the server from
    carrying out the request later: without its commit it has no effect.
    """

    response_timeout_s = RESPONSE_TIMEOUT_S

    def wait(
        self, gen: PQGen[_Answer], interval: float = 0.1, timeout: float | None = None
    ) -> _Answer:
        """Wait for the server's response to *gen*."""
        try:
            return super().wait(_with_timeout(gen, self.response_timeout_s), interval, timeout)
        except _NoResponse:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server doesn't answer") from None


def connect(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> ResponseTimeoutConnection:
    """Open a connection with the libpq parameters *given*, else *defaults*.

    The client encoding is always UTF-8. PGCLIENTENCODING, the URL, a service file, or a setting of
    the role or database could else select one that can't encode most names.
    """
    parameters = {**defaults, **given, "client_encoding": "UTF8"}
    return ResponseTimeoutConnection.connect(**parameters, autocommit=True)


class _NoResponse(Exception):
    pass


def _with_timeout(gen: PQGen[_Answer], timeout_s: float) -> PQGen[_Answer]:
    """Run *gen*, and raise _NoResponse once the server has sent nothing for *timeout_s*.

    A long response may take longer in total.
    """
    try:
        waits_for = next(gen)
        heard = time.monotonic()
        while True:
            ready = yield waits_for
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > timeout_s:
                raise _NoResponse
            waits_for = gen.send(ready)
    except StopIteration as end:
        answer: _Answer = end.value
        return answer
