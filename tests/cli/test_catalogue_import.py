"""``gatepass catalogue import``."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Gatepass

BEFORE = """\
permissions:
  charges:look: {title: "Look at charges", routes: ["GET /v1/charges"]}
  payouts:get: {title: "See a payout", routes: ["GET /v1/payouts/{id}"]}
  reports:run: {title: "Run reports"}
options:
  encoded_slash: ["GET /v1/charges/{id}"]
"""
DOCUMENT = {
    "openapi": "3.0.3",
    "paths": {
        "/v1/charges": {"get": {"summary": "List."}, "post": {"summary": "Create a charge"}},
        "/v1/charges/{id}": {"get": {}},
    },
}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


def test_it_is_printed(gatepass: Gatepass, document: Path) -> None:
    said = gatepass("catalogue", "import", str(document))
    assert said.code == 0
    assert said.out.splitlines()[1] == (
        '  charges:search: {title: "List", routes: ["GET /v1/charges"]}'
    )
    assert "adds charges:create: POST /v1/charges" in said.err


def test_a_file_is_brought_up_to_date(installed: Gatepass, document: Path, tmp_path: Path) -> None:
    """What people chose in it stays; what the document lacks goes, and its holders are named."""
    file = tmp_path / "catalogue.yaml"
    file.write_text(BEFORE.replace("GET /v1/charges/{id}", "GET /v1/payouts/{id}"))
    said = installed("catalogue", "import", str(document), "--out", str(file))
    # An option that names a route which is dropped is for a person to change.
    assert said.code == 1
    assert "must be a route of one of the permissions" in said.err
    former = BEFORE.split("options")[0]
    # So is a preset that names a permission which is dropped.
    file.write_text(former + 'presets: {Payer: {permissions: ["payouts:get"]}}\n')
    said = installed("catalogue", "import", str(document), "--out", str(file))
    assert said.code == 1
    assert "'payouts:get' must be a permission of this file" in said.err
    file.write_text(former)
    said = installed("catalogue", "import", str(document), "--out", str(file), "--check")
    assert said.code == 1
    assert "drops payouts:get" in said.err
    assert file.read_text() == former
    assert installed("catalogue", "import", str(document), "--out", str(file)).code == 0
    assert file.read_text() == (
        "permissions:\n"
        '  charges:look: {title: "Look at charges", routes: ["GET /v1/charges"]}\n'
        '  charges:create: {title: "Create a charge", routes: ["POST /v1/charges"]}\n'
        '  charges:get: {title: "charges:get", routes: ["GET /v1/charges/{id}"]}\n'
        '  reports:run: {title: "Run reports"}\n'
    )
    said = installed("catalogue", "import", str(document), "--out", str(file), "--check")
    assert (said.code, said.out) == (0, "")
    assert "is up to date" in said.err
    kept = file.read_text() + 'options:  # slashes\n  encoded_slash: ["GET /v1/charges/{id}"]\n'
    kept += 'presets:\n  Lookers: {permissions: ["charges:look"]}\n'
    file.write_text(kept)
    assert installed("catalogue", "import", str(document), "--out", str(file)).code == 0
    assert file.read_text() == kept
    assert [each.name for each in tmp_path.glob(".catalogue*")] == []


def test_wrong_files_are_one_line(gatepass: Gatepass, document: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("swagger: '2.0'")
    for arguments in (
        (str(wrong),),
        (str(tmp_path / "none.yaml"),),
        (str(document), "--out", str(wrong)),
    ):
        said = gatepass("catalogue", "import", *arguments)
        assert (said.code, len(said.err.splitlines())) == (1, 1)
    assert gatepass("catalogue", "import", str(document), "--check").code == 2
