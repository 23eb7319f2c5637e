"""Files below directories: which are read, and what is said of those that can't be."""

import io
import os
import sys
from pathlib import Path

import pytest

from gatepass.scan.files import scan_paths
from gatepass.scan.findings import Finding, Unreadable

TOKEN = "gpat_0123456789ABCDEFabcdefghijklmnopqrstuvwxyz0123452AXRNJ"


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to fill, beside another with a credential."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text(TOKEN)
    directory = tmp_path / "tree"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def put(path: str, content: str = TOKEN) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)


def scanned(*paths: str) -> list[str]:
    """The paths of findings, and errors as ``path: reason``."""
    return [
        f"{one.path}: {one.reason}" if isinstance(one, Unreadable) else one.path
        for one in scan_paths(paths)
    ]


def test_a_directory_is_scanned_in_the_order_of_names() -> None:
    for path in ("b/d/e", "b/c", "a", "z", ".env", "b/.cache/x"):
        put(path)
    put("b/none", "nothing here")
    assert scanned(".") == ["./.env", "./a", "./z", "./b/c", "./b/.cache/x", "./b/d/e"]
    assert scanned("b/d", "a") == ["b/d/e", "a"]


def test_a_finding_has_its_place_and_nothing_secret() -> None:
    put("app.py", f'\nKEY = "{TOKEN}"\n')
    (result,) = scan_paths(["app.py"])
    assert result == Finding(id=TOKEN[:21], path="app.py", line=2, column=8)
    assert TOKEN[21:53] not in repr(result)


def test_the_files_of_git_are_left_out() -> None:
    put(".git/packed")
    put("sub/.git/packed")
    put(".github/workflow")
    assert scanned(".") == ["./.github/workflow"]
    assert scanned(".git") == [".git/packed"]


def test_links_are_not_followed_below_a_directory() -> None:
    put("a/file")
    Path("loop").symlink_to(".")
    Path("a/up").symlink_to("..")
    Path("out").symlink_to("../outside")
    Path("out-file").symlink_to("../outside/secret")
    Path("dangling").symlink_to("nowhere")
    assert scanned(".") == ["./a/file"]
    # But a path may be one.
    assert scanned("out-file", "out") == ["out-file", "out/secret"]


def test_a_pipe_in_a_directory_is_left_out_and_doesnt_block() -> None:
    os.mkfifo("pipe")
    put("file")
    assert scanned(".") == ["./file"]


def test_a_file_that_becomes_a_pipe_or_a_link_doesnt_block_or_lead_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a", "b", "c"):
        put(name)
    really_open = os.open

    def replace_first(path: str, flags: int) -> int:
        if path == "./a":
            os.unlink(path)
            os.mkfifo(path)
        elif path == "./b":
            os.unlink(path)
            os.symlink("../outside/secret", path)
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", replace_first)
    (link, last) = scanned(".")
    assert link.startswith("./b: ")
    assert last == "./c"


def test_the_rest_is_scanned_where_something_cant_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("a", "b", "closed/x", "z"):
        put(path)
    really_open, really_scan = os.open, os.scandir

    def refuse(path: str, flags: int) -> int:
        if path == "./a":
            raise PermissionError(13, "Permission denied", path)
        return really_open(path, flags)

    def refuse_directory(path: str) -> object:
        if path == "./closed":
            raise PermissionError(13, "Permission denied", path)
        return really_scan(path)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "scandir", refuse_directory)
    assert scanned(".", "nowhere") == [
        "./a: Permission denied",
        "./b",
        "./z",
        "./closed: Permission denied",
        "nowhere: No such file or directory",
    ]


def test_a_file_that_breaks_off_is_no_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    put("file", f"{TOKEN}\n" + "x" * (2 << 20))
    really_read = os.readv
    count = 0

    def fail(file: int, views: tuple[memoryview]) -> int:
        nonlocal count
        count += 1
        if count > 1:
            raise OSError(5, "Input/output error")
        return really_read(file, views)

    monkeypatch.setattr(os, "readv", fail)
    assert scanned("file") == ["file", "file: Input/output error"]


def test_names_of_all_kinds() -> None:
    put(f"{TOKEN}.txt")
    Path(os.fsdecode(b"caf\xe9\n")).write_text(TOKEN)
    named, other = sorted(scanned("."), key=len, reverse=True)
    assert named == f"./{TOKEN[:21]}….txt"
    assert os.fsencode(other) == b"./caf\xe9\n"
    assert scanned("a\0b") == ["a\0b: not a file name"]
    (missing,) = scanned(TOKEN)
    assert TOKEN[21:53] not in missing


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(f"x\n{TOKEN}".encode())))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(scan_paths(["-"])) == [Finding(id=TOKEN[:21], path="-", line=2, column=1)]


def test_standard_input_that_doesnt_block_is_not_taken_for_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    with open(ours) as stdin, open(theirs, "w"):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert scanned("-") == ["-: standard input must not be non-blocking"]
