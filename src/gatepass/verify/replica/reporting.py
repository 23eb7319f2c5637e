"""What a follower outside a node tells the server: how far its copy has come, and the counted use.

On a thread and a connection of its own, so that it never delays the stream.
"""

import logging
import threading
import time
from http.client import HTTPException
from pathlib import Path

import msgspec

from gatepass.core.errors import GatepassError
from gatepass.verify.replica.grant_copy import Position
from gatepass.verify.replica.http_feed import Line, Refused
from gatepass.verify.usage import Batch, Spool, spools

#: Positions reached in quick succession are told as one.
TELL_SECONDS = 0.25
#: Told again although nothing changed: what a node that died had not passed on yet.
TELL_AGAIN_SECONDS = 10.0
USE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 4.0
_PORTION_BYTES = 1 << 18
# Of one spool, before it is another's turn.
_MOST_PORTIONS = 16

_log = logging.getLogger("gatepass.follower")
_encode = msgspec.json.Encoder().encode


class _Folded(msgspec.Struct):
    folded_to: int


class Reporter:
    """Tells the server what became of what it sent.

    Args:
        line: where to.
        use_directory: where this service's processes spool what they counted.
    """

    def __init__(self, line: Line, use_directory: Path) -> None:
        self._line = line
        self._use_directory = use_directory
        self._news = threading.Event()
        self._closed = threading.Event()
        self._reached: tuple[str, Position] | None = None
        self._told: tuple[str, Position] | None = None
        self._told_at = 0.0
        self._folded: dict[str, int] = {}

    def reached(self, node: str, position: Position) -> None:
        """From now on every process of this service decides by *position*."""
        if self._reached != (node, position):
            self._reached = (node, position)
            self._news.set()

    def run(self) -> None:
        """Tell it all, until it is closed."""
        pause = TELL_SECONDS
        use_at = 0.0
        while not self._closed.is_set():
            self._news.wait(TELL_SECONDS)
            try:
                self._acknowledge()
                if time.monotonic() >= use_at:
                    self._send_use()
                    use_at = time.monotonic() + USE_SECONDS
                pause = TELL_SECONDS
            except (GatepassError, OSError, HTTPException, msgspec.DecodeError) as error:
                if pause == TELL_SECONDS and not self._closed.is_set():
                    said = (
                        error.message if isinstance(error, GatepassError) else type(error).__name__
                    )
                    _log.warning("what this service has reached and used can't be told: %s", said)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._closed.wait(pause)
        self._line.close()

    def close(self) -> None:
        """End it."""
        self._closed.set()
        self._news.set()

    def abandon(self) -> None:
        """Let go of a connection that was merely inherited."""
        self._line.abandon()

    def _acknowledge(self) -> None:
        self._news.clear()
        reached = self._reached
        now = time.monotonic()
        if reached is None or (reached == self._told and now - self._told_at < TELL_AGAIN_SECONDS):
            return
        node, (revision, tag) = reached
        self._line.post(
            "acknowledgement", _encode({"node": node, "revision": revision, "tag": tag})
        )
        self._told, self._told_at = reached, now

    def _send_use(self) -> None:
        there = list(spools(self._use_directory))
        for spool in there:
            self._send_spool(spool)
        names = {spool.name for spool in there}
        self._folded = {name: end for name, end in self._folded.items() if name in names}

    def _send_spool(self, spool: Spool) -> None:
        folded = self._folded.get(spool.name, 0)
        for _ in range(_MOST_PORTIONS):
            if folded >= spool.size:
                break
            end, batches = spool.portion(folded, _PORTION_BYTES)
            try:
                now_folded = self._send(spool.name, folded, end, batches)
            except Refused as error:
                if error.status not in (413, 422):
                    raise
                # It will never be taken: rather lose these counts than all that come after.
                _log.error("counts of %s were not taken: %s", spool.name, error.message)
                now_folded = self._send(spool.name, folded, end, [])
            # Where it had been folded to by whoever followed before us is where to go on.
            folded = self._folded[spool.name] = now_folded
        if spool.finished and folded >= spool.size:
            # The file first: a name that the server has forgotten must never be sent again.
            spool.remove()
            self._send(spool.name, spool.size, spool.size, [], finished=True)

    def _send(
        self, spool: str, start: int, end: int, batches: list[Batch], finished: bool = False
    ) -> int:
        use = {"spool": spool, "start": start, "end": end, "batches": batches, "finished": finished}
        said = self._line.post("use", _encode(use))
        return msgspec.json.decode(said, type=_Folded).folded_to
