"""Scans all commits of a Git repository that a branch, a tag or the stash reaches.

Every version of every file is an object, which is read once, however many commits have it. That
takes less time than comparing each commit with its parents, as ``git log -p`` does. Only where
objects hold credentials, a walk through the commits finds the first that has each.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import closing

from gatepass.scan.findings import Finding, Result, finding, unreadable
from gatepass.scan.git import GitError, objects, records, running
from gatepass.scan.matching import Match, Scanner

#: The path of a credential in the message of a commit or tag.
MESSAGE = "(message)"

# By the object's id: the credentials in it, and its path as far as it is known without a commit.
_Holders = dict[str, tuple[list[Match], str]]
# By the object's id, parents before children: the first commit with the object, and its path there.
_Places = dict[str, tuple[str | None, str]]


def scan_history(directory: str) -> Iterator[Result]:
    """Scan the history of the repository that *directory* is in.

    Each credential is found once, with the first commit that has it.
    """
    holders: _Holders = {}
    places: _Places = {}
    try:
        with running(directory, "rev-parse", "--is-shallow-repository") as output:
            if output.read() == b"true\n":
                yield unreadable(directory, "a shallow clone lacks its older commits")
        yield from _scan_objects(directory, holders)
        _locate(directory, holders, places)
    except GitError as error:
        yield unreadable(directory, str(error))
    yield from _findings(holders, places)


def _scan_objects(directory: str, holders: _Holders) -> Iterator[Result]:
    """Add each object that has credentials to *holders*."""
    scanner = Scanner()
    missing = 0
    # Without --missing, a partial clone would fetch what it lacks, or the rest remain unread.
    with running(directory, "rev-list", "--all", "--objects", "--missing=print") as ids:
        for one in objects(directory, ids):
            if one.type == "missing":
                missing += 1
            elif one.type == "tree":
                one.skip()
            else:
                matches = list(scanner.scan(one.read))
                if matches:
                    path = os.fsdecode(one.rest) if one.type == "blob" else MESSAGE
                    holders[one.id] = matches, path or f"(object {one.id})"
    if missing:
        yield unreadable(directory, f"the repository lacks some of its objects: {missing}")


def _locate(directory: str, holders: _Holders, places: _Places) -> None:
    """Add to *places* where each of *holders* is first."""
    if not holders:
        return
    with closing(_additions(directory)) as additions:
        for commit, id, path in additions:
            if id in holders and id not in places:
                places[id] = commit, path
                if len(places) == len(holders):
                    return


def _additions(directory: str) -> Generator[tuple[str, str, str], None, None]:
    """Each commit's new objects, parents before children: the commit, the object, its path."""
    with (
        running(directory, "rev-list", "--all", "--topo-order", "--reverse") as commits,
        running(
            directory,
            *("diff-tree", "--stdin", "--root", "--always", "-m", "-r", "-z"),
            *("--raw", "--no-abbrev", "--no-renames"),
            stdin=commits,
        ) as output,
    ):
        commit = ""
        parts = records(output)
        for part in parts:
            if part.startswith(b":"):
                id = part.split(b" ")[3].decode()
                yield commit, id, os.fsdecode(next(parts))
            else:
                commit = part.decode()
                yield commit, commit, MESSAGE


def _findings(holders: _Holders, places: _Places) -> Iterator[Finding]:
    # Tags' own messages, and files that a tag names directly, are in no commit: they come last.
    without_commit = [id for id in holders if id not in places]
    known = set()
    for id in (*places, *without_commit):
        matches, path = holders[id]
        commit, path = places.get(id, (None, path))
        for match in matches:
            if match.credential not in known:
                known.add(match.credential)
                yield finding(match, path, commit)
