"""Request bodies while they arrive: size limits, one deadline, and a ceiling for a whole process.

Whoever opens a connection can send a body slowly, or many at once, before anyone knows who it is.
So a sender without a known credential may send little, every body has to be complete within
``BODY_SECONDS``, and all bodies that a process holds at a time stay below ``MOST_HELD_BYTES``; half
of that is out of reach for senders who aren't known. No framework is imported here.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

#: The largest body that anyone may send.
MOST_BODY_BYTES = 1 << 20
#: The largest body of a sender whose credential isn't known.
STRANGERS_BODY_BYTES = 16_384
#: The largest body of a sign-in.
SIGN_IN_BODY_BYTES = 4_096
#: A body is complete within this time. Less than a stopping worker waits for requests under way.
BODY_SECONDS = 15.0
#: All bodies that a process holds at a time.
MOST_HELD_BYTES = 64 << 20
#: What is still read of a body that is refused, and for how long.
_DISCARDED_BYTES = 65_536
_DISCARDING_SECONDS = 1.0
#: A connection on which a body wasn't read to its end can't be used again.
CLOSE = ("connection", "close")
_KEY = "gatepass.body"

#: Waits for a body's next piece until a moment by the loop's clock; the piece, and whether more
#: follows. Raises BodyRefused: 408, or 400 if the body broke off.
NextPiece = Callable[[float], Awaitable[tuple[bytes, bool]]]
#: The values of one header's lines in order; None for a line whose bytes can't be read.
Lines = Callable[[str], Sequence[str | None]]


class BodyRefused(Exception):
    """A body that isn't read on.

    Attributes:
        status: 400 it broke off, 408 it took too long, 413 it is too large, 503 too many bodies are
            arriving.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What the answer says besides."""
        return (("retry-after", "1"),) if self.status == 503 else ()


class Bodies:
    """All request bodies of one process.

    Args:
        most_held: the ceiling of what is held at a time, in bytes.
        seconds: the time that a body may take.
    """

    def __init__(self, *, most_held: int = MOST_HELD_BYTES, seconds: float = BODY_SECONDS) -> None:
        self.most_held = most_held
        self.seconds = seconds
        self.held = 0


class Body:
    """One body as it arrives. A context manager; what is held of it counts until its end.

    Args:
        bodies: of which it is one.
        most: how large it may be.
        known: whether the sender's credential is known.

    Attributes:
        most: as given, until the sender turns out to be known.
    """

    def __init__(self, bodies: Bodies, most: int, *, known: bool) -> None:
        self.most = most
        self._known = known
        self._bodies = bodies
        self._received = 0
        self._deadline: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bodies.held -= self._received
        self._received = 0

    @property
    def deadline(self) -> float:
        """When it has to be complete, by the running loop's clock; counted from the first look."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._bodies.seconds
        return self._deadline

    def expect(self, announced: int | None) -> None:
        """Refuse a body that is announced to be too large, or as no length at all.

        Raises:
            BodyRefused: 413, or 400.
        """
        if announced is None:
            raise BodyRefused(400)
        if announced > self.most:
            raise BodyRefused(413)

    def take(self, length: int) -> None:
        """Count a piece that arrived.

        Raises:
            BodyRefused: 413, or 503.
        """
        if self._received + length > self.most:
            raise BodyRefused(413)
        ceiling = self._bodies.most_held if self._known else self._bodies.most_held // 2
        if self._bodies.held + length > ceiling:
            raise BodyRefused(503)
        self._received += length
        self._bodies.held += length

    def become_known(self) -> None:
        """Allow as much as anyone may send."""
        self._known = True
        self.most = MOST_BODY_BYTES


def keep_in(scope: MutableMapping[str, Any], body: Body) -> None:
    """Let whoever looks at the request's credential find its body."""
    scope[_KEY] = body


def sender_is_known(scope: MutableMapping[str, Any]) -> None:
    """Note that the credential of a request is one of ours, so that its body may be large."""
    body = scope.get(_KEY)
    if body is not None:
        body.become_known()


def announced_length(lines: Sequence[str | None]) -> int | None:
    """What a request's Content-Length says; 0 without one, None if it is no length.

    Compared by its number of digits first: turning thousands of them into a number takes its time.
    """
    if not lines:
        return 0
    line = lines[0]
    if len(lines) > 1 or line is None or not (line.isascii() and line.isdigit()):
        return None
    return int(line) if len(line) <= 19 else 1 << 64


def has_body(lines: Lines) -> bool:
    """Whether a request has a body, as far as it says."""
    return bool(lines("transfer-encoding")) or announced_length(lines("content-length")) != 0


async def read(next_piece: NextPiece, body: Body) -> bytes:
    """The whole of *body*.

    Raises:
        BodyRefused: it isn't whole.
    """
    pieces, more = [], True
    while more:
        piece, more = await next_piece(body.deadline)
        body.take(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


async def discard_small(lines: Lines, next_piece: NextPiece) -> bool:
    """Read a body that is refused to its end, so that its sender reads the answer: a client that
    sends on before it reads would lose it to a reset connection. Nothing is kept, and only a small
    body is waited for.

    Returns:
        Whether there is nothing more to come.
    """
    if not has_body(lines):
        return True
    announced = announced_length(lines("content-length"))
    if announced is None or announced > _DISCARDED_BYTES:
        return False
    deadline = asyncio.get_running_loop().time() + _DISCARDING_SECONDS
    left, more = _DISCARDED_BYTES, True
    with suppress(BodyRefused):
        while more and left > 0:
            piece, more = await next_piece(deadline)
            left -= len(piece)
        return not more
    return False
