"""Credentials in streams: each is found wherever it is, and nothing else."""

import io
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.credentials import make
from gatepass.scan.matching import Match, Read, Scanner, without_secrets
from tests.support.vector_files import cases

BUFFER = 300
TOKEN = "gpat_0123456789ABCDEFabcdefghijklmnopqrstuvwxyz0123452AXRNJ"


def reads(content: bytes, most: int = 1 << 20) -> Read:
    """Reads *content*, *most* bytes at a time."""
    stream = io.BytesIO(content)
    return lambda view: stream.readinto(view[:most])


def found(content: bytes, most: int = 1 << 20) -> list[tuple[str, int, int]]:
    return [shown(match) for match in Scanner(BUFFER).scan(reads(content, most))]


def shown(match: Match) -> tuple[str, int, int]:
    return match.credential.id, match.line, match.column


@pytest.mark.parametrize("case", cases("scan.yaml", "found"))
def test_found(case: dict[str, Any]) -> None:
    """Each credential, with its line and column; also byte by byte, as from a slow pipe."""
    content = case["content"].encode(case.get("encoding", "utf-8"))
    assert found(content) == [tuple(one) for one in case["at"]]
    assert found(content, most=1) == found(content)


@pytest.mark.parametrize("case", cases("scan.yaml", "nothing"))
def test_nothing(case: dict[str, Any]) -> None:
    assert found(case["content"].encode(case.get("encoding", "utf-8"))) == []


@given(
    st.integers(0, 3 * BUFFER),
    st.binary(max_size=30),
    st.binary(max_size=30),
    st.sampled_from(["ascii", "utf-16-le", "utf-16-be"]),
    st.sampled_from([b"x", b"\n", b"\0", "é".encode(), b"gpat_", b"x\n"]),
)
def test_found_at_any_place_of_the_buffer(
    start: int, before: bytes, after: bytes, encoding: str, filler: bytes
) -> None:
    """Whatever is around it, and wherever in it one buffer ends and the next begins."""
    around = (filler * start)[: start - len(before)] + before
    content = around + TOKEN.encode(encoding) + after
    ((id, line, column),) = found(content)
    assert id == TOKEN[:21]
    if encoding == "utf-16-be":
        around += b"\0"  # the first byte of its first letter
    last_line = around.rpartition(b"\n")[2]
    uncounted = {0, *range(0x80, 0xC0), 0xFE, 0xFF}
    assert line == around.count(b"\n") + 1
    assert column == sum(byte not in uncounted for byte in last_line) + 1


@pytest.mark.parametrize("encoding", ["ascii", "utf-16-le", "utf-16-be"])
def test_found_at_every_place_of_the_buffer(encoding: str) -> None:
    """Alone, and with bytes after it."""
    text = TOKEN.encode(encoding)
    for start in range(2 * BUFFER):
        assert found(b"\n" * start + text) == [(TOKEN[:21], start + 1, 1)]
        assert found(b"\n" * start + text + b"\n" * BUFFER) == [(TOKEN[:21], start + 1, 1)]


@given(
    st.lists(st.tuples(st.sampled_from(["gpat", "gpvk", "gppc"]), st.text(max_size=5)), max_size=6)
)
def test_all_are_found_in_their_order(parts: list[tuple[str, str]]) -> None:
    """Also a stream of several buffers, most of which hold none."""
    content, expected = b"", []
    for prefix, text in parts:
        made = make(prefix)
        content += text.encode() + b"\n" * (2 * BUFFER) + made.text.encode()
        expected.append(made.id)
    assert [id for id, _, _ in found(content)] == expected


def test_nothing_is_left_of_the_stream_before() -> None:
    """The bytes of another file must not complete a text."""
    scanner = Scanner()
    assert [shown(one) for one in scanner.scan(reads(TOKEN.encode()))] == [(TOKEN[:21], 1, 1)]
    for length in (0, 5, 58):
        assert list(scanner.scan(reads(TOKEN[:length].encode()))) == []
    utf_16 = TOKEN.encode("utf-16-le")
    assert len(list(scanner.scan(reads(utf_16)))) == 1
    assert list(scanner.scan(reads(utf_16[:-2]))) == []


def test_memory_is_bounded() -> None:
    """A line of 64 MiB, before a credential."""
    left = 64 << 20

    def read(view: memoryview) -> int:
        nonlocal left
        count = min(left, len(view))
        left -= count
        return count or tail.readinto(view)

    tail = io.BytesIO(TOKEN.encode())
    tracemalloc.start()
    try:
        matches = list(Scanner().scan(read))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [match.credential.id for match in matches] == [TOKEN[:21]]
    assert most < 8 << 20


def test_names_are_shown_without_secrets() -> None:
    """Also where a second text begins within a malformed first."""
    assert without_secrets(f"logs/{TOKEN}.txt") == f"logs/{TOKEN[:21]}….txt"
    overlapping = "gpvk_" + "0" * 50 + TOKEN
    assert TOKEN[21:] not in without_secrets(overlapping)
    assert without_secrets("gpat_0123456789ABCDEF/x") == "gpat_0123456789ABCDEF/x"
