"""How long ago someone was vouched for, as a bar that empties; and who refuses what ended, as a row
that fills."""

from dataclasses import dataclass

from gatepass.registry.audit.sentences import elapsed
from gatepass.registry.replication.receipt_status import ConfirmationState, Receipt

BAR_WIDTH = 96
BAR_HEIGHT = 6
#: Past so many, parts stand for shares of them all.
MOST_PARTS = 48

_ROW_WIDTH = 640
_ROW_HEIGHT = 12
_GAP = 4
_LEAST = 6
_ORDER: tuple[ConfirmationState, ...] = ("refusing", "silent", "waiting")


@dataclass(frozen=True)
class Bar:
    """What is left of the time that being vouched for lasts.

    Attributes:
        left: the filled part's width, of ``BAR_WIDTH``.
        level: ``good``, ``low`` or ``none``.
        words: the same for those who can't see it.
    """

    left: int
    level: str
    words: str


@dataclass(frozen=True)
class Part:
    """One stretch of a row."""

    x: int
    width: int
    state: ConfirmationState


@dataclass(frozen=True)
class Row:
    """A receipt's drawing, and what it shows in words."""

    width: int
    height: int
    parts: tuple[Part, ...]
    words: str


def vouching_bar(synced_ms: int, staleness_ms: int) -> Bar:
    """The bar of someone who was vouched for *synced_ms* ago, which counts for *staleness_ms*."""
    left_ms = max(0, staleness_ms - synced_ms)
    share = left_ms / staleness_ms
    if not left_ms:
        return Bar(0, "none", "It isn't vouched for any more.")
    words = f"Counts for another {elapsed(left_ms)}, of {elapsed(staleness_ms)}."
    return Bar(max(2, round(share * BAR_WIDTH)), "good" if share > 0.5 else "low", words)


def receipt_row(receipt: Receipt) -> Row:
    """One part for each verifier, those that refuse it first."""
    counts = {state: receipt.count(state) for state in _ORDER}
    words = ", ".join(
        f"{number:,} {said}"
        for number, said in (
            (counts["refusing"], "refusing"),
            (counts["silent"], "silent"),
            (counts["waiting"], "waited for"),
        )
        if number
    )
    if receipt.of <= MOST_PARTS:
        shares = [(state, 1) for state in _ORDER for _ in range(counts[state])]
    else:
        shares = [(state, counts[state]) for state in _ORDER if counts[state]]
    parts: list[Part] = []
    room = _ROW_WIDTH - _GAP * (len(shares) - 1)
    x = 0.0
    for state, share in shares:
        width = max(_LEAST, room * share / receipt.of)
        parts.append(Part(round(x), round(x + width) - round(x), state))
        x += width + _GAP
    return Row(_ROW_WIDTH, _ROW_HEIGHT, tuple(parts), words)
