"""The queue for work that hashes passwords: bounded, fair, on threads of its own.

Hashing a password takes a fraction of a second of a whole core. On the threads that everything else
runs on, a flood of sign-ins would leave none for anyone who is signed in already.

There are two lanes. A session, a good link, or an address from which the account was opened lately
goes first. Strangers get every fourth turn, so that they aren't starved either. Within a lane
sources take turns, and so do accounts: however many attempts one /64 sends, or are made on one
account, another's wait is short. A full lane makes room for a source that has less waiting than
another by dropping the last job of the one that has most.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from gatepass.core.errors import Unavailable
from gatepass.registry.actor import Actor
from gatepass.registry.authentication.throttling import Attempt, source_of

T = TypeVar("T")

# One more than hash at once, so that the database's share of the work doesn't keep hashing waiting.
_THREADS = 3
# Each takes up to half a second where there are few processors.
_MOST_WAITING = 50
_LONGEST_WAIT_S = 20.0
_STRANGERS_TURN = 4
_BUSY = "Too many people are signing in at once. Try again in a moment."


@dataclass(frozen=True, slots=True)
class Place:
    """Who waits.

    Attributes:
        account: names the account; source: the address, IPv6 by its /64.
        first: whether they go before strangers.
    """

    account: str
    source: str | None
    first: bool

    @classmethod
    def of_attempt(cls, attempt: Attempt) -> "Place":
        """Of somebody who signs in."""
        return cls(attempt.account, attempt.source, attempt.known)

    @classmethod
    def of_link(cls, email: str, address: str) -> "Place":
        """Of somebody who follows a good link that was mailed to *email*."""
        return cls(email, source_of(address), first=True)

    @classmethod
    def of_actor(cls, actor: Actor) -> "Place":
        """Of somebody who is signed in."""
        return cls(actor.user or "", source_of(actor.address), first=True)


@dataclass(slots=True, eq=False)
class _Job:
    place: Place
    round: int
    work: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


class _Lane:
    """Jobs in rounds: in each there is at most one of a source, and one of an account."""

    def __init__(self) -> None:
        self._jobs: list[_Job] = []
        self._round = 0

    def add(self, place: Place, work: Callable[[], Any], most: int) -> tuple[_Job, _Job | None]:
        """Add a job; it, and the one that was dropped for it.

        Raises:
            Unavailable: the lane is full, and nobody in it has had more than this one.
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
            # Of several in the last round, the latest.
            dropped = max(reversed(self._jobs), key=lambda one: one.round, default=None)
            if dropped is None or dropped.round <= job.round:
                raise Unavailable(_BUSY)
            self._jobs.remove(dropped)
        self._jobs.append(job)
        return job, dropped

    def take(self) -> _Job | None:
        """The next job; None if there is none."""
        if not self._jobs:
            return None
        job = min(self._jobs, key=lambda one: one.round)
        self._jobs.remove(job)
        self._round = job.round
        return job


class HashingQueue:
    """Does work on a few threads, fairly.

    Args:
        threads: how many.
        most_waiting: how many jobs wait in each lane.
    """

    def __init__(self, threads: int = _THREADS, most_waiting: int = _MOST_WAITING) -> None:
        self._idle = threads
        self._most_waiting = most_waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gatepass_hashing")
        self._lock = Lock()
        self._first, self._strangers = _Lane(), _Lane()
        self._turns = 0

    def submit(self, place: Place, work: Callable[[], T]) -> "Future[T]":
        """Have *work* done when it is its turn. It is never begun once the future is cancelled.

        Raises:
            Unavailable: too many are waiting already; also raised by the future, if somebody else
                took the place.
        """
        with self._lock:
            lane = self._first if place.first else self._strangers
            job, dropped = lane.add(place, work, self._most_waiting)
            begins = self._idle > 0
            if begins:
                self._idle -= 1
        if begins:
            self._pool.submit(self._run)
        if dropped is not None and dropped.future.set_running_or_notify_cancel():
            dropped.future.set_exception(Unavailable(_BUSY))
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
        lanes = [self._first, self._strangers]
        if self._turns % _STRANGERS_TURN == 0:
            lanes.reverse()
        return lanes[0].take() or lanes[1].take()


_queue = HashingQueue()


async def hashing(place: Place, work: Callable[[], T]) -> T:
    """Do *work*, which hashes or checks a password, when it is its turn.

    Raises:
        Unavailable: too many are waiting already, or it took too long for the turn to come.
    """
    future = _queue.submit(place, work)
    waited = asyncio.wrap_future(future)
    try:
        done, _ = await asyncio.wait((waited,), timeout=_LONGEST_WAIT_S)
        # Work that has begun can't be cancelled: what became of it is what is answered.
        if not done and future.cancel():
            raise Unavailable(_BUSY)
        return await waited
    finally:
        # Nobody is left to be answered: what hasn't begun needn't.
        waited.cancel()
