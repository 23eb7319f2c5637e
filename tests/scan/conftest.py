"""Fixtures: a Git repository."""

import os
import subprocess
from pathlib import Path

import pytest

#: Two credentials of different kinds.
TOKEN = "gpat_0123456789ABCDEFabcdefghijklmnopqrstuvwxyz0123452AXRNJ"
KEY = "gpvk_0123456789ABCDEFabcdefghijklmnopqrstuvwxyz0123452SWnMM"


class Repository:
    """A Git repository in a directory, which is the current one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        """Run ``git``; its output."""
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def put(self, path: str, content: str) -> None:
        """Write a file of the work tree, and stage it."""
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.fsencode(content))
        self.git("--literal-pathspecs", "add", "--", path)

    def commit(self, message: str = "change", *options: str) -> str:
        """Commit what is staged; the commit's hash."""
        self.git("commit", "--quiet", "--allow-empty", *options, "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """An empty repository, without the user's or the system's configuration."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@acme.example")
    path = tmp_path / "repository"
    path.mkdir()
    monkeypatch.chdir(path)
    return Repository(path)
