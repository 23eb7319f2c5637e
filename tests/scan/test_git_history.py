"""All commits of a repository: each credential once, with the first commit that has it."""

import os
import shutil
from pathlib import Path

import pytest

from gatepass.scan.findings import Finding, Unreadable
from gatepass.scan.git_history import scan_history
from tests.scan.conftest import KEY, TOKEN, Repository


def history(path: str = ".") -> list[tuple[str, int, int, str | None]]:
    found = list(scan_history(path))
    assert all(isinstance(one, Finding) for one in found), found
    return [
        (one.path, one.line, one.column, one.commit) for one in found if isinstance(one, Finding)
    ]


def test_a_credential_that_a_later_commit_removes(repository: Repository) -> None:
    repository.put("src/app.py", "import os\n")
    repository.commit()
    repository.put("src/app.py", f"import os\nKEY = '{TOKEN}'\n")
    leaked = repository.commit("add the key")
    repository.put("src/app.py", "import os\nKEY = os.environ['KEY']\n")
    repository.commit("read the key from the environment")
    assert history() == [("src/app.py", 2, 8, leaked)]
    # Also from a directory of it.
    assert history("src") == history()


def test_each_credential_once_wherever_it_moves(repository: Repository) -> None:
    repository.put("a", f"{TOKEN}\n")
    first = repository.commit()
    repository.put("a", f"one more line\n{TOKEN}\n")
    repository.put("b", f"{TOKEN}\n{KEY}\n")
    second = repository.commit()
    assert history() == [("a", 1, 1, first), ("b", 2, 1, second)]


def test_parents_come_before_children_whatever_their_dates(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(year: int) -> None:
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{year}-01-01T00:00:00Z")

    at(2010)
    repository.commit()
    at(2030)
    repository.put("a", TOKEN)
    first = repository.commit()
    repository.git("switch", "--quiet", "-c", "other")
    at(2020)
    repository.put("b", f"copied {TOKEN}")
    repository.commit()
    repository.git("switch", "--quiet", "main")
    at(2040)
    repository.commit()
    repository.git("merge", "--quiet", "other")
    assert history() == [("a", 1, 1, first)]


def test_other_branches_merges_the_stash_and_messages(repository: Repository) -> None:
    repository.put("a", "a")
    repository.commit()
    repository.git("switch", "--quiet", "-c", "other")
    repository.put("b", TOKEN)
    on_other = repository.commit()
    repository.git("switch", "--quiet", "main")
    repository.put("c", "c")
    repository.commit()
    assert history() == [("b", 1, 1, on_other)]

    # One that neither parent has.
    repository.git("merge", "--quiet", "--no-commit", "other")
    repository.put("c", f"c\n{KEY}")
    merge = repository.commit()
    assert set(history()) == {("b", 1, 1, on_other), ("c", 2, 1, merge)}
    repository.git("reset", "--quiet", "--hard", "HEAD~")
    assert history() == [("b", 1, 1, on_other)]

    repository.put("c", KEY)
    repository.git("stash")
    ((path, line, column, commit),) = set(history()) - {("b", 1, 1, on_other)}
    assert (path, line, column) == ("c", 1, 1)
    assert commit is not None
    repository.git("stash", "drop")

    commit = repository.commit(f"use {KEY}")
    ((path, _, column, found_in),) = set(history()) - {("b", 1, 1, on_other)}
    assert (path, column, found_in) == ("(message)", 5, commit)


def test_tags(repository: Repository) -> None:
    """A tag's message and a file that a tag names are in no commit."""
    repository.commit()
    repository.git("tag", "-a", "v1", "-m", f"made with {TOKEN}")
    Path("file").write_text(KEY)
    id = repository.git("hash-object", "-w", "file")
    repository.git("tag", "file", id)
    found = sorted(history())
    assert found == [("(message)", 6, 11, None), (f"(object {id})", 1, 1, None)]


def test_what_no_commit_reaches_is_not_history(repository: Repository) -> None:
    repository.put("a", TOKEN)
    repository.commit()
    repository.git("commit", "--quiet", "--amend", "--allow-empty", "-m", "x")
    repository.git("rm", "--quiet", "a")
    repository.git("commit", "--quiet", "--amend", "--allow-empty", "-m", "x")
    assert history() == []


def test_names_of_all_kinds(repository: Repository) -> None:
    names = ["a b", "caf\u00e9", os.fsdecode(b"caf\xe9"), "new\nline", ":100644", "x missing"]
    for name in names:
        repository.put(name, f"{name} {TOKEN}")
        repository.commit()
        ((path, _, _, commit),) = history()
        assert (path, commit) == (name, repository.git("rev-parse", "HEAD"))
        repository.git("update-ref", "-d", "HEAD")
        repository.git("--literal-pathspecs", "rm", "--quiet", "--cached", "--", name)


def test_an_empty_a_bare_and_no_repository(repository: Repository, tmp_path: Path) -> None:
    assert history() == []
    repository.put("a", TOKEN)
    commit = repository.commit()
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    assert history(str(tmp_path / "bare")) == [("a", 1, 1, commit)]
    for path in (str(tmp_path), str(tmp_path / "nowhere")):
        (result,) = scan_history(path)
        assert isinstance(result, Unreadable)
        assert result.path == path


def test_a_replaced_object_or_a_graft_hides_nothing(repository: Repository) -> None:
    repository.put("a", TOKEN)
    commit = repository.commit()
    repository.git("rm", "--quiet", "a")
    last = repository.commit()
    Path(".git/info/grafts").write_text(f"{last}\n")
    assert history() == [("a", 1, 1, commit)]
    Path("b").write_text("nothing")
    clean = repository.git("hash-object", "-w", "b")
    Path(".git/info/grafts").unlink()
    repository.git("replace", repository.git("rev-parse", f"{commit}:a"), clean)
    assert history() == [("a", 1, 1, commit)]


def test_the_environment_of_a_hook_names_no_other_repository(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.put("a", TOKEN)
    commit = repository.commit()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert history() == [("a", 1, 1, commit)]


def test_missing_objects_are_told(repository: Repository) -> None:
    """What isn't there can't be scanned, and the rest is."""
    repository.put("a", "a")
    repository.put("b", f"{TOKEN}\n")
    commit = repository.commit()
    id = repository.git("rev-parse", "HEAD:a")
    Path(f".git/objects/{id[:2]}/{id[2:]}").unlink()
    assert list(scan_history(".")) == [
        Unreadable(".", "the repository lacks some of its objects: 1"),
        Finding(id=TOKEN[:21], path="b", line=1, column=1, commit=commit),
    ]
    id = repository.git("rev-parse", "HEAD")
    Path(f".git/objects/{id[:2]}/{id[2:]}").unlink()
    (result,) = scan_history(".")
    assert isinstance(result, Unreadable)
    assert "hint" not in result.reason


def test_nothing_is_fetched(repository: Repository, tmp_path: Path) -> None:
    """A partial clone lacks what it has not fetched; nothing is taken for clean."""
    repository.put("a", TOKEN)
    repository.commit()
    repository.put("a", "gone")
    repository.commit()
    repository.git("config", "uploadpack.allowFilter", "true")
    source = f"file://{repository.path}"
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--no-local", "--filter=blob:none", source, str(clone))
    before = repository.git("-C", str(clone), "count-objects", "-v")
    assert Unreadable(str(clone), "the repository lacks some of its objects: 1") in list(
        scan_history(str(clone))
    )
    assert repository.git("-C", str(clone), "count-objects", "-v") == before


def test_a_shallow_clone_is_no_whole_history(repository: Repository, tmp_path: Path) -> None:
    repository.put("a", TOKEN)
    repository.commit()
    repository.git("rm", "--quiet", "a")
    repository.put("b", KEY)
    commit = repository.commit()
    clone = str(tmp_path / "clone")
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.path}", clone)
    missing, found = scan_history(clone)
    assert missing == Unreadable(clone, "a shallow clone lacks its older commits")
    assert found == Finding(id=KEY[:21], path="b", line=1, column=1, commit=commit)


def test_git_must_be_installed(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository.path))
    assert list(scan_history(".")) == [Unreadable(".", "git must be installed")]
    assert shutil.which("git") is None
