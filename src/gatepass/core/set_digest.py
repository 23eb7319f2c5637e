"""An order-independent digest of a set of rows, to compare copies."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

_BYTES = 32
_MODULUS = 1 << (8 * _BYTES)

_encode = msgspec.msgpack.Encoder().encode


class SetDigest:
    """The sum of the rows' digests, and the number of rows.

    Two databases with rows in different orders have the same digest exactly if they hold the same
    rows. A changed row can be removed and added, so a copy's digest can be updated incrementally.
    It detects damage and mistakes. It doesn't authenticate: an attacker who can choose rows freely
    could choose some with the right sum.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, rows: Iterable[Sequence[int | str | bytes | None]]) -> None:
        """Add rows. Type and order of a row's values matter: 1 isn't "1"."""
        digests = [_of(row) for row in rows]
        self.rows += len(digests)
        self._sum = (self._sum + sum(digests)) % _MODULUS

    def remove(self, rows: Iterable[Sequence[int | str | bytes | None]]) -> None:
        """Remove rows that were added."""
        digests = [_of(row) for row in rows]
        self.rows -= len(digests)
        self._sum = (self._sum - sum(digests)) % _MODULUS

    def __str__(self) -> str:
        return self._sum.to_bytes(_BYTES).hex()


def _of(row: Sequence[int | str | bytes | None]) -> int:
    return int.from_bytes(blake2b(_encode(row), digest_size=_BYTES).digest())
