"""Scans files, the directories' files below them, and standard input."""

import os
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from io import BufferedReader
from typing import cast

from gatepass.scan.findings import Result, finding, unreadable
from gatepass.scan.matching import Read, Scanner

#: The path that stands for standard input.
STANDARD_INPUT = "-"
# Git's own files are compressed; `git_history` reads what they hold.
_SKIPPED = ".git"
# Another process may have put a link or a pipe in the place of a file below a directory.
_BELOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def scan_paths(paths: Iterable[str]) -> Iterator[Result]:
    """Scan what each path names: a file, every file below a directory, or standard input.

    A path itself may be a symbolic link, or a pipe. Below a directory, symbolic links aren't
    followed, and only regular files are read.
    """
    scanner = Scanner()
    for path in paths:
        if path == STANDARD_INPUT:
            yield from _scan(scanner, path, _read_standard_input)
        elif os.path.isdir(path):
            yield from _scan_directory(scanner, path)
        else:
            yield from _scan_file(scanner, path, os.O_RDONLY)


def _scan_directory(scanner: Scanner, top: str) -> Iterator[Result]:
    # A stack, not recursion: directories can be nested deeper than Python's limit.
    directories = [top]
    while directories:
        directory = directories.pop()
        below = []
        try:
            for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != _SKIPPED:
                        below.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield from _scan_file(scanner, entry.path, _BELOW)
        except OSError as error:
            yield unreadable(directory, error)
        directories.extend(reversed(below))


def _scan_file(scanner: Scanner, path: str, flags: int) -> Iterator[Result]:
    try:
        file = os.open(path, flags)
    except OSError as error:
        yield unreadable(path, error)
        return
    except ValueError:
        yield unreadable(path, "not a file name")
        return
    try:
        yield from _scan(scanner, path, partial(_read_file, file))
    finally:
        os.close(file)


def _scan(scanner: Scanner, path: str, read: Read) -> Iterator[Result]:
    try:
        for match in scanner.scan(read):
            yield finding(match, path)
    except OSError as error:
        yield unreadable(path, error)


def _read_file(file: int, view: memoryview) -> int:
    return os.readv(file, (view,))


def _read_standard_input(view: memoryview) -> int:
    count: int | None = cast(BufferedReader, sys.stdin.buffer).readinto(view)
    if count is None:
        # Not its end: it doesn't block, and has no bytes yet.
        raise BlockingIOError(None, "standard input must not be non-blocking")
    return count
