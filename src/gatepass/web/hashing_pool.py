"""A bounded, fair queue for password hashing, with its own threads.

Hashing a password takes a fraction of a second of a whole core. On the shared threads, a flood of
sign-ins would leave none for users who are signed in already.

There are two lanes. Jobs of a session, of a valid link, or of an address from which the account was
recently signed in to go first. Unknown senders get every fourth turn, so that they don't starve.
Within a lane sources take turns, and so do accounts: however many attempts one /64 sends, or one
account gets, the wait of others is short. When a lane is full and a source with fewer waiting jobs
than another adds one, the last job of the source with the most is dropped.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from gatepass.core.errors import Busy
from gatepass.registry.actor import Actor
from gatepass.registry.authentication.throttling import Attempt, source_of

T = TypeVar("T")

# One more than hash at once, so that hashing goes on while a job waits for the database.
_THREADS = 3
# A job takes up to half a second where there are few processors.
_MOST_WAITING = 50
_LONGEST_WAIT_S = 20.0
_UNKNOWN_TURN = 4


@dataclass(frozen=True, slots=True)
class Place:
    """The account and source that a job counts for, and its lane.

    Attributes:
        account: names the account.
        source: the address, for IPv6 the /64.
        first: whether the job goes before those of unknown senders.
    """

    account: str
    source: str | None
    first: bool

    @classmethod
    def of_attempt(cls, attempt: Attempt) -> "Place":
        """For a sign-in."""
        return cls(attempt.account, attempt.source, attempt.known)

    @classmethod
    def of_link(cls, email: str, address: str) -> "Place":
        """For a valid link that was mailed to *email*."""
        return cls(email, source_of(address), first=True)

    @classmethod
    def of_actor(cls, actor: Actor) -> "Place":
        """For a signed-in user."""
        return cls(actor.user or "", source_of(actor.address), first=True)


@dataclass(slots=True, eq=False)
class _Job:
    place: Place
    round: int
    work: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


class _Lane:
    """Jobs in rounds; a round has at most one job of each source and of each account."""

    def __init__(self) -> None:
        self._jobs: list[_Job] = []
        self._round = 0

    def add(self, place: Place, work: Callable[[], Any], most: int) -> tuple[_Job, _Job | None]:
        """Add a job; returns it and the job that was dropped for it.

        Raises:
            Busy: the lane is full, and no source or account has more jobs than this one's.
        """
        rounds = [
            job.round
            for job in self._jobs
            if job.place.source == place.source or job.place.account == place.account
        ]
        job = _Job(place, 1 + max(rounds, default=self._round), work)
        dropped = None
        if len(self._jobs) >= most:
            self._jobs = [one for one in self._jobs if not one.future.cancelled()]
        if len(self._jobs) >= most:
            # Among several in the last round, the latest.
            dropped = max(reversed(self._jobs), key=lambda one: one.round, default=None)
            if dropped is None or dropped.round <= job.round:
                raise Busy
            self._jobs.remove(dropped)
        self._jobs.append(job)
        return job, dropped

    def take(self) -> _Job | None:
        """Remove and return the next job; None if there is none."""
        if not self._jobs:
            return None
        job = min(self._jobs, key=lambda one: one.round)
        self._jobs.remove(job)
        self._round = job.round
        return job


class HashingQueue:
    """Runs jobs on a few threads in fair order.

    Args:
        threads: the number of threads.
        most_waiting: how many jobs may wait in each lane.
    """

    def __init__(self, threads: int = _THREADS, most_waiting: int = _MOST_WAITING) -> None:
        self._idle = threads
        self._most_waiting = most_waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gatepass_hashing")
        self._lock = Lock()
        self._first, self._unknown = _Lane(), _Lane()
        self._turns = 0

    def submit(self, place: Place, work: Callable[[], T]) -> "Future[T]":
        """Queue *work*. A job whose future is cancelled before its turn never runs.

        Raises:
            Busy: too many jobs are waiting; the future raises it if the job is dropped.
        """
        with self._lock:
            lane = self._first if place.first else self._unknown
            job, dropped = lane.add(place, work, self._most_waiting)
            begins = self._idle > 0
            if begins:
                self._idle -= 1
        if begins:
            self._pool.submit(self._run)
        if dropped is not None and dropped.future.set_running_or_notify_cancel():
            dropped.future.set_exception(Busy())
        return job.future

    def _run(self) -> None:
        while True:
            with self._lock:
                job = self._next()
                if job is None:
                    self._idle += 1
                    return
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                result = job.work()
            except BaseException as error:
                job.future.set_exception(error)
            else:
                job.future.set_result(result)

    def _next(self) -> _Job | None:
        self._turns += 1
        lanes = [self._first, self._unknown]
        if self._turns % _UNKNOWN_TURN == 0:
            lanes.reverse()
        return lanes[0].take() or lanes[1].take()


_queue = HashingQueue()


async def hashing(place: Place, work: Callable[[], T]) -> T:
    """Run *work*, which hashes or checks a password, in its turn.

    Raises:
        Busy: too many jobs are waiting, or the turn didn't come within 20 s.
    """
    future = _queue.submit(place, work)
    waited = asyncio.wrap_future(future)
    try:
        done, _ = await asyncio.wait((waited,), timeout=_LONGEST_WAIT_S)
        # A job that has started can't be cancelled, so its result is awaited and returned.
        if not done and future.cancel():
            raise Busy
        return await waited
    finally:
        # The client is gone: a job that hasn't started needn't run.
        waited.cancel()
