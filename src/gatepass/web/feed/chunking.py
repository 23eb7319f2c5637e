"""Splits records into chunks for frames."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

_MOST_RECORDS = 4_000
_CHUNK_BYTES = 1 << 20

_Record = TypeVar("_Record", bound=tuple[str, str, bytes | None, int])


def chunks(records: Iterable[_Record]) -> Iterator[list[_Record]]:
    """Yield *records* in non-empty lists of up to 4,000 records or about 1 MiB.

    Long records exist: a company's rules may list thousands of networks.
    """
    chunk: list[_Record] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += len(record[2] or b"")
        if len(chunk) == _MOST_RECORDS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
