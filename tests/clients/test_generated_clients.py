"""Clients that are generated from a served installation's document, as the docs page shows.

`make tools-env` installs the generators; without them these tests fail, and say so.
"""

import json
import re
import sys
from pathlib import Path

import httpx
import pytest

from tests.clients.programs import PYTHON_TOOLS, ROOT, blocks, run
from tests.support.apps.installation import PASSWORD
from tests.support.processes.served_installation import EMAIL, ServedInstallation

pytestmark = pytest.mark.processes

PAGE = ROOT / "docs/how-to/generate-a-client.md"
#: What both programs print, apart from quotation marks.
PRINTED = """\
changed: Nightly [ charges:get ]
not changed: 409 changed_meanwhile Nightly
page: [ Settlement 4, Settlement 3 ]
page: [ Settlement 2, Settlement 1 ]
page: [ Nightly ]
decision: true allowed Nightly
decisions: [ allowed, permission_missing ]
refused: 422 invalid [ permissions.0 ]
deactivated: deactivated false token_deactivated
"""


def commands(block: str) -> list[str]:
    """The commands of a block, apart from those that install packages, which are pinned here."""
    lines = [line for line in block.splitlines() if not re.match(r"(pip|npm) install", line)]
    assert 0 < len(lines) < len(block.splitlines())
    return lines


def variables(served: ServedInstallation) -> dict[str, str]:
    """The environment of both programs; the page names no other variable."""
    first = blocks(PAGE, "sh")[0]
    values = {
        "GATEPASS_URL": served.url,
        "GATEPASS_EMAIL": EMAIL,
        "GATEPASS_PASSWORD": PASSWORD,
        "GATEPASS_VERIFIER_KEY": served.verifier_key,
    }
    assert re.findall(r"^export (\w+)=", first, re.M) == list(values)
    return values


def plain(printed: str) -> str:
    """What a program printed, in the spelling of ``PRINTED``."""
    text = re.sub(r"['\"]", "", printed).replace("True", "true").replace("False", "false")
    return re.sub(r"\[ ?(.*?) ?\]", r"[ \1 ]", text)


def test_redocly_finds_nothing_to_say(served: ServedInstallation, work: Path) -> None:
    document = httpx.get(f"{served.url}/v1/openapi.json")
    assert document.headers["content-type"] == "application/json"
    (work / "openapi.json").write_bytes(document.content)
    found = json.loads(run("npx redocly lint openapi.json --format=json", work, {}))
    # An id or reference never is "by-external-id": that path isn't ambiguous.
    others = [
        each
        for each in found["problems"]
        if each["ruleId"] != "no-ambiguous-paths" or "by-external-id" not in each["message"]
    ]
    assert others == []


def test_a_python_client_makes_a_call_of_every_kind(served: ServedInstallation, work: Path) -> None:
    environ = variables(served)
    (program,) = blocks(PAGE, "python")
    (work / "program.py").write_text(program)
    for command in commands(blocks(PAGE, "sh")[1]):
        run(f"{command} --fail-on-warning", work, environ)
    assert plain(run(f"{PYTHON_TOOLS}/python program.py", work, environ)) == PRINTED
    checked = "-m mypy --strict --follow-imports=silent --no-incremental program.py"
    assert "Success" in run(f"{sys.executable} {checked}", work, environ)


def test_a_typescript_client_makes_a_call_of_every_kind(
    served: ServedInstallation, work: Path
) -> None:
    environ = variables(served)
    (program,) = blocks(PAGE, "ts")
    (work / "program.mts").write_text(program)
    printed = [run(command, work, environ) for command in commands(blocks(PAGE, "sh")[2])]
    assert plain(printed[-1]) == PRINTED


def test_the_page_installs_what_is_pinned_here() -> None:
    text = PAGE.read_text()
    pinned = json.loads((ROOT / "tests/tools/package.json").read_text())["devDependencies"]
    named = " ".join(re.findall(r"^npm install (.*)$", text, re.M)).split()
    assert {name for name in named if not name.startswith("--")} <= set(pinned)
    (python,) = re.findall(r"^pip install (.*)$", text, re.M)
    assert python == (ROOT / "requirements/openapi-python-client.in").read_text().strip()


def test_the_lock_file_pins_by_hash_and_names_no_registry() -> None:
    lock = json.loads((ROOT / "tests/tools/package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert len(packages) > 10
    for name, each in packages.items():
        assert each["integrity"].startswith("sha512-"), name
        assert "resolved" not in each, name
    assert "://" not in json.dumps(lock)
