"""The frames of the feed (``GET /v1/feed``), which followers outside a node read.

A stream is one ``Opening``, then repeatedly any number of ``Records`` and one ``Reached``. The
follower applies the records since the last ``Reached`` in one transaction, and only then renews the
copy's lease. A ``Reached`` without records before it is a heartbeat.

Each frame is four bytes of length, big-endian, and that many bytes of MessagePack. Records are
compressed frame by frame, so that a heartbeat never waits for a compressor's block to fill.

**Lease over a stream.** A lease counts from before the primary was asked, by the follower's own
clock, however long frames lay in buffers. So the server sends its boot clock: in ``Opening`` as it
was after the request arrived, in ``Reached`` as it was before the primary was asked. The follower
sent its request before the first of them. So by the follower's clock the primary was asked no
earlier than the sending of the request plus the difference (``asked_boot_ns_here``). A delayed
frame therefore counts as old.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gatepass.core.errors import GatepassError

#: A follower gives up on a server with another number: it can't know what the frames mean.
PROTOCOL = 1
MEDIA_TYPE = "application/vnd.gatepass.feed"
#: A follower refuses longer frames: a broken or hostile stream must not fill its memory.
MOST_FRAME_BYTES = 16 << 20
MOST_RECORDS_BYTES = 16 << 20
#: A server sends some thousand at a time. A decoded record takes many times its encoded size.
MOST_RECORDS = 65_536
#: Clocks of two machines may drift apart by this fraction of the elapsed time (a thousandth).
_DRIFT = 1_000

# Bounded by where the values are stored: SQLite's integers, the shared map's words.
_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Tag = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
_Staleness = Annotated[int, Meta(ge=1, le=86_400_000)]

#: (table, id, record or None if it is deleted, revision of its last change)
Record = tuple[str, str, bytes | None, int]
_SentRecord = tuple[Literal["grants", "holders", "company_rules"], str, bytes | None, _Number]


class BrokenFeed(GatepassError):
    """The server's bytes aren't a valid feed. The follower reconnects."""

    reason = "broken_feed"


class Opening(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first frame.

    Attributes:
        protocol: ``PROTOCOL``.
        boot_ns: the server's boot clock after the request had come in.
        staleness_ms: the installation's MAX_STALENESS.
        full: a snapshot follows; else the changes after the requested position.
        node, version: of the server.
        wall_ms: the server's time (``Clock.now``) at *boot_ns*, Unix ms. A follower whose time is
            more than five seconds away doesn't renew the lease (``server_time_ms``).
        public_url: the installation's PUBLIC_URL; "" from a server of a former release.
    """

    protocol: int
    boot_ns: _Number
    staleness_ms: _Staleness
    full: bool
    node: str
    version: str
    wall_ms: _Number = 0
    public_url: str = ""


class Records(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Compressed records (``pack``, ``unpack``)."""

    packed: bytes


class Reached(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The records so far take the copy to (*revision*, *tag*).

    That was the primary's position at some time after *asked_boot_ns*, by the server's boot clock.
    """

    revision: _Number
    tag: _Tag
    asked_boot_ns: _Number


Frame = Opening | Records | Reached

# Texts that aren't UTF-8 and excessive nesting raise exceptions other than DecodeError.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LENGTH = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()
_frames = msgspec.msgpack.Decoder(Frame)
_records = msgspec.msgpack.Decoder(list[_SentRecord])


def encode(frame: Frame) -> bytes:
    """The bytes of a frame, length included."""
    body = _encoder.encode(frame)
    return _LENGTH.pack(len(body)) + body


def pack(records: Iterable[Record]) -> Records:
    """Compress some thousand records into one frame."""
    # The lowest level: digests don't compress, and the speed of a snapshot matters most.
    return Records(zlib.compress(_encoder.encode(list(records)), 1))


def unpack(frame: Records) -> Sequence[Record]:
    """The records of a frame.

    Raises:
        BrokenFeed: they can't be decoded, or exceed a frame's limits (a compression bomb).
    """
    try:
        decompressor = zlib.decompressobj()
        data = decompressor.decompress(frame.packed, MOST_RECORDS_BYTES)
        if decompressor.unconsumed_tail or not decompressor.eof:
            raise BrokenFeed("a frame is truncated, or its contents too large")
        if _length_of_array(data) > MOST_RECORDS:
            raise BrokenFeed("a frame has too many records")
        return _records.decode(data)
    except (zlib.error, *_UNREADABLE) as error:
        raise BrokenFeed("a frame's records can't be decoded") from error


def _length_of_array(data: bytes) -> int:
    """The length that a large array declares; 0 for anything else, which decoding will check."""
    match data[:1]:
        case b"\xdc":
            return int.from_bytes(data[1:3])
        case b"\xdd":
            return int.from_bytes(data[1:5])
    return 0


class Frames:
    """Splits a stream of bytes into frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def incomplete(self) -> bool:
        """Whether the last frame is incomplete."""
        return bool(self._bytes)

    def feed(self, data: bytes) -> Iterable[Frame]:
        """Add received bytes; yield the frames that are now complete.

        Raises:
            BrokenFeed: the bytes aren't a feed.
        """
        self._bytes += data
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            if length > MOST_FRAME_BYTES:
                raise BrokenFeed("a frame is too long")
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            try:
                frame = _frames.decode(body)
            except _UNREADABLE as error:
                raise BrokenFeed("a frame can't be decoded") from error
            yield frame


def server_time_ms(opening: Opening, reached: Reached) -> int:
    """The server's Unix time in milliseconds when it asked the primary.

    ``Clock.agrees_with`` compares it with the follower's, given ``asked_boot_ns_here``.
    """
    return opening.wall_ms + (reached.asked_boot_ns - opening.boot_ns) // 1_000_000


def asked_boot_ns_here(
    sent_boot_ns: int, opening: Opening, reached: Reached, now_boot_ns: int
) -> int:
    """When the primary was asked, by the follower's boot clock: maybe too early, never too late.

    Args:
        sent_boot_ns: the follower's boot clock before it sent the request that *opening* answers.
        now_boot_ns: the follower's boot clock now.
    """
    passed = reached.asked_boot_ns - opening.boot_ns
    # A server clock that runs fast would make frames look younger than they are.
    passed -= abs(passed) // _DRIFT
    return min(sent_boot_ns + passed, now_boot_ns)
