"""``gatepass catalogue show``, ``publish`` and ``history``."""

import json
from pathlib import Path

import pytest

from gatepass.registry.storage.tables import catalogue_versions
from tests.cli.conftest import Gatepass, the_node

FIRST = 'permissions:\n  charges:get: {title: "See", routes: ["GET /charges/{id}"]}\n'
SECOND = 'permissions:\n  payouts:get: {title: "See"}\n'


def test_a_file_is_published_shown_and_listed(installed: Gatepass, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    assert installed("catalogue", "show").out == ""
    file.write_text(FIRST)
    said = installed("catalogue", "publish", str(file), "--note", "The first")
    assert (said.code, said.out) == (0, "Published as version 1.\n")
    assert said.err == "adds charges:get: GET /charges/{id}\n"
    file.write_text(SECOND)
    said = installed("catalogue", "publish", str(file), "--json")
    made = json.loads(said.out)
    assert (made["number"], made["created_by_name"]) == (2, "the command line")
    assert "drops charges:get" in said.err
    assert installed("catalogue", "publish", str(file)).out == (
        "Version 2 has this text already.\n"
    )
    assert installed("catalogue", "show").out == SECOND
    assert installed("catalogue", "show", "--version", "1").out == FIRST
    assert installed("catalogue", "show", "--version", "3").code == 1
    listed = installed("catalogue", "history").out
    assert "The first" in listed
    items = json.loads(installed("catalogue", "history", "--json").out)["items"]
    assert [each["number"] for each in items] == [2, 1]


def test_a_bad_one_changes_nothing(installed: Gatepass, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(FIRST)
    installed("catalogue", "publish", str(file))
    file.write_text("permissions:\n  users:get: {}\n")
    said = installed("catalogue", "publish", str(file))
    assert (said.code, len(said.err.splitlines())) == (1, 1)
    assert "line 2" in said.err
    assert installed("catalogue", "show").out == FIRST
    assert installed("catalogue", "publish").code == 2


def test_the_configured_file_needs_no_name(
    installed: Gatepass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "configured.yaml"
    file.write_text(SECOND)
    monkeypatch.setenv("GATEPASS_CATALOGUE", str(file))
    said = installed("catalogue", "publish")
    assert said.out == "Published as version 1.\n"
    (item,) = json.loads(installed("catalogue", "history", "--json").out)["items"]
    assert item["from_file"]


def test_a_former_one_with_a_name_that_a_release_has_taken_is_replaced(
    installed: Gatepass, tmp_path: Path
) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(FIRST)
    installed("catalogue", "publish", str(file))
    taken = FIRST.replace("charges:get", "users:get")
    with the_node() as node, node.database.write(node.clock.now()) as change:
        change.session.execute(catalogue_versions.update().values(text=taken))
    file.write_text(SECOND)
    said = installed("catalogue", "publish", str(file))
    assert (said.code, said.out) == (0, "Published as version 2.\n")
    assert "drops charges:get" in said.err
