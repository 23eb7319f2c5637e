"""``gatepass scan``: its forms of output. The transcript has the rest."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from gatepass.core.credentials import make
from tests.cli.conftest import Gatepass


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def test_sarif_and_json_say_the_same(gatepass: Gatepass, directory: Path) -> None:
    made = [make("gpat"), make("gpak")]
    for one in made:
        (directory / one.id).write_text(one.text)
    said = gatepass("scan", ".", "nowhere", "--format", "json")
    assert said.code == 2
    listed = json.loads(said.out)
    assert {one["id"] for one in listed["findings"]} == {one.id for one in made}
    assert listed["unreadable"] == [{"path": "nowhere", "reason": "No such file or directory"}]
    said = gatepass("scan", ".", "--format", "sarif")
    assert said.code == 1
    assert said.err == ""
    (run,) = json.loads(said.out)["runs"]
    assert [one["ruleId"] for one in run["results"]] == [one["rule"] for one in listed["findings"]]
    assert run["tool"]["driver"]["version"] in gatepass("--version").out
    for one in made:
        assert one.text not in said.out


def test_a_name_cant_control_the_terminal_or_show_a_secret(
    gatepass: Gatepass, directory: Path
) -> None:
    token = make("gpat")
    name = os.fsdecode(b"caf\xe9\n\x1b[2J\xe2\x80\xae") + token.text
    (directory / name).write_text(token.text)
    said = gatepass("scan", ".")
    (line,) = said.out.splitlines()
    assert line == (f"./caf\ufffd\ufffd\ufffd[2J\ufffd{token.id}…:1:1: {token.id}, an access token")
    assert token.text not in said.err
    (found,) = json.loads(gatepass("scan", ".", "--format", "json").out)["findings"]
    assert found["path"] == f"./{name.replace(token.text, token.id)}…"
    (directory / "link").symlink_to(directory / name / token.text)
    said = gatepass("scan", f"{name}/{token.text}", token.text, f"link/{token.text}")
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 3
    assert token.text not in said.err


def test_a_history_names_the_commit(gatepass: Gatepass, directory: Path) -> None:
    def git(*arguments: str) -> str:
        command = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@acme.example", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    token = make("gpvk")
    git("init", "--quiet")
    (directory / "env").write_text(f"KEY={token.text}\n")
    git("add", "env")
    git("commit", "--quiet", "-m", "x")
    commit = git("rev-parse", "HEAD")
    git("rm", "--quiet", "env")
    git("commit", "--quiet", "-m", "x")
    assert gatepass("scan", ".").code == 0
    for arguments in ((), (".",)):
        said = gatepass("scan", "--git", *arguments)
        assert said.code == 1
        assert said.out == f"env:1:5: {token.id}, a verifier key, since commit {commit[:12]}\n"
        assert "gatepass verifier deactivate" in said.err
    assert gatepass("scan", "--staged").code == 0
