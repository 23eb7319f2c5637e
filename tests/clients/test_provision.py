"""Runs the two programs of docs/how-to/provision.md against a served installation."""

import json
import re
import shlex
import sys
from pathlib import Path

import httpx
import pytest

from tests.clients.programs import ROOT, blocks, run
from tests.support.processes.served_installation import ServedInstallation

pytestmark = pytest.mark.processes

PAGE = ROOT / "docs/how-to/provision.md"
MOST_LINES = 40


def environment(served: ServedInstallation) -> dict[str, str]:
    """The programs' variables: the page names no other."""
    create, export = blocks(PAGE, "sh")[:2]
    command = [*shlex.split(create)[1:], "--json"]
    key = json.loads(served.command(*command).stdout)["key"]
    values = {"GATEPASS_URL": served.url, "GATEPASS_ADMIN_KEY": key}
    assert re.findall(r"^export (\w+)=", export, re.M) == list(values)
    return values


def answers(served: ServedInstallation, key: str, token: str) -> str:
    """The reason of a decision with the customer's own verifier key."""
    bearer = {"Authorization": f"Bearer {key}"}
    call = {"token": token, "permission": "charges:get"}
    reason: str = httpx.post(f"{served.url}/v1/verify", headers=bearer, json=call).json()["reason"]
    return reason


def walk(served: ServedInstallation, work: Path, command: str) -> None:
    """Run a program twice, end with it, and come back."""
    environ = environment(served)
    first = run(command, work, environ)
    (key,) = re.findall("^verifier key: (gpvk_\\w+)$", first, re.M)
    (token,) = re.findall("^token: (gpat_\\w+)$", first, re.M)
    assert first.splitlines()[-1] == "active: Till 1 of shops/7"
    assert answers(served, key, token) == "allowed"
    # Nothing is made twice.
    assert run(command, work, environ).splitlines() == [
        f"verifier key: {key}",
        "active: Till 1 of shops/7",
    ]
    ended = run(f"{command} leave", work, environ).splitlines()
    assert ended[-3:] == ["deactivated"] * 3
    assert answers(served, key, token) != "allowed"
    again = run(command, work, environ)
    assert key not in again
    (new,) = re.findall("^token: (gpat_\\w+)$", again, re.M)
    assert answers(served, key, new) == "token_invalid", "the former company's key"
    run(f"{command} leave", work, environ)


def test_in_python(served: ServedInstallation, work: Path) -> None:
    (program,) = blocks(PAGE, "python")
    assert len(program.splitlines()) <= MOST_LINES
    (work / "provision.py").write_text(program)
    walk(served, work, f"{sys.executable} provision.py")
    checked = "-m mypy --strict --follow-imports=silent --no-incremental provision.py"
    assert "Success" in run(f"{sys.executable} {checked}", work, {})


def test_in_typescript(served: ServedInstallation, work: Path) -> None:
    (program,) = blocks(PAGE, "ts")
    assert len(program.splitlines()) <= MOST_LINES
    (work / "provision.mts").write_text(program)
    (command,) = blocks(PAGE, "sh")[2].splitlines()
    walk(served, work, command)
    run("npx tsc --strict --noEmit --target es2022 --module nodenext provision.mts", work, {})
