"""The part of an access token's record that is about its rotation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row

from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.calls import observed_calls
from gatepass.registry.tokens.calls.observed_calls import Caller
from gatepass.registry.tokens.calls.silence import Silence, Silences

#: How the token that is replaced closes.
Close = Literal["now", "after", "when_silent"]
#: What is stored for a token that rotated itself, which closes ``after`` a while.
BY_ITSELF = "self"
#: A replaced token closes by then after its replacement.
LONGEST_CLOSING_S = 90 * 86_400
#: Callers within this time still use a token that closes by the clock.
CALLERS_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a token replaces, what replaces it, and how it closes then.

    Attributes:
        replaces, replaced_by: ids of tokens; None if there is none.
        close, closes_at: how and when (Unix ms) it closes at the latest; None unless replaced.
        waiting_for: the names of verifiers that must report before it can close when silent.
        callers: who still uses it, the latest first; none once it has closed.
        silence: until it closes, if that is when it is silent.
    """

    replaces: str | None
    replaced_by: str | None
    close: Close | None
    closes_at: int | None
    waiting_for: tuple[str, ...]
    callers: tuple[Caller, ...]
    silence: Silence | None


def of_new_token(replaces: str | None) -> Rotation | None:
    """That of a token that was just created; *replaces* is the id of the one it replaces."""
    return None if replaces is None else Rotation(replaces, None, None, None, (), (), None)


def rotations(reading: Reading, rows: Sequence[Row[Any]]) -> dict[str, Rotation]:
    """The rotations of those of *rows* that have one, by token id.

    Args:
        rows: of ``records.STORED``.
    """
    # A few queries for all of them: a page of a list may have a hundred.
    closing = [row for row in rows if is_closing(row, reading.now)]
    callers = observed_calls.callers(
        reading, {row.id: reading.now - _callers_within_ms(row) for row in closing}
    )
    by_silence = [row for row in closing if row.rotation_close == "when_silent"]
    silences = Silences(reading, [row.id for row in by_silence])
    silence = {row.id: silences.of(row) for row in by_silence}
    return {
        row.id: _rotation(row, callers.get(row.id, ()), silence.get(row.id))
        for row in rows
        if row.replaces is not None or row.replaced_by is not None
    }


def _rotation(row: Row[Any], callers: Iterable[Caller], silence: Silence | None) -> Rotation:
    replaced = row.replaced_by is not None
    return Rotation(
        replaces=row.replaces,
        replaced_by=row.replaced_by,
        close=_close(row.rotation_close) if replaced else None,
        closes_at=(row.rotated_at if row.rotation_close == "now" else row.expires_at)
        if replaced
        else None,
        waiting_for=() if silence is None else silence.waiting_for,
        callers=tuple(callers),
        silence=silence,
    )


def is_closing(row: Row[Any], now: int) -> bool:
    """Whether the token of a row was replaced and hasn't closed at *now* (Unix ms)."""
    return (
        row.replaced_by is not None
        and row.deactivated_at is None
        and (row.expires_at is None or now < row.expires_at)
    )


def _callers_within_ms(row: Row[Any]) -> int:
    within_ms: int | None = row.silent_for_ms
    return CALLERS_MS if within_ms is None else within_ms


def _close(stored: str) -> Close:
    kinds: dict[str, Close] = {"now": "now", "when_silent": "when_silent"}
    return kinds.get(stored, "after")
