"""Nothing tells users to install Gatepass by its name: a registry may have a stranger's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What users read: pages, examples, clients, and the texts of errors.
READ = sorted(
    path
    for pattern in ("*.md", "docs/**/*", "clients/**/*", "deploy/**/*", "examples/**/*", "src/**/*")
    for path in ROOT.glob(pattern)
    if path.suffix in {".md", ".py", ".ts", ".go", ".html", ".toml", ".yaml", ".txt"}
    and "node_modules" not in path.parts
)
_INSTALLS = re.compile(
    r"\b(?:pip[x3]?|uvx?|poetry|pdm|conda|npm|pnpm|yarn|npx)\b[^\n`|]*", re.IGNORECASE
)
#: A requirement, and no path or file: gatepass, gatepass[server], gatepass==1, @gatepass/client.
_OF_A_REGISTRY = re.compile(r"(?:gatepass(?:\[[\w, -]*\])?|@gatepass/\w+)(?:[=<>~!@].*)?")
_VERBS = {"install", "add", "i", "run", "download", "wheel", "exec"}


def by_name(text: str) -> list[str]:
    """The parts of *text* that install Gatepass from a registry."""
    found = []
    for command in _INSTALLS.findall(text):
        program, *words = (word.strip("'\"().,;:}") for word in command.partition("#")[0].split())
        if program in {"npx", "uvx"} or _VERBS & set(words):
            found += [command for word in words if _OF_A_REGISTRY.fullmatch(word)]
    return found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("pip install gatepass    # four small dependencies", 1),
        ("run `pip install 'gatepass[server,grpc]'`", 1),
        ("python -m pip install --upgrade gatepass==0.1.0", 1),
        ("uv add gatepass", 1),
        ("npm install @gatepass/client", 1),
        ("pip install '.[server]'", 0),
        ("/opt/gatepass/bin/pip install ../gatepass", 0),
        ("pip install gatepass-0.1.0-py3-none-any.whl", 0),
        ("npm install ../gatepass/clients/typescript/gatepass-client-0.1.0.tgz", 0),
        ("pip install standardwebhooks", 0),
    ],
)
def test_an_installation_by_name_is_recognized(text: str, count: int) -> None:
    assert len(by_name(text)) == count


def test_nobody_is_told_to_install_it_from_a_registry() -> None:
    found = {str(path.relative_to(ROOT)): by_name(path.read_text()) for path in READ}
    assert {path: commands for path, commands in found.items() if commands} == {}
