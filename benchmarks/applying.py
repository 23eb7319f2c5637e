"""A process of its own that moves a copy on, at a given rate, when it is told to: as often as a
feed tells of changes while one follows the other."""

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
from gatepass.web.feed.source import REST_SECONDS

PER_SECOND = 10_000
_STALENESS_MS = 60_000
#: Different frames, used over and over.
_FRAMES = 200


class Applying:
    """The process, as whoever started it sees it."""

    def __init__(self, told: Connection) -> None:
        self._told = told

    @contextmanager
    def going_on(self) -> Iterator[list[float]]:
        """Changes come meanwhile; at the end the list holds how many a second were applied."""
        rate: list[float] = []
        self._told.send(True)
        try:
            yield rate
        finally:
            self._told.send(False)
            rate.append(self._told.recv())


@contextmanager
def applying(copy: Path, size: int) -> Iterator[Applying]:
    """Start it over a *copy* of *size* grants that nobody else follows."""
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


def _run(told: Connection, path: Path, size: int) -> None:
    """Apply, as a feed's client does, what a feed's server would have sent by now."""
    file, clock = GrantFile(path), Clock()
    with closing(StreamedCopy(file, clock, "", Lock())) as copy:
        position = copy.begin()
        assert position is not None
        began_ns = clock.boot_ns()
        copy.apply(Opening(PROTOCOL, began_ns, _STALENESS_MS, False, "", "", clock.now()))
        every = int(PER_SECOND * REST_SECONDS)
        frames = _frames(size, every)
        told.send("ready")
        revision, applied = position[0], 0
        try:
            while True:
                told.recv()
                started, applied = time.monotonic(), 0
                while not told.poll(max(0.0, started + applied / PER_SECOND - time.monotonic())):
                    revision += 1
                    frame: Frame = frames[revision % len(frames)]
                    copy.apply(frame)
                    copy.apply(Reached(revision, f"{revision:016x}", clock.boot_ns()))
                    applied += every
                told.recv()
                told.send(applied / (time.monotonic() - started))
        except EOFError:
            pass


def _frames(size: int, every: int) -> list[Records]:
    random = Random(every)
    frames = []
    for _ in range(_FRAMES):
        rows = sample_grants.grant_rows(random.sample(range(size), every), revision=2)
        frames.append(pack(("grants", *row) for row in rows))
    return frames
