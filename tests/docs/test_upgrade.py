"""docs/how-to/upgrade.md: the program is exchanged, and put back, at any upgrade."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/upgrade.md").read_text()
README = (ROOT / "README.md").read_text()
OLD, NEW = "0.1.0", "0.2.0"
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.4.0")
#: Stands in for systemctl: on a start it writes down the version that it would start.
SYSTEMCTL = """#!/bin/sh
[ "$*" = "start gatepass" ] || [ "$*" = "restart gatepass" ] || exit 0
cat "$OPT/gatepass/version" >> "$OPT/started"
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ln -T is GNU's")


def block(heading: str, program: str) -> str:
    """The section's lines of shell with *program*."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    [found] = [
        each
        for each in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
        if each.startswith(program)
    ]
    return found


class Machine:
    """A directory in place of ``/opt``, with a directory for each version in place of programs."""

    def __init__(self, directory: Path) -> None:
        self.opt = directory / "opt"
        self.programs = directory / "bin"
        for each in (self.opt, self.programs):
            each.mkdir()
        (self.programs / "systemctl").write_text(SYSTEMCTL)
        (self.programs / "systemctl").chmod(0o755)

    def install(self, version: str) -> None:
        (self.opt / f"gatepass-{version}").mkdir()
        (self.opt / f"gatepass-{version}/version").write_text(version + "\n")

    def run(self, lines: str, old: str = OLD, new: str = NEW) -> int:
        lines = re.sub(r"\b0\.[12]\.0\b", lambda v: old if v[0] == OLD else new, lines)
        return subprocess.run(
            ["sh", "-eu", "-c", lines.replace("/opt/", f"{self.opt}/")],
            env={"PATH": f"{self.programs}:{os.environ['PATH']}", "OPT": str(self.opt)},
            stderr=subprocess.DEVNULL,
        ).returncode

    def started(self) -> list[str]:
        return (self.opt / "started").read_text().split()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_every_upgrade_can_be_undone(machine: Machine) -> None:
    machine.install(OLD)
    [link] = re.findall(r"^ln .*", README, re.MULTILINE)
    assert machine.run(link) == 0
    expected = []
    for old, new in itertools.pairwise(VERSIONS):
        machine.install(new)
        for lines in (
            block("3. Upgrade", "systemctl"),
            block("Go back", "systemctl"),
            block("3. Upgrade", "systemctl"),
        ):
            assert machine.run(lines, old, new) == 0
        expected += [new, old, new]
    assert machine.started() == expected


def test_a_directory_is_not_filled_but_renamed_once(machine: Machine) -> None:
    """As instructions of 0.1.0 made it."""
    machine.install(OLD)
    (machine.opt / f"gatepass-{OLD}").rename(machine.opt / "gatepass")
    machine.install(NEW)
    before = sorted(machine.opt.rglob("*"))
    assert machine.run(block("3. Upgrade", "systemctl")) != 0
    assert sorted(machine.opt.rglob("*")) == before
    assert machine.run(block("3. Upgrade", "mv")) == 0
    assert machine.run(block("3. Upgrade", "systemctl")) == 0
    assert machine.run(block("Go back", "systemctl")) == 0
    assert machine.started() == [NEW, OLD]


def test_the_readme_installs_this_version() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert set(re.findall(r"/opt/gatepass-([0-9.]+[0-9])", README)) == {version[1]}


@pytest.mark.parametrize("page", ["upgrade", "run-in-a-container", "run-on-kubernetes"])
def test_the_schema_is_planned_saved_and_migrated_before_the_program_changes(page: str) -> None:
    text = (ROOT / f"docs/how-to/{page}.md").read_text()
    commands = "\n".join(re.findall(r"^ *```sh\n(.*?)```", text, re.DOTALL | re.MULTILINE))
    if page == "upgrade":
        # The migration stands in the text between.
        order = ["migrate --plan", "export /var", "ln -sfT"]
    elif page == "run-in-a-container":
        order = ["migrate --plan", "export /var", "migrate\n", "up -d\n"]
        commands = commands.rpartition(" build\n")[2]
    else:
        order = ["{migrate,--plan}", "export /var", "--replicas 0", "{migrate}", "helm upgrade"]
    places = [commands.find(each) for each in order]
    assert places == sorted(places)
    assert -1 not in places
    # An export never overwrites a file: the next upgrade's needs another name.
    [saved] = re.findall(r"gatepass export /var/lib/gatepass/(\S+)", commands)
    assert saved == f"before-{NEW}"
