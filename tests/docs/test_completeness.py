"""The reference and troubleshooting pages have an entry for every setting, reason, log line …"""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from gatepass import environment
from gatepass.cli import tree
from gatepass.core.reason import Reason
from gatepass.node_counters import SIGN_IN_FAILURES
from gatepass.registry.storage.schema import VERSIONS
from gatepass.settings import Settings
from gatepass.web.misconfiguration import Fault

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = sorted((ROOT / "src/gatepass").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
#: Default reasons of error classes whose instances always name their own.
_NEVER_SENT = {"error", "conflict", "link_broken"}
_LOGGERS = {"_log", "log", "logger"}
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def page(name: str) -> str:
    return (DOCS / name).read_text()


def test_every_setting_has_its_row() -> None:
    text = page("reference/settings.md")
    missing = [one.name for one in fields(Settings) if f"GATEPASS_{one.name.upper()}`" not in text]
    assert missing == []


def test_no_variable_of_a_documented_program_is_taken_for_a_misspelt_setting() -> None:
    """A host may run a server and a program that asks it."""
    read = r"""(?:environ\[["']|process\.env\.|export )(GATEPASS_\w+)"""
    names = {name for each in PAGES for name in re.findall(read, each.read_text())}
    assert {"GATEPASS_URL", "GATEPASS_ADMIN_KEY"} <= names
    assert list(environment.warnings(dict.fromkeys(names, "x"), Settings.names())) == []
    text = page("reference/settings.md")
    assert [one for one in environment.OF_CLIENTS if f"`GATEPASS_{one}`" not in text] == []


def test_the_changelog_names_the_schema_to_migrate_to() -> None:
    assert VERSIONS[-1] in (ROOT / "CHANGELOG.md").read_text()


# --- commands -------------------------------------------------------------------------------------


def _commands(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The executable commands below *command*, by name."""
    groups = getattr(command, "commands", None)
    if groups is None:
        yield names, command
    else:
        for name, below in groups.items():
            yield from _commands(below, *names, name)


COMMANDS = {names: one for name in tree.COMMANDS for names, one in _commands(tree.load(name), name)}


def _options(command: Any) -> set[str]:
    return {name for one in command.params for name in one.opts if name.startswith("--")}


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_has_its_row(names: tuple[str, ...]) -> None:
    lines = page("reference/cli.md").splitlines()
    rows = [line for line in lines if line.startswith(f"| `gatepass {names[0]} ")]
    row = " ".join(rows or [line for line in lines if line.startswith(f"| `gatepass {names[0]}`")])
    for word in (*names, *(_options(COMMANDS[names]) - {"--json", "--help"})):
        assert word in row, word


def test_every_command_that_a_page_shows_exists() -> None:
    shown = 0
    for path in PAGES:
        for line in re.findall(
            r"^ *(?:GATEPASS_\S+ )*gatepass ([^|<#\n]+)", path.read_text(), re.M
        ):
            words = line.split()
            names = next((n for n in COMMANDS if n == tuple(words[: len(n)])), None)
            assert names or words[0].endswith(":"), (path.name, line)
            if names:
                used = {word.partition("=")[0] for word in words if word.startswith("--")}
                assert used <= _options(COMMANDS[names]) | {"--json"}, (path.name, line)
                shown += 1
    assert shown > 10


# --- reasons, log lines, metrics, API calls -------------------------------------------------------


def _trees() -> Iterator[ast.Module]:
    return (ast.parse(path.read_text()) for path in SOURCES)


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def reasons() -> Iterator[str | None]:
    """The reasons of errors, problems and decisions."""
    yield from (reason.value for reason in Reason)
    for node in (node for module in _trees() for node in ast.walk(module)):
        if isinstance(node, ast.Call):
            yield from (_text(one.value) for one in node.keywords if one.arg == "reason")
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in {"Problem", "problem_of_reason"} and len(node.args) > 1:
                yield _text(node.args[1])
        elif isinstance(node, ast.ClassDef):
            for one in node.body:
                if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "reason":
                    yield _text(one.value)
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_REASON_OF_STATUS":
            assert isinstance(node.value, ast.Dict)
            yield from map(_text, node.value.values)


def test_every_reason_has_its_entry() -> None:
    text = page("how-to/troubleshooting/by-reason.md")
    sent = {reason for reason in reasons() if reason} - _NEVER_SENT - {"allowed"}
    assert len(sent) > 40
    assert {one for one in sent if f"### {one}\n" not in text and f"`{one}`" not in text} == set()


def _logged() -> Iterator[str]:
    """The formats of log lines, with ``…`` for their arguments."""
    for node in (node for module in _trees() for node in ast.walk(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            logger = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if logger in _LOGGERS and node.func.attr in _LEVELS and node.args:
                line = _text(node.args[0])
                assert line is not None, ast.unparse(node)
                yield re.sub(r"%[\d.]*[sdrf]", "…", line).replace("\n", "")
        elif isinstance(node, ast.Call):
            # Periodic tasks log their failures.
            for one in node.keywords:
                text = _text(one.value) if one.arg == "failure" else None
                if text is not None:
                    yield f"{text}: …"
        elif isinstance(node, ast.ClassDef) and node.name == "Fault":
            values = [_text(one.value) for one in node.body if isinstance(one, ast.Assign)]
            yield from (value.replace("{}", "…") for value in values if value)


def test_every_log_line_has_its_entry() -> None:
    text = page("how-to/troubleshooting/by-log-line.md")
    lines = {line for line in _logged() if line.strip("…")}
    assert len(lines) > 40
    assert {line for line in lines if f"`{line}`" not in text} == set()


def test_every_metric_has_its_row() -> None:
    text = page("reference/metrics.md")
    modules = (ROOT / "src/gatepass/web/metrics").glob("*.py")
    source = "".join(path.read_text() for path in modules)
    names = set(re.findall(r"\"(gatepass_[a-z_]+|process_[a-z_]+)\"", source))
    assert len(names) > 5
    assert {name for name in names if f"| `{name}" not in text} == set()


def test_every_kind_that_metrics_count_is_named() -> None:
    text = page("reference/metrics.md")
    kinds = {fault.name for fault in Fault} | set(SIGN_IN_FAILURES)
    assert {kind for kind in kinds if f"`{kind}`" not in text} == set()


def test_every_call_of_the_api_is_documented() -> None:
    text = page("reference/api.md")
    routes = {
        _text(node.args[0])
        for path in sorted((ROOT / "src/gatepass/web/api").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"get", "post", "put", "patch", "delete"}
        and node.args
        and (_text(node.args[0]) or "").startswith("/")
    }
    assert len(routes) > 20
    assert {route for route in routes if route and route not in text} == set()


# --- the module map -------------------------------------------------------------------------------

SOURCE = ROOT / "src/gatepass"


def test_the_module_map_has_every_package() -> None:
    text = page("explanation/architecture.md").partition("## Module map")[2]
    text = text.partition("### Where a new resource goes")[0]
    packages = [
        path.parent.name
        for folder in (SOURCE, SOURCE / "registry", SOURCE / "web")
        for path in folder.glob("*/__init__.py")
    ]
    assert len(packages) > 20
    assert [name for name in packages if f"`{name}`" not in text] == []


def test_every_module_on_the_map_exists() -> None:
    text = page("explanation/architecture.md")
    named = re.findall(r"`((?:core|verify|registry|web|cli|embed|mail|node)/[\w/.]+)`", text)
    assert len(named) > 10
    assert [name for name in named if not (SOURCE / name).exists()] == []
