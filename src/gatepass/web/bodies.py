"""Request bodies while they arrive: size limits, one deadline, and a ceiling for a whole process.

Whoever opens a connection can send a body slowly, or many at once, before anyone knows who it is.
So a sender without a known credential may send little, every body has to be complete within
``BODY_SECONDS``, and all bodies that a process holds at a time stay below ``MOST_HELD_BYTES``. That
is split into pots, so that nobody takes the room of another kind of sender, and of its pot each
sender has a share, so that nobody takes the room of others. No framework is imported here.
"""

import asyncio
from collections import Counter
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
#: All bodies that a process holds at a time, in all pots.
MOST_HELD_BYTES = 64 << 20
#: What is still read of a body that is refused, and for how long.
_DISCARDED_BYTES = 65_536
_DISCARDING_SECONDS = 1.0
#: A connection on which a body wasn't read to its end can't be used again.
CLOSE = ("connection", "close")
_KEY = "gatepass.body"
#: The whole of an IPv4 address, and what one customer of a provider has of IPv6 at the least.
_SOURCE_BYTES = 8

#: Whose bodies count together.
Sender = str | bytes

#: Waits for a body's next piece until a moment by the loop's clock; the piece, and whether more
#: follows. Raises BodyRefused: 408, or 400 if the body broke off.
NextPiece = Callable[[float], Awaitable[tuple[bytes, bool]]]
#: The values of one header's lines in order; None for a line whose bytes can't be read.
Lines = Callable[[str], Sequence[str | None]]


class BodyRefused(Exception):
    """A body that isn't read on.

    Attributes:
        status: 400 it broke off, 408 it took too long, 413 it is too large, 503 too many bodies are
            arriving, at all or from this sender.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What the answer says besides."""
        return (("retry-after", "1"),) if self.status == 503 else ()


class Pot:
    """The bodies of one kind of sender.

    Args:
        most: the ceiling of what is held at a time, in bytes.
        share: what of it one sender may take.
    """

    def __init__(self, most: int, *, share: int) -> None:
        self.most = most
        self.share = share
        self.held = 0
        # Only of senders of whom something is held.
        self._by_sender: Counter[Sender] = Counter()

    def take(self, sender: Sender, length: int) -> None:
        """Count what arrived from *sender*.

        Raises:
            BodyRefused: 503.
        """
        of_sender = self._by_sender[sender] + length
        if of_sender > self.share or self.held + length > self.most:
            raise BodyRefused(503)
        self._by_sender[sender] = of_sender
        self.held += length

    def give_back(self, sender: Sender, length: int) -> None:
        """Count no more what :meth:`take` counted."""
        self.held -= length
        self._by_sender[sender] -= length
        if not self._by_sender[sender]:
            del self._by_sender[sender]


class Bodies:
    """All request bodies of one process.

    Args:
        most_held: the ceiling of what is held at a time, in bytes.
        seconds: the time that a body may take.

    Attributes:
        callers: of those whose credential was admitted; a sender is a credential.
        services: of those who show a verifier key; a sender is a key.
        strangers: of everyone else; a sender is an address, see ``source_of``.
        sign_ins: of strangers who sign in; a sender is an address.
    """

    def __init__(self, *, most_held: int = MOST_HELD_BYTES, seconds: float = BODY_SECONDS) -> None:
        self.seconds = seconds
        part = most_held // 8
        self.callers = Pot(3 * part, share=part // 2)
        self.services = Pot(2 * part, share=part)
        self.strangers = Pot(2 * part, share=part // 4)
        self.sign_ins = Pot(part, share=part // 16)


class Body:
    """One body as it arrives. A context manager; what is held of it counts until its end.

    Args:
        bodies: of which it is one.
        most: how large it may be.
        pot: where it counts.
        sender: whose it is, as that pot tells senders apart.

    Attributes:
        most: as given, until it turns out that it may be larger.
    """

    def __init__(self, bodies: Bodies, most: int, pot: Pot, sender: Sender) -> None:
        self.most = most
        self._bodies = bodies
        self._place = (pot, sender)
        self._held: Counter[tuple[Pot, Sender]] = Counter()
        self._deadline: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for (pot, sender), length in self._held.items():
            pot.give_back(sender, length)
        self._held.clear()

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
        if not length:
            return
        if self._held.total() + length > self.most:
            raise BodyRefused(413)
        pot, sender = self._place
        pot.take(sender, length)
        self._held[pot, sender] += length

    def may_be_large(self) -> None:
        """Allow as much as anyone may send; not of a sign-in, which is never large."""
        if not self._is_sign_in:
            self.most = MOST_BODY_BYTES

    def become_known(self, sender: Sender) -> None:
        """Count what follows where callers' bodies count, and let it be large; not a sign-in.

        Only noted here, as this is called in threads too; pots belong to the loop's.
        """
        if not self._is_sign_in:
            self._place = (self._bodies.callers, sender)
            self.may_be_large()

    @property
    def _is_sign_in(self) -> bool:
        return self._place[0] is self._bodies.sign_ins


def keep_in(scope: MutableMapping[str, Any], body: Body) -> None:
    """Let whoever looks at the request's credential find its body."""
    scope[_KEY] = body


def sender_is_known(scope: MutableMapping[str, Any], sender: Sender) -> None:
    """Note that the credential *sender* of a request was admitted: its body may be large, and no
    longer counts as a stranger's."""
    body = scope.get(_KEY)
    if body is not None:
        body.become_known(sender)


def body_may_be_large(scope: MutableMapping[str, Any]) -> None:
    """Note that a request's body may be large, although it counts as a stranger's."""
    body = scope.get(_KEY)
    if body is not None:
        body.may_be_large()


def source_of(address: bytes | None) -> bytes:
    """Whose a stranger's body is: by the packed address, of an IPv6 one the /64. Those whose
    address can't be told are one."""
    return b"" if address is None else address[:_SOURCE_BYTES]


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
