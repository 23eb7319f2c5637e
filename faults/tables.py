"""Findings as text: a table for the terminal, and docs/explanation/faults.md."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.tables import aligned, machine
from faults.experiments import Finding, Result, experiment

_HEAD = ("experiment", "what", "measured", "promised", "")
_INTRODUCTION = """\
# Faults

`make faults` writes this page.
It runs real processes on loopback and a real PostgreSQL, and injects faults.
The experiments are in [`faults/`](../../faults).
The test suite runs them with smaller numbers.
[promises.md](promises.md) lists which promise each one proves.
This run was on {machine}.

![Delays until deactivated tokens are refused, and a timeline of an outage](faults.svg)
"""


def terminal_table(found: Mapping[str, Sequence[Result]]) -> str:
    """The findings as a table for the terminal."""
    rows: list[tuple[str, ...]] = [
        _HEAD,
        *((name, *_cells(each)) for name, results in found.items() for each in results),
    ]
    return aligned(rows)


def notes(found: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    """One line for each finding that has details."""
    for results in found.values():
        for result in results:
            if isinstance(result, Finding) and result.detail:
                yield f"{result.what}: {result.detail}."


def markdown_page(found: Mapping[str, Sequence[Result]]) -> str:
    """The text of docs/explanation/faults.md."""
    sections = [_INTRODUCTION.format(machine=machine())]
    for name, results in found.items():
        known = experiment.by_name()[name]
        rows = [("what", "measured", "promised", ""), ("---", "---:", "---:", "---")]
        rows += [_cells(each) for each in results]
        table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
        remarks = "".join(f"- {note}\n" for note in notes({name: results}))
        sections.append(
            f"## {known.title}\n\n{_description(known.run)}\n\n{table}"
            + (f"\n{remarks}" if remarks else "")
        )
    sections.append(_END)
    return "\n".join(sections)


_END = """\
`make faults ARGS=--list` lists the experiments.
`make faults ARGS="--only kill --short"` runs one of them with small numbers.
"""


def _description(run: Callable[..., object]) -> str:
    """A function's docstring with one sentence a line."""
    paragraphs = (inspect.getdoc(run) or "").split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs).replace(". ", ".\n")


def _cells(result: Result) -> tuple[str, str, str, str]:
    if isinstance(result, Finding):
        verdict = {True: "met", False: "**not met**", None: ""}[result.met]
        return result.what, result.measured, result.bar, verdict
    return result.what, "", "", f"could not run: {result.why}"
