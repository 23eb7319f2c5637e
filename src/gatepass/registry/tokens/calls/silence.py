"""How long a token that is being replaced has been silent.

Silence counts from the last call with its secret that was seen, up to when every verifier that may
have allowed it has reported its use (``replication.use_reports``).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import Row, func, select

from gatepass.registry.replication import use_reports
from gatepass.registry.replication.use_reports import UseReports
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import audit_events
from gatepass.registry.tokens.calls import observed_calls


@dataclass(frozen=True, slots=True)
class Silence:
    """The silence of a token.

    Attributes:
        since: when it was last used, may last have been used, or was replaced. Unix ms.
        until: up to when it is known.
        silent_for_ms: after so long it closes.
        late: whether a verifier that may still allow it is late with its report.
        waiting_for: the names of verifiers that haven't reported their use, those that are gone
            included.
    """

    since: int
    until: int
    silent_for_ms: int
    late: bool
    waiting_for: tuple[str, ...]

    @property
    def lasted_ms(self) -> int:
        """How long it has lasted."""
        return max(0, self.until - self.since)

    @property
    def is_over(self) -> bool:
        """Whether it has lasted long enough to close the token."""
        return not self.late and self.lasted_ms >= self.silent_for_ms


class Silences:
    """The silences of the tokens with these ids, in one transaction."""

    def __init__(self, reading: Reading, ids: Collection[str]) -> None:
        self._reading = reading
        # Refused calls count, too; followers of former releases report only those allowed.
        self._seen = observed_calls.last_seen(reading, ids)
        self._reports: Callable[[str], UseReports] = lru_cache(maxsize=None)(
            lambda company: use_reports.of_company(reading, company)
        )

    def of(self, row: Row[Any]) -> Silence:
        """The silence of a token that was replaced.

        Args:
            row: of ``records.STORED``.
        """
        reports = self._reports(row.company_id)
        since = max(
            *(row.rotated_at, self._restored_at, self._seen.get(row.id, 0)),
            *(at or 0 for at in (row.last_at, row.perhaps_used_at)),
        )
        unreported = [gone for gone in reports.gone if gone.until > since]
        return Silence(
            since=max([since, *(gone.until for gone in unreported)]),
            until=reports.until,
            silent_for_ms=row.silent_for_ms,
            late=bool(reports.late),
            waiting_for=tuple(sorted({*reports.late, *(gone.name for gone in unreported)})),
        )

    @cached_property
    def _restored_at(self) -> int:
        return restored_at(self._reading)


def restored_at(reading: Reading) -> int:
    """When a backup was last restored, which lacks the use since it was made; 0 is never."""
    event = audit_events.c
    found: int | None = reading.session.scalar(
        select(func.max(event.at)).where(
            event.company_id.is_(None), event.action == "installation.restored"
        )
    )
    return found or 0
