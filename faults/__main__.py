"""``python -m faults``: run the experiments, print a table, write docs/explanation/faults.*.

The exit code is 1 if a promise wasn't met.
"""

import argparse
import importlib
import logging
import sys
import tempfile
import traceback
from pathlib import Path

from faults.drawing import svg
from faults.experiments import Finding, Lab, Result, experiment
from faults.tables import markdown_page, notes, terminal_table
from tests.support.named_runs import progress

REGISTERED_BY = (
    "deactivations",
    "kill",
    "outage",
    "failover",
    "connections",
    "clock",
    "crowds",
    "disk",
    "schedules",
    "webhooks",
    "rotation",
    "warnings",
    "streams",
)
_DOCS = Path(__file__).parent.parent / "docs" / "explanation"


def main(arguments: list[str]) -> int:
    """Run the chosen experiments; the exit code."""
    for module in REGISTERED_BY:
        importlib.import_module(f"faults.{module}")
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=experiment.by_name(),
        help="run this experiment (repeatable)",
    )
    parser.add_argument("--short", action="store_true", help="smaller numbers; not for publishing")
    parser.add_argument("--list", action="store_true", help="list the experiments")
    options = parser.parse_args(arguments)
    if options.list:
        for known in experiment.by_name().values():
            print(f"{known.name:16}{known.title}")
        return 0
    logging.basicConfig(level=logging.ERROR)
    found, lab = _run(options.only or list(experiment.by_name()), options.short)
    print(f"\n{terminal_table(found)}\n")
    for note in notes(found):
        print(f"- {note}")
    # Only a full run of all experiments is published.
    if not options.only and not options.short:
        (_DOCS / "faults.md").write_text(markdown_page(found))
        (_DOCS / "faults.svg").write_text(svg(lab))
        print("\nWritten to docs/explanation/faults.md and docs/explanation/faults.svg.")
    return 0 if all_met(found) else 1


def all_met(found: dict[str, list[Result]]) -> bool:
    """Whether every promise was met."""
    return all(
        not (isinstance(result, Finding) and result.met is False)
        for results in found.values()
        for result in results
    )


def _run(names: list[str], short: bool) -> tuple[dict[str, list[Result]], Lab]:
    say = progress()
    found: dict[str, list[Result]] = {}
    lab = Lab(Path(), short, say)
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"gatepass-faults-{name}-") as directory:
            lab.directory = Path(directory)
            found[name] = []
            say(f"{name}: {experiment.by_name()[name].title}")
            try:
                for result in experiment.by_name()[name].run(lab):
                    found[name].append(result)
                    if isinstance(result, Finding):
                        verdict = {True: "PASS", False: "FAIL", None: "    "}[result.met]
                        say(f"  {verdict} {result.what}: {result.measured}")
                    else:
                        say(f"  skipped {result.what}: {result.why}")
            except Exception as error:
                # An experiment that fails must not stop the others.
                traceback.print_exc()
                failed = f"failed: {type(error).__name__}"
                found[name].append(Finding("the experiment itself", failed, "completes", False))
    say("done")
    return found, lab


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
