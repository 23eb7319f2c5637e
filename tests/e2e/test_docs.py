"""The commands that docs/how-to/provisioning.md and the second part of docs/tutorial.md show, run
as they stand there; only addresses, files and secrets are replaced."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes.served_installation import EMAIL, PASSWORD, Running, new_token

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("docs")) as running:
        yield running


def blocks(page: str, since: str) -> list[str]:
    """The shell blocks of *page* from the heading *since* on."""
    return re.findall(r"```sh\n(.*?)```", (_DOCS / page).read_text().partition(since)[2], re.S)


def run(script: str, running: Running) -> str:
    path = f"{Path(sys.executable).parent}:{running.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**running.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


@pytest.mark.skipif(shutil.which("jq") is None, reason="the page's scripts use jq")
def test_an_installation_is_provisioned_from_scripts(running: Running, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    script = "\n".join(blocks("how-to/provisioning.md", "## 2. Create a key"))
    for shown, here in {
        "https://gatepass.example.com": running.url,
        "/run/secrets/ops-password": str(tmp_path / "password"),
        "ops@example.com": EMAIL,
        "203.0.113.0/24": "127.0.0.0/8",
    }.items():
        assert shown in script
        script = script.replace(shown, here)
    printed = run(script, running)
    for prefix in ("gpvk", "gpat", "gpiv"):
        assert re.search(rf"{prefix}_[0-9A-Za-z]{{54}}", printed), prefix
    assert '"network":"127.0.0.0/8"' in printed
    # The other test asks without an address, which a company with an allowlist refuses.
    running.command("allowlist", "clear", "--company", "Analytical Engines")


def test_the_tutorial_ends_with_a_refused_call(running: Running) -> None:
    with running.sign_in() as client:
        token = new_token(client, permissions=["charges:search"])["token"]
    create, ask, deactivate = blocks("tutorial.md", "### 4. Create a verifier key")
    key = run(create, running).strip()
    ask = ask.replace("http://127.0.0.1:8787", running.url)
    ask = ask.replace("gpvk_…", key).replace("gpat_…", token)
    assert json.loads(run(ask, running))["reason"] == "allowed"
    refused = json.loads(run(ask.replace('"GET"', '"POST"'), running))
    assert refused["reason"] == "permission_missing"
    run(deactivate.replace("gpat_…", token[:21]), running)
    assert json.loads(run(ask, running))["reason"] == "token_deactivated"
