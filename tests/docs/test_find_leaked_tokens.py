"""The rules for other scanners, and the hooks, do what docs/how-to/find-leaked-tokens.md says."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
import yaml

from gatepass.core.credentials import PREFIXES, make
from gatepass.scan.rules import RULES
from tests.support.vector_files import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/find-leaked-tokens.md").read_text()


def block(language: str, beginning: str) -> str:
    """The page's block of code in *language* that has a line with *beginning*."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.S | re.M)
    (found,) = (text for text in blocks if re.search(f"^{re.escape(beginning)}", text, re.M))
    return str(found)


GITLEAKS = tomllib.loads(block("toml", "[[rules]]"))
TRUFFLEHOG = yaml.safe_load(block("yaml", "detectors:"))["detectors"]


def by_rules(content: str) -> list[tuple[str, str]]:
    """What gitleaks finds: ids of rules and texts."""
    return [
        (rule["id"], found)
        for rule in GITLEAKS["rules"]
        if any(keyword in content for keyword in rule["keywords"])
        for found in re.findall(rule["regex"], content)
    ]


def test_gitleaks_has_a_rule_for_every_kind() -> None:
    for prefix in PREFIXES:
        text = make(prefix).text
        assert by_rules(f"key={text}\n") == [(RULES[prefix].id, text)]
    assert GITLEAKS["extend"] == {"useDefault": True}


def test_trufflehog_finds_every_kind() -> None:
    (detector,) = TRUFFLEHOG
    (regex,) = detector["regex"].values()
    for prefix in PREFIXES:
        text = make(prefix).text
        assert re.findall(regex, f"key={text}\n") == [text]
    assert set(detector["keywords"]) == {f"{prefix}_" for prefix in PREFIXES}


def test_the_rules_find_what_the_vectors_have() -> None:
    """Where these scanners read the content at all: UTF-8 without an overlapping text."""
    (regex,) = TRUFFLEHOG[0]["regex"].values()
    compared = 0
    for case in load("scan.yaml")["found"]:
        ids = [id for id, _, _ in case["at"]]
        if "encoding" not in case and "malformed" not in case["shows"]:
            assert sorted(text[:21] for _, text in by_rules(case["content"])) == sorted(ids)
            assert [text[:21] for text in re.findall(regex, case["content"])] == ids
            compared += 1
    assert compared > 5
    for case in load("scan.yaml")["nothing"]:
        if "checksum" not in case["shows"]:
            assert by_rules(case["content"]) == re.findall(regex, case["content"]) == []


def test_gitleaks_itself(tmp_path: Path) -> None:
    """Where it is installed; the test above reads the same rules without it."""
    if shutil.which("gitleaks") is None:
        return
    (tmp_path / "rules.toml").write_text(block("toml", "[[rules]]"))
    (tmp_path / "tree").mkdir()
    made = [make(prefix) for prefix in PREFIXES]
    (tmp_path / "tree" / "env").write_text("".join(f"A={one.text}\n" for one in made))
    report = tmp_path / "report.json"
    options = ("--no-banner", "--config", "rules.toml", "--report-path", report)
    subprocess.run(["gitleaks", "dir", *options, "tree"], cwd=tmp_path, capture_output=True)
    found = {(one["RuleID"], one["Secret"]) for one in json.loads(report.read_text())}
    assert {(RULES[one.id[:4]].id, one.text) for one in made} <= found


# --- hooks ----------------------------------------------------------------------------------------


def _required(distribution: str) -> set[str]:
    """A distribution and all that it requires, without extras."""
    found, queue = set(), [distribution]
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            lines = [line for line in requires(name) or [] if "extra ==" not in line]
            names = [re.split(r"[^\w.-]", line)[0] for line in lines if "platform_" not in line]
            queue += [re.sub(r"[-_.]+", "-", one).lower() for one in names]
    return found


def test_pre_commit_installs_what_the_command_needs(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert f"id: {hook['id']}" in PAGE
    (tmp_path / "--help").write_text(make("gpat").text)
    program = (
        "import sys; from gatepass.cli import main; code = main();"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    gatepass, *arguments = [*hook["entry"].split(), *hook["args"], "--help"]
    assert gatepass == "gatepass"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    # The file, not the option.
    assert (done.returncode, done.stdout[:11]) == (1, "--help:1:1:")
    distributions: Any = packages_distributions()
    imported = {module.partition(".")[0] for module in done.stderr.splitlines()[-1].split()}
    used = {
        re.sub(r"[-_.]+", "-", name).lower()
        for module in imported
        for name in distributions.get(module, ())
    }
    installed = _required("gatepass")
    for line in hook["additional_dependencies"]:
        installed |= _required(re.split("[^a-z]", line)[0])
    assert "typer" in used
    # An editable installation and the interpreter's own start need setuptools, not the command.
    assert used - {"setuptools", "gatepass"} <= installed


def test_the_hook_of_git_refuses_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by ``git commit -a``, for which git prepares another index."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

    def git(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@acme.example", *arguments)
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    git("init", "--quiet")
    hook = tmp_path / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(block("sh", "exec gatepass"))
    hook.chmod(0o755)
    file = tmp_path / "env"
    file.write_text("TOKEN=\n")
    git("add", "env")
    assert git("commit", "-m", "x").returncode == 0
    token = make("gpat")
    file.write_text(f"TOKEN={token.text}\n")
    done = git("commit", "-a", "-m", "x")
    assert done.returncode == 1
    assert f"env:1:7: {token.id}, an access token" in done.stdout + done.stderr
    assert token.text not in done.stdout + done.stderr
