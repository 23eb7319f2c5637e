"""``gatepass scan``: finds leaked credentials. It reads no settings and opens no installation."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from gatepass.cli.tree import app
from gatepass.core.display_text import printable
from gatepass.scan.files import scan_paths
from gatepass.scan.findings import Finding, Result, Unreadable
from gatepass.scan.git_history import scan_history
from gatepass.scan.git_staged import scan_staged
from gatepass.scan.rules import RULES

_SHOWN_OF_COMMIT = 12


class Format(StrEnum):
    """The values of ``--format``."""

    text = "text"
    json = "json"
    sarif = "sarif"


@app.command()
def scan(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Files and directories; - is standard input.",
            show_default=False,
        ),
    ] = None,
    git: Annotated[
        bool,
        typer.Option(
            "--git", help="Scan all commits of the repositories that PATHs are in, by default of ."
        ),
    ] = False,
    staged: Annotated[
        bool,
        typer.Option(
            "--staged", help="Scan the staged contents of this repository, all or those of PATHs."
        ),
    ] = False,
    format: Annotated[Format, typer.Option(help="The form of the results.")] = Format.text,
) -> None:
    """Find leaked credentials in files, a Git repository or standard input.

    Exit code 1 means that some were found, 2 that something could not be read. Secrets are never
    shown.
    """
    if git and staged:
        raise typer.BadParameter("must not be combined with --git", param_hint="--staged")
    if not paths and not git and not staged:
        raise typer.BadParameter("must be a file, a directory or -", param_hint="PATH")
    if staged:
        results = scan_staged(paths or [])
    elif git:
        results = (result for path in paths or ["."] for result in scan_history(path))
    else:
        results = scan_paths(paths or [])
    findings, unreadable = _report(results, format)
    raise typer.Exit(2 if unreadable else 1 if findings else 0)


def _report(results: Iterator[Result], format: Format) -> tuple[list[Finding], list[Unreadable]]:
    """Print the results, in text as they come; they are returned apart."""
    findings: list[Finding] = []
    unreadable: list[Unreadable] = []
    for result in results:
        if isinstance(result, Unreadable):
            unreadable.append(result)
            line = printable(f"{result.path} can't be read: {result.reason}")
            print(f"gatepass: {line}", file=sys.stderr)
        else:
            findings.append(result)
            if format is Format.text:
                print(_line(result))
    if format is Format.text:
        sys.stdout.flush()
        _say_what_to_do(findings)
    else:
        _print_report(findings, unreadable, format)
    return findings, unreadable


def _print_report(findings: list[Finding], unreadable: list[Unreadable], format: Format) -> None:
    # Imported here: a third of the time of a small scan for a person.
    from importlib.metadata import version

    from gatepass.cli.output import print_json
    from gatepass.scan.sarif import sarif_log

    if format is Format.sarif:
        print_json(sarif_log(findings, unreadable, version("gatepass")))
        return
    print_json(
        {
            "findings": [_as_json(one) for one in findings],
            "unreadable": [{"path": one.path, "reason": one.reason} for one in unreadable],
        }
    )


def _line(found: Finding) -> str:
    since = "" if found.commit is None else f", since commit {found.commit[:_SHOWN_OF_COMMIT]}"
    place = f"{printable(found.path)}:{found.line}:{found.column}"
    return f"{place}: {found.id}, {RULES[found.prefix].a_noun}{since}"


def _as_json(found: Finding) -> dict[str, object]:
    return {
        "rule": RULES[found.prefix].id,
        "id": found.id,
        "path": found.path,
        "line": found.line,
        "column": found.column,
        "commit": found.commit,
    }


def _say_what_to_do(findings: list[Finding]) -> None:
    """Say on stderr what to do about each kind of credential that was found."""
    for prefix in dict.fromkeys(found.prefix for found in findings):
        rule = RULES[prefix]
        remedy = rule.remedy.replace("`", "")
        print(f"gatepass: what to do about {rule.a_noun}: {remedy}", file=sys.stderr)
