"""Requests for password resets: taken in memory, carried out by a background thread.

A request is answered before anybody looks whether there is such an account. A thread looks at the
requests once a second, whenever they came: so neither the answer nor the next one on the same
connection takes longer where there is an account. What no account asks for writes nothing.

Requests are bounded in number, per source and in all. Those that are still waiting when the process
is killed are lost; people ask again.
"""

import logging
from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from gatepass.core.errors import GatepassError
from gatepass.registry.authentication import throttling
from gatepass.registry.input.emails import fold_email
from gatepass.registry.membership import password_resets
from gatepass.registry.storage.database import Database

_MOST_WAITING = 1_000
_MOST_SOURCES = 10_000
_LOGGED_EVERY_MS = 60_000

_log = logging.getLogger("gatepass.password_resets")


class _Request(NamedTuple):
    email: str
    address: str


class ResetRequests:
    """The requests that this process has taken.

    Args:
        now: the node's time, Unix ms.
        enqueued: called after mail was enqueued.
    """

    def __init__(
        self, database: Database, now: Callable[[], int], enqueued: Callable[[], None]
    ) -> None:
        self._database = database
        self._now = now
        self._enqueued = enqueued
        self._lock = Lock()
        # By e-mail address: one that is asked for again and again is looked at once.
        self._waiting: dict[str, _Request] = {}
        self._asked: Counter[str | None] = Counter()
        self._asked_since = 0
        self._logged_at = 0

    def take(self, email: str, address: str) -> None:
        """Take a request, or drop it without a word to whoever asks: one too many from this source,
        or in all."""
        folded = fold_email(email)
        with self._lock:
            dropped = self._drops(throttling.source_of(address), folded)
            if folded and not dropped:
                self._waiting.setdefault(folded, _Request(email, address))
            logs = dropped and self._now() >= self._logged_at + _LOGGED_EVERY_MS
            if logs:
                self._logged_at = self._now()
        if logs:
            _log.warning("requests for password resets are dropped: too many %s", dropped)

    def handle(self) -> None:
        """Carry out what was taken."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
        try:
            self._carry_out(list(taken.values()))
        except GatepassError as error:
            # They have their answer already, and will ask again.
            _log.warning("password resets couldn't be requested: %s", error.reason)

    def _carry_out(self, taken: list[_Request]) -> None:
        if not taken:
            return
        with self._database.read(self._now()) as reading:
            due = [one for one in taken if password_resets.is_due(reading, one.email)]
        for one in due:
            with self._database.auxiliary_write(self._now()) as write:
                password_resets.request(write, one.email, one.address)
        if due:
            self._enqueued()

    def _drops(self, source: str | None, folded: str) -> str:
        """Why a request is dropped; "" if it isn't."""
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
