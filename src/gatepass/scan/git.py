"""Runs the ``git`` program, and reads objects of a repository.

What a repository says is not trusted: no command runs that its configuration names, such as a text
converter, a pager or a file system monitor, and no object is fetched from a remote.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

import msgspec

_COMMAND = (
    *("git", "--no-pager", "--literal-pathspecs"),
    *("-c", "core.fsmonitor=false", "-c", "protocol.allow=never"),
)
_ENVIRONMENT = {
    # A replacement hides what it replaces, and a graft the commits before it.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}
# Variables that name a repository in place of the directory's, as in a hook.
_OF_A_REPOSITORY = frozenset(
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "INDEX_FILE", "PREFIX", "NAMESPACE", "COMMON_DIR"),
        *("OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "SHALLOW_FILE"),
    )
)
_BLOCK = 1 << 16
# The rest is what followed the object's id in the input, such as its path.
_FORMAT = "%(objectname) %(objecttype) %(objectsize) %(rest)"


class GitError(Exception):
    """``git`` isn't installed, or failed; the message is its own."""


class GitObject(msgspec.Struct):
    """An object whose content is being read.

    Attributes:
        id: its hash.
        type: ``blob``, ``commit``, ``tag`` or ``tree``; ``missing`` if the repository lacks it.
        rest: what the input said after the id.
    """

    id: str
    type: str
    rest: bytes
    _stream: IO[bytes]
    _left: int

    def read(self, view: memoryview) -> int:
        """Read the next bytes of the content into *view*; 0 at its end."""
        content = self._stream.read(min(len(view), self._left))
        if len(content) < min(len(view), self._left):
            raise GitError("git stopped within an object")
        view[: len(content)] = content
        self._left -= len(content)
        return len(content)

    def skip(self) -> None:
        """Read past the rest of the content."""
        block = memoryview(bytearray(_BLOCK))
        while self.read(block):
            pass


@contextmanager
def running(
    directory: str | None, *arguments: str, stdin: IO[bytes] | None = None
) -> Iterator[IO[bytes]]:
    """Run ``git`` within the block; its output.

    Args:
        directory: in the repository; None for the current directory, or the repository that the
            environment of a hook names.
        stdin: what it reads; nothing by default.

    Raises:
        GitError: it can't be started, or failed after its whole output was read.
    """
    environment = {**os.environ, **_ENVIRONMENT}
    command = [*_COMMAND]
    if directory is not None:
        command += "-C", directory
        for name in _OF_A_REPOSITORY:
            environment.pop(name, None)
    with TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, and git's own arguments
                [*command, *arguments],
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
            )
        except FileNotFoundError:
            raise GitError("git must be installed") from None
        except (OSError, ValueError) as error:
            raise GitError(f"git can't be started: {error}") from None
        output = process.stdout
        assert output is not None
        try:
            yield output
            if output.read(1) == b"" and process.wait() != 0:
                errors.seek(0)
                raise GitError(_message(errors.read(_BLOCK)))
        finally:
            process.kill()
            process.wait()
            output.close()


def objects(directory: str | None, ids: IO[bytes]) -> Iterator[GitObject]:
    """The objects that *ids* lists, a line each, in their order.

    Each must be read or skipped to its end before the next.
    """
    with running(directory, "cat-file", f"--batch={_FORMAT}", "--buffer", stdin=ids) as output:
        while header := output.readline():
            fields = header.removesuffix(b"\n").split(b" ", 3)
            if len(fields) == 4:
                id, type, size, rest = fields
                yield GitObject(id.decode(), type.decode(), rest, output, int(size))
                output.read(1)
            else:
                yield GitObject(fields[0].decode(), "missing", b"", output, 0)


def records(output: IO[bytes]) -> Iterator[bytes]:
    """The parts of *output* that each end with a NUL."""
    rest = b""
    while block := output.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole


def _message(errors: bytes) -> str:
    """The line with the error, before which there may be hints."""
    lines = errors.decode("utf-8", "replace").splitlines() or ["git failed"]
    line = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[0])
    return line.removeprefix("fatal: ").removeprefix("error: ")
