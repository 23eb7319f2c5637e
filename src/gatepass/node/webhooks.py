"""Sends events to webhooks: one thread for the queue, one for all requests.

A slow webhook delays no other: each has a request of its own, and more while few are under way. The
requests wait for their receivers on one event loop, and nothing of ours waits for them.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from gatepass.core.errors import Unavailable
from gatepass.core.networks import Networks
from gatepass.log_limit import LogLimit
from gatepass.registry.authentication.encryption import EncryptionKey
from gatepass.registry.storage.database import Database
from gatepass.registry.webhooks import queue, signing
from gatepass.registry.webhooks.queue import Claimed, Outcome, Receiver
from gatepass.settings import Settings
from gatepass.verify.periodic_task import PeriodicTask

if TYPE_CHECKING:
    from gatepass.node.webhook_requests import Requests

#: Events that another process has written are found after this long.
_INTERVAL_SECONDS = 1.0
#: Requests at once: to one webhook, beyond the first of each, and in all.
MOST_OF_WEBHOOK = 4
_MOST_MORE = 128
_MOST_AT_ONCE = 256

_log = logging.getLogger("gatepass.webhooks")


class Webhooks:
    """Sends events.

    Args:
        key: decrypts the secrets that sign.
        now: the node's time, Unix ms.
        requests: sends the requests; made at the first one by default.

    Attributes:
        task: sends due events in the background, in the process that has the node's duties.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        key: EncryptionKey,
        now: Callable[[], int],
        requests: "Requests | None" = None,
    ) -> None:
        self._networks = Networks.of(settings.webhook_networks)
        self._database = database
        self._key = key
        self._now = now
        self._requests = requests
        self._log_limit = LogLimit()
        # By webhook; an attempt is under way until its outcome is recorded.
        self._under_way: Counter[str] = Counter()
        self._finished: deque[tuple[Receiver, Claimed, Outcome]] = deque()
        self.task = PeriodicTask(
            "webhooks", self.send_due, _INTERVAL_SECONDS, log=_log, failure="sending events failed"
        )

    def wake(self) -> None:
        """Send due events at once if this process sends the node's."""
        self.task.wake()

    def close(self) -> None:
        """Stop the requests under way. They are repeated once their leases expire.

        Call it when the task has stopped.
        """
        if self._requests is not None:
            self._requests.close()
        with suppress(Unavailable):
            self._settle()

    def send_due(self) -> None:
        """Record what has finished, and begin to send what is due. Waits for no receiver.

        Raises:
            Unavailable: the database can't be used.
        """
        self._settle()
        self._resume()
        for receiver, deliveries in self._due():
            try:
                keys = [self._key.decrypt(one, owner=receiver.id) for one in receiver.sealed]
            except Unavailable:
                # Logged; perhaps another node has the key.
                continue
            with self._database.auxiliary_write(self._now()) as write:
                claimed_now = queue.claim(write, deliveries)
            for claimed in claimed_now:
                self._send(receiver, keys, claimed)

    def _settle(self) -> None:
        while self._finished:
            receiver, claimed, outcome = finished = self._finished.popleft()
            # Only an outage brings it back: one that can't be recorded mustn't block the others,
            # and is sent again when its lease has expired.
            self._under_way[receiver.id] -= 1
            try:
                with self._database.auxiliary_write(self._now()) as write:
                    queue.settle(write, claimed, outcome)
            except Unavailable:
                self._under_way[receiver.id] += 1
                self._finished.appendleft(finished)
                raise
            self._log_trouble(receiver, claimed, outcome)

    def _resume(self) -> None:
        with self._database.read(self._now()) as reading:
            left = queue.any_resuming(reading)
        while left:
            with self._database.auxiliary_write(self._now()) as write:
                left = queue.resume_some(write)

    def _due(self) -> list[tuple[Receiver, list[str]]]:
        """What to send: to each webhook, the ids of deliveries."""
        found = []
        self._under_way += Counter()  # without zeros
        with self._database.read(self._now()) as reading:
            room = _MOST_AT_ONCE - self._under_way.total()
            more = _MOST_MORE - (self._under_way.total() - len(self._under_way))
            receivers = queue.receivers(reading) if room > 0 else []
            for receiver in sorted(receivers, key=lambda each: self._under_way[each.id]):
                own = self._under_way[receiver.id]
                most = (own == 0) + min(max(more, 0), MOST_OF_WEBHOOK - max(own, 1))
                deliveries = queue.due(reading, receiver.id, min(most, room)) if most > 0 else []
                if deliveries:
                    found.append((receiver, deliveries))
                    room -= len(deliveries)
                    more -= len(deliveries) - (own == 0)
                if room <= 0:
                    break
        return found

    def _send(self, receiver: Receiver, keys: list[bytes], claimed: Claimed) -> None:
        headers = signing.signed_headers(keys, claimed.event_id, self._now(), claimed.payload)
        self._under_way[receiver.id] += 1
        posted = self._made_requests().begin(
            receiver.url,
            company=receiver.company,
            by_operator=receiver.by_operator,
            headers=headers,
            payload=claimed.payload,
        )
        posted.add_done_callback(partial(self._finish, receiver, claimed))

    def _finish(self, receiver: Receiver, claimed: Claimed, posted: "Future[Outcome]") -> None:
        if posted.cancelled():
            return
        error = posted.exception()
        outcome = posted.result() if error is None else Outcome(None, "connection_failed", 0)
        self._finished.append((receiver, claimed, outcome))
        self.task.wake()

    def _log_trouble(self, receiver: Receiver, claimed: Claimed, outcome: Outcome) -> None:
        # A receiver that is down fails every event: each webhook is logged once a minute.
        if outcome.accepted or (left_out := self._log_limit.left_out(receiver.id)) is None:
            return
        more = f"; {left_out} more since the last such line" if left_out else ""
        why = outcome.trouble or f"status {outcome.status}"
        _log.info("webhook %s: %s (delivery %s%s)", receiver.id, why, claimed.id, more)

    def _made_requests(self) -> "Requests":
        if self._requests is None:
            # Imported here: the command line, which sends nothing, needs no HTTP client.
            from gatepass.node.webhook_requests import Requests

            self._requests = Requests(self._networks)
        return self._requests
