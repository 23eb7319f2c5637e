"""The rows of a grant file, in memory."""

from collections.abc import Sequence

from gatepass.core.grants import CompanyRules, Grant, Holder, encode
from gatepass.verify.freshness import SIZE, SharedMap, boot_word
from gatepass.verify.grant_file import GrantFile

_TABLE: dict[type, str] = {Grant: "grants", Holder: "holders", CompanyRules: "company_rules"}


class MemoryGrants(GrantFile):
    """A grant file without a file, for a decider without background tasks.

    It opens nothing, so there is nothing to close, and each fork has its own rows.
    """

    def __init__(self) -> None:
        self.shared = _MemoryWords()
        self._records: dict[tuple[str, str], bytes] = {}
        self._revision = 0

    def put(self, record: Grant | Holder | CompanyRules) -> None:
        """Store a record; the next decision is by it."""
        with self.writing():
            self._records[_TABLE[type(record)], record.id] = encode(record)
            self._revision += 1

    def record(self, table: str, key: str) -> bytes | None:
        """The stored bytes of one row, or None."""
        return self._records.get((table, key))

    def records(self, table: str, keys: Sequence[str]) -> dict[str, bytes]:
        """The stored bytes of many rows by key; those that exist."""
        found = {key: self.record(table, key) for key in keys}
        return {key: record for key, record in found.items() if record is not None}

    def holder_and_rules(self, user: str, company: str) -> tuple[bytes | None, bytes | None]:
        """The stored bytes of a holder and of a company's rules."""
        return self.record("holders", user), self.record("company_rules", company)

    def position(self) -> tuple[int, str]:
        """The position, which each ``put`` changes."""
        return self._revision, ""


class _MemoryWords(SharedMap):
    """A shared map that is shared with no other process."""

    def __init__(self) -> None:
        self.words = memoryview(bytearray(SIZE)).cast("Q")
        self._boot = boot_word()
