"""Results as text: a table for the terminal, and docs/explanation/figures.md."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.figures import Figure, Result, Value
from benchmarks.load import CONNECTIONS, REQUESTS
from benchmarks.sample_grants import (
    GRANTS_PER_COMPANY,
    GRANTS_PER_USER,
    NETWORKS_PER_GRANT,
    PATH_IDS,
    PERMISSIONS_PER_GRANT,
)

_HEAD = ("what", "ratio", "rounds", "bar", "")
_INTRODUCTION = """\
# Figures

`make bench` writes this page.
Every figure is a ratio within one run: both sides are measured in alternating rounds, never two
loads at once.
The median of the rounds counts; the table also shows the lowest and the highest.
This run was on {machine}.

![Ratios against their bars](figures.svg)
"""
_METHOD = f"""\
## How it is measured

**Data.**
A registry file of the given size: {NETWORKS_PER_GRANT} networks and {PERMISSIONS_PER_GRANT}
permissions each, {GRANTS_PER_USER} to a user and {GRANTS_PER_COMPANY:,} to a company.
Ids are random, so tokens that are used together don't lie together.
Calls use random tokens; their paths carry {PATH_IDS} different ids.

**Embedded.**
`Verifier.check` with token, method, path and address, in one thread, use counted.
Texts are decoded from bytes right before the clock runs, as a server has just read them.
Cached means that the tokens in use fit the verifier's cache.
The file's position is read once a second, which is part of the mean.

**Over HTTP.**
wrk with one thread and {CONNECTIONS} connections rotates over {REQUESTS:,} prepared requests, each
with a token of its own; both sides get the same.
Gatepass runs one worker of the verify port, started as `gatepass serve` starts it; nginx one
worker; uvicorn one, with uvloop.
Load generator and server share the machine; the notes say which of them was the limit, by their
shares of a core.

**Ten million.**
Files are read once before, so that the disk isn't measured.
Memory is a worker's anonymous memory after it has served {REQUESTS:,} tokens.

**Followers.**
A main worker serves the feed, this process follows it by `Verifier.follow`, on the same cores.
Rates are of whole streams: from asking until the copy is fresh.
Beside decisions, another process applies changes, from frames made before.

**Lists.**
The registry's operations, called as the pages do, counts included, on both engines.
What is rare is the oldest: a walk from the newest would pass all the rest.

**By hand.**
Hand-written checks of one service, written for speed: prepared statements, a pool, one indexed
look-up ([by_hand_apps.py](../../benchmarks/by_hand_apps.py)).
They check less than Gatepass does: that a key is known and active, and one scope.

**Scanning.**
Whole commands, with the time that they take to start, on files that were read once before; grep in
the C locale, in which it is fastest.

`python -m benchmarks --list` lists the scenarios.
`--only NAME` runs one, and `--quick` checks in a few minutes that all of them work.
nginx and wrk are Debian's packages; the page lists every scenario that can't run without them.
"""


def terminal_table(results: Iterable[Result]) -> str:
    """The results as a table for the terminal."""
    rows = [_HEAD, *map(_row, results)]
    return aligned([tuple(re.sub("`|[*]{2}", "", cell) for cell in row) for row in rows])


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Text in columns, with a rule below the first row."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in ruled
    )


def notes(results: Iterable[Result]) -> list[str]:
    """One line for each result that has details."""
    return [
        f"{result.what}: {result.detail}."
        for result in results
        if isinstance(result, Figure | Value) and result.detail
    ]


def markdown_page(results: Sequence[Result]) -> str:
    """The text of docs/explanation/figures.md."""
    rows = [_HEAD, ("---", "---:", "---:", "---:", "---"), *map(_row, results)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    remarks = "".join(f"- {note}\n" for note in notes(results))
    return "\n".join((_INTRODUCTION.format(machine=machine()), table, remarks, _METHOD))


def machine() -> str:
    """A description of this machine."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cores} cores of {processor} with {memory:.0f} GiB of memory, "
        f"{platform.system()} {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}"
    )


def _row(result: Result) -> tuple[str, ...]:
    if isinstance(result, Figure):
        verdict = "met" if result.met else "**not met**"
        return result.what, result.ratio_text, result.spread_text, result.bar_text, verdict
    if isinstance(result, Value):
        return result.what, result.value, "", "", ""
    return result.what, "", "", "", f"could not run: {result.why}"
