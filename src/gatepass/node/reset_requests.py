"""Queues password reset requests in memory and handles them in the background.

A request is answered before anything checks whether the account exists. A background task handles
the queue once a second, independently of the requests' timing. So neither the answer nor the next
one on the same connection takes longer if the account exists. An unknown account causes no write.

The number of requests is limited, per source and in total. Requests in the queue are lost when the
process is killed; users can ask again.
"""

import logging
from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from gatepass.core.errors import GatepassError
from gatepass.log_limit import LogLimit
from gatepass.registry.authentication import throttling
from gatepass.registry.input.emails import fold_email
from gatepass.registry.membership import password_resets
from gatepass.registry.storage.database import Database

_MOST_WAITING = 1_000
_MOST_SOURCES = 10_000

_log = logging.getLogger("gatepass.password_resets")


class _Request(NamedTuple):
    email: str
    address: str


class ResetRequests:
    """The queue of this process.

    Args:
        now: the node's time, Unix ms.
        enqueued: called after mail was enqueued.
        operators_only: drop the requests of all others, who have no use for a password.
    """

    def __init__(
        self,
        database: Database,
        now: Callable[[], int],
        enqueued: Callable[[], None],
        *,
        operators_only: bool = False,
    ) -> None:
        self._database = database
        self._now = now
        self._enqueued = enqueued
        self._operators_only = operators_only
        self._lock = Lock()
        # By e-mail address, so that repeated requests are handled once.
        self._waiting: dict[str, _Request] = {}
        self._asked: Counter[str | None] = Counter()
        self._asked_since = 0
        self._log_limit = LogLimit()

    def take(self, email: str, address: str) -> None:
        """Enqueue a request, or silently drop it if there are too many, from its source or in
        total."""
        folded = fold_email(email)
        with self._lock:
            dropped = self._drops(throttling.source_of(address), folded)
            if folded and not dropped:
                self._waiting.setdefault(folded, _Request(email, address))
        if dropped and self._log_limit.left_out("dropped") is not None:
            _log.warning("password reset requests are dropped: too many %s", dropped)

    def handle(self) -> None:
        """Handle all requests in the queue."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
        try:
            self._carry_out(list(taken.values()))
        except GatepassError as error:
            # Not retried: the users have their answer, and can ask again.
            if self._log_limit.left_out(error.reason) is not None:
                _log.warning("password reset requests failed: %s", error.reason)

    def _carry_out(self, taken: list[_Request]) -> None:
        if not taken:
            return
        with self._database.read(self._now()) as reading:
            due = [
                one
                for one in taken
                if password_resets.is_due(reading, one.email, operators_only=self._operators_only)
            ]
        for one in due:
            with self._database.auxiliary_write(self._now()) as write:
                password_resets.request(
                    write, one.email, one.address, operators_only=self._operators_only
                )
        if due:
            self._enqueued()

    def _drops(self, source: str | None, folded: str) -> str:
        """Why to drop a request; "" to keep it."""
        now = self._now()
        if now >= self._asked_since + throttling.WINDOW_MS or len(self._asked) >= _MOST_SOURCES:
            self._asked.clear()
            self._asked_since = now
        self._asked[source] += 1
        if self._asked[source] > throttling.MOST_PER_ADDRESS:
            return "from one address"
        if len(self._waiting) >= _MOST_WAITING and folded not in self._waiting:
            return "at once"
        return ""
