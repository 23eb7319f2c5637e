"""Records, cut into portions that fit a frame well."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

_MOST_RECORDS = 4_000
_ENOUGH_BYTES = 1 << 20

_Record = TypeVar("_Record", bound=tuple[str, str, bytes | None, int])


def portions(records: Iterable[_Record]) -> Iterator[list[_Record]]:
    """*records* in lists of some thousand; of fewer where they are long, as a company's rules with
    thousands of networks are. None of the lists is empty."""
    portion: list[_Record] = []
    size = 0
    for record in records:
        portion.append(record)
        size += len(record[2] or b"")
        if len(portion) == _MOST_RECORDS or size >= _ENOUGH_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
