"""Drawings of replication: a verifier's lease, and the confirmations of a deactivation."""

from dataclasses import dataclass

from gatepass.registry.audit.sentences import elapsed
from gatepass.registry.replication.receipt_status import ConfirmationState, Receipt

BAR_WIDTH = 96
BAR_HEIGHT = 6
#: With more verifiers, each part of the row is a state's share of all.
MOST_PARTS = 48

_ROW_WIDTH = 640
_ROW_HEIGHT = 12
_GAP = 4
_LEAST = 6
_ORDER: tuple[ConfirmationState, ...] = ("refusing", "silent", "waiting")


@dataclass(frozen=True)
class Bar:
    """The remaining part of a verifier's lease.

    Attributes:
        left: the filled part's width, of ``BAR_WIDTH``.
        level: ``good``, ``low`` or ``none``.
        words: the text for screen readers.
    """

    left: int
    level: str
    words: str


@dataclass(frozen=True)
class Part:
    """One part of a row."""

    x: int
    width: int
    state: ConfirmationState


@dataclass(frozen=True)
class Row:
    """A receipt's drawing and its text for screen readers."""

    width: int
    height: int
    parts: tuple[Part, ...]
    words: str


def lease_bar(synced_ms: int, lease_ms: int) -> Bar:
    """The bar of a verifier that last synced *synced_ms* ago and whose lease lasts *lease_ms*."""
    left_ms = max(0, lease_ms - synced_ms)
    share = left_ms / lease_ms
    if not left_ms:
        return Bar(0, "none", "Lease expired")
    words = f"{elapsed(left_ms)} of {elapsed(lease_ms)} left"
    return Bar(max(2, round(share * BAR_WIDTH)), "good" if share > 0.5 else "low", words)


def receipt_row(receipt: Receipt) -> Row:
    """One part per verifier, those that refuse it first."""
    counts = {state: receipt.count(state) for state in _ORDER}
    words = ", ".join(
        f"{number:,} {said}"
        for number, said in (
            (counts["refusing"], "confirmed"),
            (counts["silent"], "unreachable"),
            (counts["waiting"], "pending"),
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
