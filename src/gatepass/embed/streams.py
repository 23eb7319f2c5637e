"""The parts of a streaming answer, broken off when its call would no longer be allowed.

For WSGI, and for Django, whose middleware has the answer itself. See ``asgi_connection`` for ASGI.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from errno import ECONNRESET
from typing import Any, TypeVar

from gatepass.core.decision import Decision
from gatepass.verify.verifier import Verifier
from gatepass.verify.watching import Watch

_Part = TypeVar("_Part")


class Stream(Iterator[_Part]):
    """The parts of an answer of a synchronous application.

    A part that the application is still making can't be interrupted: the answer breaks off when it
    is made, and it isn't sent. The exception is what a socket raises whose peer has gone: servers
    close the connection, so that the client doesn't take the answer for a complete one.
    """

    def __init__(
        self, parts: Iterable[_Part], verifier: Verifier, decisions: Sequence[Decision]
    ) -> None:
        self._parts = parts
        self._iterator = iter(parts)
        self._verifier = verifier
        self._decisions = decisions
        self._begun = False
        self._watches: list[Watch] = []
        self._ended: str | None = None

    def __next__(self) -> _Part:
        """The next part.

        Raises:
            ConnectionResetError: the call would no longer be allowed.
        """
        if not self._begun:
            # Most answers have one part.
            self._begun = True
            return next(self._iterator)
        if not self._watches:
            self._watches = [self._verifier.watch(each, self._end) for each in self._decisions]
        try:
            if self._ended is None:
                part = next(self._iterator)
            if self._ended is not None:
                raise ConnectionResetError(ECONNRESET, f"no longer allowed: {self._ended}")
        except BaseException:
            _cancel(self._watches)
            raise
        return part

    def close(self) -> None:
        """Close the application's answer; servers call this at the end."""
        _cancel(self._watches)
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()

    def _end(self, reason: str) -> None:
        self._ended = reason


class AsyncStream(AsyncIterator[_Part]):
    """The parts of an answer of an asynchronous Django application.

    Django treats a cancelled answer as one whose client has gone: it stops without an error, and
    the server breaks the connection off.
    """

    def __init__(self, parts: Any, verifier: Verifier, decisions: Sequence[Decision]) -> None:
        self._parts = parts
        self._iterator: AsyncIterator[_Part] = aiter(parts)
        self._verifier = verifier
        self._decisions = decisions
        self._ended = False
        self._task: asyncio.Task[Any] | None = None
        self._watches: list[Watch] = []

    async def __anext__(self) -> _Part:
        """The next part.

        Raises:
            CancelledError: the call would no longer be allowed.
        """
        if self._task is None:
            # Django makes and sends all parts in one task.
            self._task = asyncio.current_task()
            self._watches = [
                self._verifier.watch(decision, self._refused) for decision in self._decisions
            ]
        if self._ended:
            raise asyncio.CancelledError
        try:
            return await anext(self._iterator)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop watching; Django calls this at the end, as for every answer's content."""
        _cancel(self._watches)

    def _refused(self, reason: str) -> None:
        """Called on a thread of the verifier."""
        assert self._task is not None
        # The loop may have been closed.
        with suppress(RuntimeError):
            self._task.get_loop().call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._watches and self._task is not None:
            self._ended = True
            self._task.cancel()


def _cancel(watches: list[Watch]) -> None:
    while watches:
        watches.pop().cancel()
