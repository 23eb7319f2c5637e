"""The frames of a feed over HTTP (``GET /v1/feed``): what a follower outside a node reads.

A stream is ``Opening``, then again and again any number of ``Records`` and one ``Reached``. What
came since the last ``Reached`` is applied with it, in one transaction, and only then vouched for. A
``Reached`` without records before it is a heartbeat.

Each frame is four bytes of length, big-endian, and that many bytes of MessagePack. Records are
compressed frame by frame, so that a heartbeat never waits for a compressor's block to fill.

**Vouching over a stream.** A stamp has to count from a moment before the primary was asked, by the
follower's own clock, however long frames lay in buffers. The server therefore tells its own boot
clock: in ``Opening`` as it was after the follower's request had come in, in ``Reached`` as it was
before the primary was asked. The request was sent before the first of them; so the primary was
asked, by the follower's clock, no earlier than the sending plus the difference (``asked_here``). A
frame that comes late is thus an old one, not a fresh one.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gatepass.core.errors import GatepassError

#: A follower that reads another number than its own gives up: it can't know what frames mean.
PROTOCOL = 1
MEDIA_TYPE = "application/vnd.gatepass.feed"
#: Longer frames are refused by whoever reads: a broken or hostile stream must not fill the memory.
MOST_FRAME_BYTES = 16 << 20
MOST_RECORDS_BYTES = 16 << 20
#: A server sends some thousand at a time. Each becomes objects many times its size.
MOST_RECORDS = 65_536
#: Two clocks of different machines may part by this part of the time that passed (a thousandth).
_DRIFT = 1_000

# What doesn't fit where it is kept (SQLite's integers, the shared map's words) isn't a feed's.
_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Tag = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
_Staleness = Annotated[int, Meta(ge=1, le=86_400_000)]

#: (table, id, record or None if it is gone, revision of its last change)
Record = tuple[str, str, bytes | None, int]
_SentRecord = tuple[Literal["grants", "holders", "company_rules"], str, bytes | None, _Number]


class BrokenFeed(GatepassError):
    """What came isn't a feed's frame. Following starts again."""

    reason = "broken_feed"


class Opening(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first frame.

    Attributes:
        protocol: ``PROTOCOL``.
        boot_ns: the server's boot clock after the request had come in.
        staleness_ms: the installation's MAX_STALENESS.
        anew: what follows is the whole; else it is what changed after the position asked for.
        node, version: who serves it.
        wall_ms: the time the server goes by (``Clock.now``) at *boot_ns*, Unix ms; a follower
            whose own is more than five seconds away from it doesn't vouch (``told_ms``).
    """

    protocol: int
    boot_ns: _Number
    staleness_ms: _Staleness
    anew: bool
    node: str
    version: str
    wall_ms: _Number = 0


class Records(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Some records, compressed (``pack``, ``unpack``)."""

    packed: bytes


class Reached(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """With what was sent so far the follower is at (*revision*, *tag*), which was the primary's
    position at a moment after *asked_boot_ns*, by the server's boot clock."""

    revision: _Number
    tag: _Tag
    asked_boot_ns: _Number


Frame = Opening | Records | Reached

# Texts that aren't UTF-8, and what is nested without end, have exceptions of their own.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LENGTH = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()
_frames = msgspec.msgpack.Decoder(Frame)
_records = msgspec.msgpack.Decoder(list[_SentRecord])


def encode(frame: Frame) -> bytes:
    """A frame's bytes, length included."""
    body = _encoder.encode(frame)
    return _LENGTH.pack(len(body)) + body


def pack(records: Iterable[Record]) -> Records:
    """Compress some thousand records into one frame."""
    # The lowest level: digests don't compress, and a snapshot's speed is what counts.
    return Records(zlib.compress(_encoder.encode(list(records)), 1))


def unpack(frame: Records) -> Sequence[Record]:
    """The records of a frame.

    Raises:
        BrokenFeed: they can't be read, or are more than a frame may hold (a compression bomb).
    """
    try:
        decompressor = zlib.decompressobj()
        data = decompressor.decompress(frame.packed, MOST_RECORDS_BYTES)
        if decompressor.unconsumed_tail or not decompressor.eof:
            raise BrokenFeed("a frame holds too much, or is cut short")
        if _length_of_array(data) > MOST_RECORDS:
            raise BrokenFeed("a frame holds too many records")
        return _records.decode(data)
    except (zlib.error, *_UNREADABLE) as error:
        raise BrokenFeed("a frame's records can't be read") from error


def _length_of_array(data: bytes) -> int:
    """How many elements an array says it has; 0 where it isn't one, which decoding finds out."""
    match data[:1]:
        case b"\xdc":
            return int.from_bytes(data[1:3])
        case b"\xdd":
            return int.from_bytes(data[1:5])
    return 0


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def begun(self) -> bool:
        """Whether a frame has begun that isn't complete."""
        return bool(self._bytes)

    def feed(self, data: bytes) -> Iterable[Frame]:
        """Take in what came; the frames that are complete by it.

        Raises:
            BrokenFeed: it isn't a feed.
        """
        self._bytes += data
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            if length > MOST_FRAME_BYTES:
                raise BrokenFeed("a frame is longer than any can be")
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            try:
                frame = _frames.decode(body)
            except _UNREADABLE as error:
                raise BrokenFeed("a frame can't be read") from error
            yield frame


def told_ms(opening: Opening, reached: Reached) -> int:
    """The server's Unix time in milliseconds when the primary was asked: what the follower's
    ``Clock.shares`` compares with its own, along with ``asked_here``."""
    return opening.wall_ms + (reached.asked_boot_ns - opening.boot_ns) // 1_000_000


def asked_here(sent_boot_ns: int, opening: Opening, reached: Reached, now_boot_ns: int) -> int:
    """When the primary was asked, by the follower's boot clock, or somewhat earlier: never later.

    Args:
        sent_boot_ns: the follower's boot clock before it sent the request that *opening* answers.
        now_boot_ns: the follower's boot clock now.
    """
    passed = reached.asked_boot_ns - opening.boot_ns
    # A clock that runs fast at the server would make frames look younger than they are.
    passed -= abs(passed) // _DRIFT
    return min(sent_boot_ns + passed, now_boot_ns)
