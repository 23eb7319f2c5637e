"""Scans what the next commit of a Git repository would add, for a hook before it."""

import os
from collections.abc import Iterator, Sequence
from tempfile import TemporaryFile

from gatepass.scan.findings import Result, finding, unreadable
from gatepass.scan.git import GitError, objects, records, running
from gatepass.scan.matching import Scanner

_ABSENT = b"000000"
_SUBMODULE = b"160000"


def scan_staged(paths: Sequence[str]) -> Iterator[Result]:
    """Scan the staged contents of new and changed files, whole, not what the work tree has.

    Args:
        paths: only those files, and files below those directories; all by default.
    """
    try:
        yield from _scan_staged(paths)
    except GitError as error:
        yield unreadable("the staged files", str(error))


def _scan_staged(paths: Sequence[str]) -> Iterator[Result]:
    # A misspelt path has nothing staged, either; and outside of a repository, git diff compares
    # directories.
    with running(None, "ls-files", "--error-unmatch", "-z", "--", *paths) as output:
        for _ in records(output):
            pass
    scanner = Scanner()
    staged = list(_staged(paths))
    with TemporaryFile() as ids:
        ids.writelines(id + b"\n" for id, _ in staged)
        ids.seek(0)
        for (_, path), one in zip(staged, objects(None, ids), strict=True):
            if one.type == "missing":
                yield unreadable(path, "the repository lacks its content")
                continue
            for match in scanner.scan(one.read):
                yield finding(match, path)


def _staged(paths: Sequence[str]) -> Iterator[tuple[bytes, str]]:
    """The new and changed files of the index: each one's object and path."""
    command = ("diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-relative")
    with running(None, *command, "--", *paths) as output:
        parts = records(output)
        for part in parts:
            path = os.fsdecode(next(parts))
            _, mode, _, id, _ = part.split(b" ")
            if mode not in (_ABSENT, _SUBMODULE):
                yield id, path
