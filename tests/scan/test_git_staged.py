"""The staged contents: what the next commit would add, not what the work tree has."""

from pathlib import Path

import pytest

from gatepass.scan.findings import Finding, Unreadable
from gatepass.scan.git_history import scan_history
from gatepass.scan.git_staged import scan_staged
from tests.scan.conftest import TOKEN, Repository


def staged(*paths: str) -> list[tuple[str, int, int]]:
    found = list(scan_staged(paths))
    assert all(isinstance(one, Finding) for one in found), found
    return [(one.path, one.line, one.column) for one in found if isinstance(one, Finding)]


def test_the_index_counts_not_the_work_tree(repository: Repository) -> None:
    repository.put("a", f"key: {TOKEN}\n")
    Path("a").write_text("clean since\n")
    Path("untracked").write_text(TOKEN)
    # Before the first commit, too.
    assert staged() == [("a", 1, 6)]
    repository.put("a", "clean\n")
    Path("a").write_text(TOKEN)
    assert staged() == []


def test_only_new_and_changed_files_count(repository: Repository) -> None:
    repository.put("old", f"{TOKEN}\n")
    repository.put("removed", TOKEN)
    repository.put("changed", "x")
    repository.commit()
    repository.git("rm", "--quiet", "removed")
    repository.put("changed", f"x\n{TOKEN}")
    repository.put("with\nline feed", TOKEN)
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    assert staged() == [("changed", 2, 1), ("with\nline feed", 1, 1)]


def test_paths_limit_it(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("a", "b/c", "b/*", ":(top)"):
        repository.put(path, TOKEN)
    assert staged("a") == [("a", 1, 1)]
    assert staged("b") == [("b/*", 1, 1), ("b/c", 1, 1)]
    assert staged("b/*") == [("b/*", 1, 1)]
    assert staged(":(top)") == [(":(top)", 1, 1)]
    monkeypatch.chdir("b")
    assert staged("c") == [("b/c", 1, 1)]
    assert len(staged()) == 4
    (result,) = scan_staged(["misspelt"])
    assert isinstance(result, Unreadable)
    assert "misspelt" in result.reason


def test_the_index_that_a_hook_names(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``git commit -a`` prepares an index of its own."""
    repository.put("a", "a")
    repository.commit()
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository.path / ".git" / "next-index"))
    repository.git("read-tree", "HEAD")
    repository.put("a", TOKEN)
    assert staged() == [("a", 1, 1)]
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert staged() == []


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (result,) = scan_staged([])
    assert isinstance(result, Unreadable)
    assert "repository" in result.reason


def test_a_repository_can_run_no_command(repository: Repository, tmp_path: Path) -> None:
    """A repository's configuration comes from others: nothing that it names is started."""
    ran = tmp_path / "ran"
    command = f"touch {ran}; cat"
    repository.put(".gitattributes", "* diff=x filter=x\n")
    repository.put("a", "a")
    repository.commit()
    for name in (
        *("core.fsmonitor", "core.pager", "diff.external", "core.sshCommand"),
        *("diff.x.textconv", "diff.x.command", "filter.x.smudge", "core.askPass"),
    ):
        repository.git("config", name, command)
    repository.git("config", "filter.x.clean", "cat")
    Path("a").write_text(TOKEN)
    repository.git("-c", "core.fsmonitor=false", "add", "a")
    ran.unlink(missing_ok=True)
    assert staged("a") == staged() == [("a", 1, 1)]
    repository.git("-c", "core.fsmonitor=false", "commit", "--quiet", "-m", "x")
    ran.unlink(missing_ok=True)
    assert len(list(scan_history("."))) == 1
    assert not ran.exists()
