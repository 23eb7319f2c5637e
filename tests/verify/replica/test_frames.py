"""The frames of a feed: cut anywhere, broken anyhow, late by anything."""

import struct
import zlib
from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from gatepass.verify.replica import frames
from gatepass.verify.replica.frames import (
    BrokenFeed,
    Frames,
    Opening,
    Reached,
    Records,
    asked_boot_ns_here,
)

TABLES = ("grants", "holders", "company_rules")
numbers = st.integers(0, 2**63 - 1)
records = st.tuples(st.sampled_from(TABLES), st.text(max_size=30), st.none() | st.binary(), numbers)
openings = st.builds(
    Opening,
    st.just(1),
    numbers,
    st.integers(1, 86_400_000),
    st.booleans(),
    st.text(max_size=30),
    st.text(max_size=10),
    numbers,
)
reached = st.builds(
    Reached, numbers, st.text("0123456789abcdef", min_size=16, max_size=16), numbers
)
streams = st.lists(openings | reached | st.lists(records, max_size=5).map(frames.pack), max_size=8)


def test_few_bytes_do_not_become_millions_of_records() -> None:
    """Within the size that a frame may have, small records are objects of many times that."""
    record = msgspec.msgpack.encode(("grants", "", None, 0))
    count = frames.MOST_RECORDS_BYTES // len(record) - 1
    bomb = zlib.compress(b"\xdd" + count.to_bytes(4) + record * count, 9)
    assert len(bomb) < 200_000
    with pytest.raises(BrokenFeed, match="too many"):
        frames.unpack(Records(bomb))
    most = [("grants", "", None, 0)] * frames.MOST_RECORDS
    assert len(frames.unpack(frames.pack(most))) == frames.MOST_RECORDS


@given(streams, st.lists(st.integers(0, 500)))
def test_a_stream_cut_anywhere_gives_the_same_frames(
    sent: list[frames.Frame], cuts: list[int]
) -> None:
    data = b"".join(map(frames.encode, sent))
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = Frames()
    got = [frame for start, end in pairwise(places) for frame in reader.feed(data[start:end])]
    assert got == sent
    assert not reader.incomplete


@given(st.lists(records, max_size=20))
def test_records_come_out_as_they_went_in(sent: list[frames.Record]) -> None:
    assert frames.unpack(frames.pack(sent)) == sent


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_garbage_is_a_broken_feed_and_nothing_else(data: bytes, packed: bytes) -> None:
    for sent in (data, struct.pack(">I", len(data)) + data):
        try:
            for frame in Frames().feed(sent):
                if isinstance(frame, Records):
                    frames.unpack(frame)
        except BrokenFeed:
            pass
    for squeezed in (packed, zlib.compress(packed)):
        with suppress(BrokenFeed):
            frames.unpack(Records(squeezed))


@given(streams.filter(bool), st.data())
def test_a_damaged_stream_is_a_broken_feed_and_nothing_else(
    sent: list[frames.Frame], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(map(frames.encode, sent)))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        for frame in Frames().feed(whole):
            if isinstance(frame, Records):
                frames.unpack(frame)
    except BrokenFeed:
        pass


def raw(*fields: object) -> bytes:
    return framed(msgspec.msgpack.encode(fields))


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "frame",
    [
        raw(4, b""),
        raw("1", 1),
        raw(3, 7, "0" * 15, 7),
        raw(3, 7, "0" * 16 + "\n", 7),
        raw(3, 7, "G" * 16, 7),
        raw(3, -1, "0" * 16, 7),
        raw(3, 2**63, "0" * 16, 7),
        raw(3, 7, "0" * 16, 2**63),
        raw(3, 7, "0" * 16),
        # Python 3.14 reads a hundred thousand lists within each other.
        framed(b"\x95\x03\x07\xb0" + b"0" * 16 + b"\x07" + b"\x91" * 1_000_000 + b"\x01"),
        raw(1, 1, 1, 0, True, "node", "1"),
        raw(1, 1, 1, 10**12, True, "node", "1"),
        raw(1, 1, -1, 10_000, True, "node", "1"),
    ],
)
def test_what_has_no_place_in_a_copy_is_no_feeds(frame: bytes) -> None:
    """Positions that can't be stored, and leases that would never end."""
    with pytest.raises(BrokenFeed):
        list(Frames().feed(frame))


@pytest.mark.parametrize(
    "record",
    [
        ("users", "id", b"x", 1),
        ("grants; --", "id", b"x", 1),
        ("grants", "id", b"x", -1),
        ("grants", "id", b"x", 2**63),
        ("grants", 7, b"x", 1),
        ("grants", "id", "text", 1),
        ("grants", "id", b"x"),
    ],
)
def test_records_of_other_sorts_are_no_feeds(record: tuple[object, ...]) -> None:
    packed = zlib.compress(msgspec.msgpack.encode([record]))
    with pytest.raises(BrokenFeed):
        frames.unpack(Records(packed))


def test_a_frame_that_would_fill_the_memory_is_refused_before_it_does() -> None:
    """By its length, before it has come; and by what it unfolds to, before it has."""
    with pytest.raises(BrokenFeed):
        list(Frames().feed(struct.pack(">I", frames.MOST_FRAME_BYTES + 1)))
    bomb = zlib.compress(bytes(frames.MOST_RECORDS_BYTES + 1), 9)
    assert len(bomb) < 100_000
    with pytest.raises(BrokenFeed, match="too large"):
        frames.unpack(Records(bomb))


@given(
    sent=st.integers(10**12, 10**15),
    server=st.integers(0, 10**15),
    way_there=st.integers(0, 10**10),
    asked_after=st.integers(-10 * 10**9, 10**12),
    way_back=st.integers(0, 10**11),
    drift=st.floats(-0.0004, 0.0004),
)
def test_the_primary_was_never_asked_earlier_than_the_follower_believes(
    sent: int, server: int, way_there: int, asked_after: int, way_back: int, drift: float
) -> None:
    """Whatever the network delayed and the server's clock says, the lease counts from a time that
    isn't later than the true one, by the follower's own clock.

    Also where the server passes on what it asked before the follower came (*asked_after* is
    negative then).
    """
    arrived = sent + way_there
    opening = Opening(1, server + 10 * 10**9, 10_000, False, "node", "1")
    passed = round(asked_after * (1 + drift))
    reached = Reached(1, "0" * 16, opening.boot_ns + passed)
    asked = arrived + asked_after
    now = max(asked, arrived) + way_back
    believed = asked_boot_ns_here(sent, opening, reached, now)
    assert believed <= asked
    # And it is told nothing worse than the way there and a thousandth.
    assert believed >= min(asked, now) - way_there - abs(asked_after) // 500 - 1


class FormerOpening(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The opening frame as a former release has it."""

    protocol: int
    boot_ns: int
    staleness_ms: int
    full: bool
    node: str
    version: str
    wall_ms: int = 0


def test_former_releases_on_either_side_read_an_opening() -> None:
    opening = Opening(1, 5, 10_000, True, "node", "1", 7, "https://gatepass.example.com")
    body = frames.encode(opening)[4:]
    former = msgspec.msgpack.decode(body, type=FormerOpening)
    assert astuple(former) == astuple(opening)[:-1]
    (read,) = Frames().feed(raw(1, *astuple(former)))
    assert isinstance(read, Opening)
    assert astuple(read) == (*astuple(former), "")
