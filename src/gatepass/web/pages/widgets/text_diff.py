"""The lines in which two texts differ, for display."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Literal

#: More lines are left out.
MOST_LINES = 1_000
#: Texts with more lines, or more pairs of equal ones, aren't compared line by line: it could take
#: minutes.
_MOST_COMPARED, _MOST_PAIRS = 20_000, 50_000
#: From so many lines on, difflib passes over those that are more than a hundredth of them.
_POPULAR_FROM = 200
_KINDS: dict[str, Literal["added", "removed", "same"]] = {"+": "added", "-": "removed"}


@dataclass(frozen=True)
class DiffLine:
    """One line; of kind ``gap`` where equal lines are left out."""

    kind: Literal["added", "removed", "same", "gap"]
    text: str


def text_diff(before: str, after: str) -> Sequence[DiffLine]:
    """The lines that differ, each with three equal ones around it; at most ``MOST_LINES``."""
    former, new = before.splitlines(), after.splitlines()
    if len(former) + len(new) > _MOST_COMPARED or _pairs(former, new) > _MOST_PAIRS:
        return [DiffLine("gap", "")]
    lines: list[DiffLine] = []
    # The first two name the files.
    for line in list(unified_diff(former, new, lineterm=""))[2:]:
        if len(lines) == MOST_LINES:
            return [*lines, DiffLine("gap", "")]
        if line.startswith("@@"):
            lines.append(DiffLine("gap", ""))
        else:
            lines.append(DiffLine(_KINDS.get(line[0], "same"), line[1:]))
    return lines


def _pairs(former: Sequence[str], new: Sequence[str]) -> int:
    """How many pairs of equal lines difflib compares, again for each part that it finds."""
    most = len(new) if len(new) < _POPULAR_FROM else len(new) // 100 + 1
    before = Counter(former)
    return sum(n * before[line] for line, n in Counter(new).items() if n <= most)
