"""A digest of a set of rows, whatever order they come in: how copies are told to be equal."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

_BYTES = 32
_MODULUS = 1 << (8 * _BYTES)

_encode = msgspec.msgpack.Encoder().encode


class SetDigest:
    """The sum of the rows' own digests, and how many rows there are.

    Two databases that keep rows in different orders have the same one exactly if they hold the same
    rows; and a row that changes can be taken out and put in, so that a copy's digest rolls along
    with it. It finds damage and mistakes. It is no seal: whoever may choose rows at will could
    choose some whose sum is right.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, rows: Iterable[Sequence[int | str | bytes | None]]) -> None:
        """Put rows in. A row's values are told apart by type and place: 1 isn't "1"."""
        digests = [_of(row) for row in rows]
        self.rows += len(digests)
        self._sum = (self._sum + sum(digests)) % _MODULUS

    def remove(self, rows: Iterable[Sequence[int | str | bytes | None]]) -> None:
        """Take out rows that were put in."""
        digests = [_of(row) for row in rows]
        self.rows -= len(digests)
        self._sum = (self._sum - sum(digests)) % _MODULUS

    def __str__(self) -> str:
        return self._sum.to_bytes(_BYTES).hex()


def _of(row: Sequence[int | str | bytes | None]) -> int:
    return int.from_bytes(blake2b(_encode(row), digest_size=_BYTES).digest())
