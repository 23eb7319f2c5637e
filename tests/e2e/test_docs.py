"""Runs the commands of docs/how-to/provisioning.md and of the second part of docs/tutorial.md.

Only addresses, files and secrets are replaced.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes.served_installation import (
    EMAIL,
    PASSWORD,
    ServedInstallation,
    new_token,
)
from tests.support.waiting import LIMIT_S

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedInstallation]:
    with ServedInstallation(tmp_path_factory.mktemp("docs")) as served:
        yield served


def blocks(page: str, since: str) -> list[str]:
    """The shell blocks of *page* after the heading *since*."""
    return re.findall(r"```sh\n(.*?)```", (_DOCS / page).read_text().partition(since)[2], re.S)


def run(script: str, served: ServedInstallation) -> str:
    path = f"{Path(sys.executable).parent}:{served.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**served.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def test_an_installation_is_provisioned_from_scripts(
    served: ServedInstallation, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    script = "\n".join(blocks("how-to/provisioning.md", "## 2. Create a key"))
    for shown, here in {
        "https://gatepass.example.com": served.url,
        "/run/secrets/ops-password": str(tmp_path / "password"),
        "ops@example.com": EMAIL,
        "203.0.113.0/24": "127.0.0.0/8",
    }.items():
        assert shown in script
        script = script.replace(shown, here)
    printed = run(script, served)
    for prefix in ("gpvk", "gpat", "gpiv"):
        assert re.search(rf"{prefix}_[0-9A-Za-z]{{54}}", printed), prefix
    assert '"network":"127.0.0.0/8"' in printed
    # The other test sends no address, which a company with an allowlist refuses.
    served.command("allowlist", "clear", "--company", "Analytical Engines")


def test_the_tutorial_ends_with_a_refused_call(served: ServedInstallation) -> None:
    with served.sign_in() as client:
        token = new_token(client, permissions=["charges:search"])["token"]
    create, ask, deactivate = blocks("tutorial.md", "### 4. Create a verifier key")
    key = run(create, served).strip()
    ask = ask.replace("http://127.0.0.1:8787", served.url)
    ask = ask.replace("gpvk_…", key).replace("gpat_…", token)
    assert json.loads(run(ask, served))["reason"] == "allowed"
    refused = json.loads(run(ask.replace('"GET"', '"POST"'), served))
    assert refused["reason"] == "permission_missing"
    run(deactivate.replace("gpat_…", token[:21]), served)
    assert json.loads(run(ask, served))["reason"] == "token_deactivated"


def test_a_pipeline_rotates_its_token(served: ServedInstallation, tmp_path: Path) -> None:
    """Also after a run that died before the new text was in its place."""
    file = tmp_path / "gatepass-token"
    with served.sign_in() as client:
        made = new_token(
            client,
            permissions=["charges:search", "own-token:rotate"],
            expires_at="2125-01-01T00:00:00Z",
        )
        file.write_text(f"{made['token']}\n")
        (script,) = blocks("how-to/rotate.md", "## In a pipeline")[:1]
        for shown, here in {
            "/var/lib/deploy/gatepass-token": str(file),
            "https://gatepass.example.com": served.url,
        }.items():
            assert shown in script
            script = script.replace(shown, here)
        run(script.partition("mv ")[0], served)
        assert file.read_text().strip() == made["token"]
        run(script, served)
        now = client.get(f"/v1/access-tokens/{made['id']}").json()["rotation"]["replaced_by"]
        assert file.read_text()[:21] == now
        assert client.get(f"/v1/access-tokens/{now}").json()["status"] == "active"
        assert sorted(path.name for path in tmp_path.iterdir()) == [file.name]
