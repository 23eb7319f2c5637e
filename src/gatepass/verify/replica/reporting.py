"""Reports of a follower to its server: the copy's position, and the use counts.

Sent from a separate thread over a separate connection, so that they never delay the stream.
"""

import logging
import threading
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

import msgspec

from gatepass.core.errors import GatepassError
from gatepass.core.observed_call import CountedCall
from gatepass.log_limit import LogLimit
from gatepass.verify.backoff import Backoff
from gatepass.verify.replica.grant_copy import Position
from gatepass.verify.replica.http_feed import FeedRefused, ReportConnection
from gatepass.verify.spools import Batch, Line, Spool, by_kind, spools, unreported_ms

#: Positions reached within this time are acknowledged as one.
REPORT_SECONDS = 0.25
#: An unchanged position is acknowledged again after this long, in case the node that received it
#: died before passing it on.
ACKNOWLEDGE_AGAIN_SECONDS = 10.0
USE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 4.0
_PORTION_BYTES = 1 << 18
# Portions of one spool before the next spool's turn.
_MOST_PORTIONS = 16

_log = logging.getLogger("gatepass.follower")
_encode = msgspec.json.Encoder().encode


class _Folded(msgspec.Struct):
    folded_to: int


class Reporter:
    """Sends the reports of one service.

    Args:
        connection: to the server.
        use_directory: of the spools of this service's processes.
    """

    def __init__(self, connection: ReportConnection, use_directory: Path) -> None:
        self._connection = connection
        self._use_directory = use_directory
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._position: tuple[str, Position] | None = None
        self._acknowledged: tuple[str, Position] | None = None
        self._acknowledged_at = 0.0
        self._folded: dict[str, int] = {}
        # All calls up to then (``time.monotonic``) were reported; None before the first report.
        self._use_until: float | None = None
        # Whether calls will never be reported: the server refused them.
        self._skipped = False
        self._log_limit = LogLimit()

    def set_position(self, node: str, position: Position) -> None:
        """Acknowledge *position*: every process of this service decides by it from now on."""
        if self._position != (node, position):
            self._position = (node, position)
            self._woken.set()

    def run(self) -> None:
        """Send reports until ``close``; back off while the server can't be reached."""
        backoff = Backoff(2 * REPORT_SECONDS, _LONGEST_PAUSE_SECONDS)
        use_at = 0.0
        while not self._closed.is_set():
            self._woken.wait(REPORT_SECONDS)
            try:
                self._acknowledge()
                if time.monotonic() >= use_at:
                    self._send_use()
                    use_at = time.monotonic() + USE_SECONDS
                backoff.reset()
                pause = REPORT_SECONDS
            except (GatepassError, OSError, HTTPException, msgspec.DecodeError) as error:
                why = error.message if isinstance(error, GatepassError) else type(error).__name__
                if not self._closed.is_set() and self._log_limit.left_out(why) is not None:
                    _log.warning("the position and use counts can't be reported: %s", why)
                pause = backoff.pause()
            self._closed.wait(pause)
        self._connection.close()

    def close(self) -> None:
        """End ``run``."""
        self._closed.set()
        self._woken.set()

    def close_inherited(self) -> None:
        """In a fork: close the inherited descriptor."""
        self._connection.close_inherited()

    def _acknowledge(self) -> None:
        self._woken.clear()
        reached, now = self._position, time.monotonic()
        if reached is None or (
            reached == self._acknowledged
            and now - self._acknowledged_at < ACKNOWLEDGE_AGAIN_SECONDS
        ):
            return
        node, (revision, tag) = reached
        name = "acknowledgement"
        if self._use_until is not None:
            # Not in the body, where a server of a former release refuses it.
            name += f"?use_age_ms={round((now - self._use_until) * 1000)}"
        self._connection.post(name, _encode({"node": node, "revision": revision, "tag": tag}))
        self._acknowledged, self._acknowledged_at = reached, now

    def _send_use(self) -> None:
        now, now_ns = time.monotonic(), time.time_ns()
        found = list(spools(self._use_directory))
        complete = True
        for spool in found:
            complete &= self._send_spool(spool)
        if complete and not self._skipped:
            self._use_until = now - unreported_ms(found, now_ns) / 1000
        names = {spool.name for spool in found}
        self._folded = {name: end for name, end in self._folded.items() if name in names}

    def _send_spool(self, spool: Spool) -> bool:
        """Send what is new in a spool; returns whether that is all."""
        folded = self._folded.get(spool.name, 0)
        for _ in range(_MOST_PORTIONS):
            if folded >= spool.size:
                break
            end, lines = spool.portion(folded, _PORTION_BYTES)
            # A previous follower may have sent more already: continue after that.
            folded = self._folded[spool.name] = self._send_lines(spool.name, folded, end, lines)
        if spool.finished and folded >= spool.size:
            # Remove the file first: a name that the server has forgotten must never be sent again.
            spool.remove()
            self._send(spool.name, spool.size, spool.size, finished=True)
        return folded >= spool.size

    def _send_lines(self, name: str, start: int, end: int, lines: list[Line]) -> int:
        """Send some lines, or as many of them as the server takes; returns where to continue."""
        batches, calls = by_kind(lines)
        # A former release refuses the calls, and counts the use.
        for sent in (calls, ()) if calls else ((),):
            try:
                return self._send(name, start, end, batches=batches, calls=sent)
            except FeedRefused as error:
                if error.status not in (413, 422):
                    raise
                if self._log_limit.left_out(error.status) is not None:
                    _log.error("the server refused counts of %s: %s", name, error.message)
        # The server will never accept these counts. Skip them, so that later ones arrive.
        self._skipped = True
        return self._send(name, start, end)

    def _send(
        self,
        spool: str,
        start: int,
        end: int,
        *,
        batches: Sequence[Batch] = (),
        calls: Sequence[CountedCall] = (),
        finished: bool = False,
    ) -> int:
        use = {"spool": spool, "start": start, "end": end, "batches": batches, "finished": finished}
        if calls:
            use["calls"] = calls
        answer = self._connection.post("use", _encode(use))
        return msgspec.json.decode(answer, type=_Folded).folded_to
