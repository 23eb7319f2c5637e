"""A process that applies changes to a copy at a given rate while enabled.

It commits as often as a feed sends changes that follow one another.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from threading import Lock

from benchmarks import sample_grants
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.frames import PROTOCOL, Frame, Opening, Reached, Records, pack
from gatepass.verify.replica.streamed_copy import StreamedCopy
from gatepass.web.feed.source import SHORTEST_REST_SECONDS

PER_SECOND = 10_000
_STALENESS_MS = 60_000
#: Number of different frames, which are used in turn.
_FRAMES = 200


class Applying:
    """The parent's handle of the process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    @contextmanager
    def changing(self) -> Iterator[list[float]]:
        """Apply changes within the block; afterwards the list holds the rate per second."""
        rate: list[float] = []
        self._pipe.send(True)
        try:
            yield rate
        finally:
            self._pipe.send(False)
            rate.append(self._pipe.recv())


@contextmanager
def applying(copy: Path, size: int) -> Iterator[Applying]:
    """Start the process on a *copy* of *size* grants that no other process updates."""
    spawn = get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_run, args=(there, copy, size))
    process.start()
    there.close()
    try:
        assert here.recv() == "ready"
        yield Applying(here)
    finally:
        here.close()
        process.join(10)


def _run(pipe: Connection, path: Path, size: int) -> None:
    """Apply the changes that a feed's server would have sent by now, as its client does."""
    file, clock = GrantFile(path), Clock()
    with closing(StreamedCopy(file, clock, "", Lock())) as copy:
        position = copy.begin()
        assert position is not None
        began_ns = clock.boot_ns()
        copy.apply(Opening(PROTOCOL, began_ns, _STALENESS_MS, False, "", "", clock.now()))
        every = int(PER_SECOND * SHORTEST_REST_SECONDS)
        frames = _frames(size, every)
        pipe.send("ready")
        revision, applied = position[0], 0
        try:
            while True:
                pipe.recv()
                started, applied = time.monotonic(), 0
                while not pipe.poll(max(0.0, started + applied / PER_SECOND - time.monotonic())):
                    revision += 1
                    frame: Frame = frames[revision % len(frames)]
                    copy.apply(frame)
                    copy.apply(Reached(revision, f"{revision:016x}", clock.boot_ns()))
                    applied += every
                pipe.recv()
                pipe.send(applied / (time.monotonic() - started))
        except EOFError:
            pass


def _frames(size: int, every: int) -> list[Records]:
    random = Random(every)
    frames = []
    for _ in range(_FRAMES):
        rows = sample_grants.grant_rows(random.sample(range(size), every), revision=2)
        frames.append(pack(("grants", *row) for row in rows))
    return frames
