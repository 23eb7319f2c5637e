"""Limits for request bodies as they arrive: size, one deadline, and memory for the whole process.

Anyone who opens a connection can send a body slowly, or many at once, before they authenticate. So
an unauthenticated sender may send little, every body must be complete within ``BODY_SECONDS``, and
all bodies that a process holds at a time stay below ``MOST_HELD_BYTES``. That memory is split into
budgets, so that one kind of sender can't use up another's, and each sender has a share of its
budget, so that it can't use up the others'. This module imports no framework.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from gatepass.verify.http.header_lines import Lines

#: The largest body that anyone may send.
MOST_BODY_BYTES = 1 << 20
#: The largest body of a sender without a known credential.
UNAUTHENTICATED_BODY_BYTES = 16_384
#: The largest body of a sign-in.
SIGN_IN_BODY_BYTES = 4_096
#: The largest report of leaked credentials: a thousand of them, with room for JSON.
REPORT_BODY_BYTES = 131_072
#: Deadline of a body. Shorter than the time in which a stopping worker finishes requests.
BODY_SECONDS = 15.0
#: Limit of all bodies that a process holds at a time, over all budgets.
MOST_HELD_BYTES = 64 << 20
#: How much of a refused body is still read, and for how long.
_DRAINED_BYTES = 65_536
_DRAINING_SECONDS = 1.0
#: A connection whose body wasn't read to its end can't be used again.
CLOSE = ("connection", "close")
_KEY = "gatepass.body"
#: The whole of an IPv4 address; of an IPv6 address the /64, the least that a provider assigns.
_SOURCE_BYTES = 8

#: Bodies of the same sender count together.
Sender = str | bytes

#: Reads the next piece of a body until a deadline by the loop's clock; returns it and whether more
#: follows. Raises BodyRefused: 408, or 400 if the body broke off.
NextPiece = Callable[[float], Awaitable[tuple[bytes, bool]]]


class BodyRefused(Exception):
    """A body that isn't read any further.

    Attributes:
        status: 400 it broke off, 408 it took too long, 413 it is too large, 503 too many bodies are
            arriving, in total or from this sender.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Headers of the answer."""
        return (("retry-after", "1"),) if self.status == 503 else ()


class Budget:
    """Memory for the bodies of one kind of sender.

    Args:
        most: how many bytes may be held at a time.
        share: how many of them may be one sender's.
    """

    def __init__(self, most: int, *, share: int) -> None:
        self.most = most
        self.share = share
        self.held = 0
        # Only senders with bytes in memory.
        self._by_sender: Counter[Sender] = Counter()

    def reserve(self, sender: Sender, length: int) -> None:
        """Count bytes that arrived from *sender*.

        Raises:
            BodyRefused: 503.
        """
        of_sender = self._by_sender[sender] + length
        if of_sender > self.share or self.held + length > self.most:
            raise BodyRefused(503)
        self._by_sender[sender] = of_sender
        self.held += length

    def release(self, sender: Sender, length: int) -> None:
        """Undo :meth:`reserve`."""
        self.held -= length
        self._by_sender[sender] -= length
        if not self._by_sender[sender]:
            del self._by_sender[sender]


class Bodies:
    """The budgets of one process.

    Args:
        most_held: how many bytes of bodies may be held at a time.
        seconds: the deadline of a body.

    Attributes:
        callers: for admitted credentials; a sender is a credential.
        services: for verifier keys; a sender is a key.
        unauthenticated: for everyone else; a sender is an address, see ``source_of``.
        sign_ins: for unauthenticated senders who sign in; a sender is an address.
    """

    def __init__(self, *, most_held: int = MOST_HELD_BYTES, seconds: float = BODY_SECONDS) -> None:
        self.seconds = seconds
        part = most_held // 8
        self.callers = Budget(3 * part, share=part // 2)
        self.services = Budget(2 * part, share=part)
        self.unauthenticated = Budget(2 * part, share=part // 4)
        self.sign_ins = Budget(part, share=part // 16)


class Body:
    """One body as it arrives. A context manager that releases what the body reserved.

    Args:
        bodies: the process's budgets.
        most: how large the body may be.
        budget: the budget it counts in.
        sender: its sender, as that budget tells senders apart.

    Attributes:
        most: as given, until a credential allows a larger body.
    """

    def __init__(self, bodies: Bodies, most: int, budget: Budget, sender: Sender) -> None:
        self.most = most
        self._bodies = bodies
        self._account = (budget, sender)
        self._held: Counter[tuple[Budget, Sender]] = Counter()
        self._deadline: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give back what the body reserved."""
        for (budget, sender), length in self._held.items():
            budget.release(sender, length)
        self._held.clear()

    @property
    def seconds(self) -> float:
        """How long the body may take."""
        return self._bodies.seconds

    @property
    def deadline(self) -> float:
        """When the body must be complete, by the running loop's clock; starts at the first call."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._bodies.seconds
        return self._deadline

    def expect(self, announced: int | None) -> None:
        """Refuse a body by its Content-Length (``content_length``) before any of it is read.

        Raises:
            BodyRefused: 413 too large, or 400 the header is no length.
        """
        if announced is None:
            raise BodyRefused(400)
        if announced > self.most:
            raise BodyRefused(413)

    def receive(self, length: int) -> None:
        """Count a piece that arrived.

        Raises:
            BodyRefused: 413, or 503.
        """
        if not length:
            return
        if self._held.total() + length > self.most:
            raise BodyRefused(413)
        budget, sender = self._account
        budget.reserve(sender, length)
        self._held[budget, sender] += length

    def allow_large(self) -> None:
        """Allow ``MOST_BODY_BYTES``; not for a sign-in, which is never large."""
        if not self._is_sign_in:
            self.most = MOST_BODY_BYTES

    def authenticated(self, sender: Sender) -> None:
        """Count what follows in the callers' budget, and allow a large body; not for a sign-in.

        Only noted here, because threads call this; the budgets belong to the event loop.
        """
        if not self._is_sign_in:
            self._account = (self._bodies.callers, sender)
            self.allow_large()

    @property
    def _is_sign_in(self) -> bool:
        return self._account[0] is self._bodies.sign_ins


def attach_body(scope: MutableMapping[str, Any], body: Body) -> None:
    """Attach a request's body to its ASGI scope, for the code that checks the credential."""
    scope[_KEY] = body


def sender_authenticated(scope: MutableMapping[str, Any], sender: Sender) -> None:
    """Note that the credential *sender* of a request was admitted: its body may be large, and
    counts in the callers' budget."""
    body = scope.get(_KEY)
    if body is not None:
        body.authenticated(sender)


def allow_large_body(scope: MutableMapping[str, Any]) -> None:
    """Let a request's body be large, although it counts as unauthenticated."""
    body = scope.get(_KEY)
    if body is not None:
        body.allow_large()


def source_of(address: bytes | None) -> bytes:
    """The sender that an unauthenticated body counts for: its packed address, for IPv6 the /64.

    All requests whose address can't be determined are one sender.
    """
    return b"" if address is None else address[:_SOURCE_BYTES]


def content_length(lines: Sequence[str | None]) -> int | None:
    """The value of a request's Content-Length lines; 0 without one, None if it is no length.

    The number of digits is checked first: converting thousands of digits would be slow.
    """
    if not lines:
        return 0
    line = lines[0]
    if len(lines) > 1 or line is None or not (line.isascii() and line.isdigit()):
        return None
    return int(line) if len(line) <= 19 else 1 << 64


def has_body(lines: Lines) -> bool:
    """Whether a request's headers announce a body."""
    return bool(lines("transfer-encoding")) or content_length(lines("content-length")) != 0


async def read(next_piece: NextPiece, body: Body) -> bytes:
    """Read the whole of *body*.

    Raises:
        BodyRefused: it broke off, took too long, is too large, or too many are arriving.
    """
    pieces, more = [], True
    while more:
        piece, more = await next_piece(body.deadline)
        body.receive(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


async def drain(lines: Lines, next_piece: NextPiece) -> bool:
    """Read and drop the rest of a small body, so that the client can read the answer.

    A client that still sends would lose the answer to a connection reset. A large body isn't
    waited for.

    Returns:
        Whether the body has ended.
    """
    if not has_body(lines):
        return True
    announced = content_length(lines("content-length"))
    if announced is None or announced > _DRAINED_BYTES:
        return False
    deadline = asyncio.get_running_loop().time() + _DRAINING_SECONDS
    left, more = _DRAINED_BYTES, True
    with suppress(BodyRefused):
        while more and left > 0:
            piece, more = await next_piece(deadline)
            left -= len(piece)
        return not more
    return False
