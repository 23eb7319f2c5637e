"""The files of ``deploy/``: checked by the tools that will read them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gatepass.environment import IN_FILES, PREFIX
from gatepass.settings import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "gatepass.service"
#: systemd's own scale: below 2.0 is its best grade but one.
EXPOSURE = 2.0

pytestmark = pytest.mark.processes


def analyze(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_unit_has_no_fault(tmp_path: Path) -> None:
    here = tmp_path / "gatepass.service"
    here.write_text(UNIT.read_text().replace("/opt/gatepass/bin/gatepass", sys.executable))
    assert analyze("verify", "--man=no", here) == ""


def test_the_unit_is_confined() -> None:
    found = re.search(
        r"exposure level for \S+: ([0-9.]+)", analyze("security", "--offline=true", UNIT)
    )
    assert found is not None
    assert float(found[1]) < EXPOSURE


def test_the_image_runs_unprivileged_with_exact_versions() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    images = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", images[0])
    assert "USER 10001:10001" in text.splitlines()
    assert "--require-hashes" in text
    # What is copied is let in by .dockerignore.
    let_in = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE)
    assert {name for line in copied for name in line.split()} == let_in
    for name in let_in:
        assert (ROOT / name).exists()


def test_compose_confines_it_and_sets_what_exists() -> None:
    read = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    service = read["services"]["gatepass"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    known = {*Settings.names(), *(f"{name}_FILE" for name in IN_FILES)}
    assert {name.removeprefix(PREFIX) for name in service["environment"]} <= known
    in_files = {n: v for n, v in service["environment"].items() if not n.endswith("_FILE")}
    Settings.read({**in_files, "GATEPASS_DATA_DIR": "/data"})
    for one in read["services"].values():
        assert set(one["secrets"]) <= set(read["secrets"])
