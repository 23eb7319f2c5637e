"""Sessions at a terminal: each file of ``transcripts/`` is one.

======================  ===========================================================
``$ gatepass …``        a command; ``$ NAME=value`` sets the environment from there on
``< text``              a line of its standard input (before the command)
``text``                a line on standard output
``! text``              a line on standard error
``[1]``                 the exit code; 0 if there is none
``…``                   anything, on that line
``«name»``              a word, the same wherever the name stands again
``# text``              a remark
======================  ===========================================================
"""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.conftest import Gatepass

pytestmark = pytest.mark.slow

#: An access token that no installation has issued.
_LEAKED = "gpat_0123456789ABCDEFabcdefghijklmnopqrstuvwxyz0123452AXRNJ"
TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@dataclass
class Step:
    """A command of a transcript with its expected output."""

    line: int
    command: str
    stdin: str
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    code: int = 0


def steps(text: str) -> list[Step]:
    found: list[Step] = []
    stdin = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("< "):
            stdin += line[2:] + "\n"
        elif line.startswith("$ "):
            found.append(Step(number, line[2:], stdin))
            stdin = ""
        elif re.fullmatch(r"\[\d\]", line):
            found[-1].code = int(line[1])
        elif line.startswith("! "):
            found[-1].stderr.append(line[2:])
        else:
            found[-1].stdout.append(line)
    return found


class Session:
    """Runs the steps in order, in this process."""

    def __init__(self, gatepass: Gatepass, monkeypatch: pytest.MonkeyPatch) -> None:
        self._gatepass = gatepass
        self._monkeypatch = monkeypatch
        self._names: dict[str, str] = {}

    def run(self, step: Step) -> None:
        name, equals, value = step.command.partition("=")
        if equals and name.isidentifier():
            self._monkeypatch.setenv(name, value)
            return
        arguments = shlex.split(self._filled(step.command))
        assert arguments[0] == "gatepass"
        said = self._gatepass(*arguments[1:], stdin=step.stdin)
        told = f"line {step.line}: {step.command}\n{said.out}\n--- stderr\n{said.err}"
        assert said.code == step.code, told
        self._match(step.stdout, said.out, told)
        self._match(step.stderr, said.err, told)

    def _match(self, expected: list[str], said: str, told: str) -> None:
        lines = [line for line in said.splitlines() if line.strip()]
        assert len(lines) == len(expected), told
        for pattern, line in zip(expected, lines, strict=True):
            match = re.fullmatch(self._pattern(pattern), line.rstrip())
            assert match is not None, f"expected: {pattern}\nin {told}"
            self._names.update(match.groupdict())

    def _pattern(self, text: str) -> str:
        parts = []
        for part in re.split(r"(…|«\w+»)", text):
            if part == "…":
                parts.append(".*")
            elif part[:1] == "«":
                name = part[1:-1]
                known = self._names.get(name)
                parts.append(rf"(?P<{name}>\S+)" if known is None else re.escape(known))
            else:
                parts.append(re.escape(part))
        return "".join(parts)

    def _filled(self, text: str) -> str:
        return re.sub(r"«(\w+)»", lambda match: self._names[match[1]], text)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_session_matches_its_transcript(
    gatepass: Gatepass, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(
        'permissions:\n  charges:get: {title: "See one", routes: ["GET /v1/charges/{id}"]}\n'
    )
    (tmp_path / "bad.yaml").write_text(
        'permissions:\n  Charges: {}\n  charges:get: {routes: ["get /x"], colour: red}\n'
    )
    (tmp_path / "deploy.env").write_text(f"REGION=eu\nexport GATEPASS_TOKEN={_LEAKED}\n")
    (tmp_path / "latin1.yaml").write_bytes(b"permissions: {} # caf\xe9\n")
    session = Session(gatepass, monkeypatch)
    for step in steps(path.read_text("utf-8")):
        session.run(step)
