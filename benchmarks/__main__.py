"""``python -m benchmarks``: run the scenarios, print a table, write docs/explanation/figures.*.

The exit code is 0 even if a bar isn't met; the table shows it.
"""

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from benchmarks.drawing import svg
from benchmarks.figures import Figure, Result
from benchmarks.scenarios import Bench, scenario
from benchmarks.tables import machine, markdown_page, notes, terminal_table
from tests.support.named_runs import progress

_REGISTERED_BY = (
    "embedded",
    "gateway",
    "gateways",
    "asking",
    "longest",
    "workers",
    "by_hand",
    "starting",
    "lists",
    "followers",
    "many",
    "creating",
    "scanning",
)
_DOCS = Path(__file__).parent.parent / "docs" / "explanation"


def main(arguments: list[str]) -> int:
    """Run the chosen scenarios; the exit code."""
    for module in _REGISTERED_BY:
        importlib.import_module(f"benchmarks.{module}")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", choices=scenario.by_name(), help="run this scenario alone"
    )
    parser.add_argument("--quick", action="store_true", help="short rounds; not for publishing")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    options = parser.parse_args(arguments)
    if options.list:
        for known in scenario.by_name().values():
            print(f"{known.name:12}{known.title}")
        return 0
    results = _run([options.only] if options.only else list(scenario.by_name()), options.quick)
    print(f"\nOn {machine()}:\n\n{terminal_table(results)}\n")
    for note in notes(results):
        print(f"- {note}")
    # Only a full run of all scenarios is published.
    if not options.only and not options.quick:
        (_DOCS / "figures.md").write_text(markdown_page(results))
        drawn = [result for result in results if isinstance(result, Figure)]
        (_DOCS / "figures.svg").write_text(svg(drawn))
        print("\nWritten to docs/explanation/figures.md and docs/explanation/figures.svg.")
    return 0


def _run(names: list[str], quick: bool) -> list[Result]:
    say = progress()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="gatepass-bench-") as directory:
        bench = Bench(Path(directory), quick, say)
        for name in names:
            found = list(scenario.by_name()[name].run(bench))
            results.extend(found)
            if len(names) > 1:
                # A whole run takes half an hour or more.
                print(f"\n{terminal_table(found)}\n", flush=True)
        say("done")
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
