"""Runs shell commands at a terminal, and answers the questions for a password."""

import os
import pty
from collections.abc import Mapping

_ASKS = (b"Password (at least 15 characters): ", b"The same again: ")


def at_a_terminal(script: str, password: str, environ: Mapping[str, str], directory: str) -> str:
    """Run *script* with bash, which ends at the first command that fails; the output."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(directory)
        os.execve("/bin/bash", ["bash", "-eu", "-c", script], dict(environ))
    said, answered = b"", 0
    while True:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:
            break
        if not piece:
            break
        said += piece
        asked = sum(map(said.count, _ASKS))
        if asked > answered:
            answered = asked
            os.write(terminal, password.encode() + b"\n")
    _, status = os.waitpid(child, 0)
    output = said.decode(errors="replace").replace("\r\n", "\n")
    assert os.waitstatus_to_exitcode(status) == 0, output
    return output
