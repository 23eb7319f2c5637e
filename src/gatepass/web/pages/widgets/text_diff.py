"""The lines in which two texts differ, for display."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Literal

#: More lines are left out.
MOST_LINES = 1_000
#: Texts with more lines aren't compared line by line, which could take minutes.
_MOST_COMPARED = 20_000
_KINDS: dict[str, Literal["added", "removed", "same"]] = {"+": "added", "-": "removed"}


@dataclass(frozen=True)
class DiffLine:
    """One line; of kind ``gap`` where equal lines are left out."""

    kind: Literal["added", "removed", "same", "gap"]
    text: str


def text_diff(before: str, after: str) -> Sequence[DiffLine]:
    """The lines that differ, each with three equal ones around it; at most ``MOST_LINES``."""
    former, new = before.splitlines(), after.splitlines()
    if len(former) + len(new) > _MOST_COMPARED:
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
