"""A node registers, reports its position, and completes receipts."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.decision import Call, Decision, Reason
from gatepass.node.node import Node, open_node
from gatepass.node.reporting import registration_of
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search
from gatepass.registry.storage import tables
from gatepass.settings import Settings
from gatepass.verify.replica.identity import identity
from tests.support.apps.installation import CATALOGUE, Installation
from tests.support.grants.fake_verifiers import rows
from tests.support.waiting import until


@pytest.fixture
def node(database_url: str, tmp_path: Path) -> Iterator[Node]:
    """A started node on each engine in turn."""
    settings = Settings(data_dir=tmp_path / "data", database_url=database_url, port=8790)
    node = open_node(settings, parse_catalogue(CATALOGUE))
    node.start()
    yield node
    node.stop()


def test_a_started_node_is_registered_and_reports_its_position(node: Node) -> None:
    (row,) = until(lambda: rows(node.database, "nodes"))
    assert row["id"] == identity(node.settings.grant_path)
    assert (row["kind"], row["address"], row["key_id"]) == ("node", "127.0.0.1:8790", None)
    assert row["staleness_ms"] == 10_000
    with node.database.write(node.clock.now()) as change:
        revision = change.revision
    until(lambda: rows(node.database, "nodes")[0]["revision"] >= revision)


@pytest.mark.slow
def test_a_node_reports_its_use_also_that_there_was_none(node: Node) -> None:
    def reported() -> int:
        (row,) = until(lambda: rows(node.database, "nodes"))
        return row["use_reported_at"] or 0

    first = until(reported)
    until(lambda: reported() > first)


def test_a_damaged_spool_keeps_a_node_from_reporting_use(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: node.reporting.use_until)
    node.stop()
    reason = Reason.token_invalid
    node.usage.note(Decision(reason, None, frozenset(), Call(reason)), 1)
    node.usage.flush()
    before = node.reporting.use_until

    def damaged(spool: object) -> None:
        raise ValueError("damaged")

    monkeypatch.setattr(node, "_fold", damaged)
    node.fold()
    assert node.reporting.use_until == before


@pytest.mark.slow
def test_a_node_completes_receipts(node: Node) -> None:
    until(lambda: rows(node.database, "nodes"))
    installation = Installation(node)
    ada = installation.signed_in()
    token = installation.access_token("charges:get")[:21]
    assert ada.post(f"/v1/access-tokens/{token}/deactivate").status_code == 200

    def told() -> Any:
        with node.database.read(node.clock.now()) as reading:
            return search.list_(
                reading, Actor.command_line(), action="access_token.refused_everywhere"
            ).items

    (event,) = until(told)
    assert event.subject.id == token
    assert event.after is not None
    assert (event.after["verifiers"], event.after["confirmed"]) == (1, 1)


def test_a_series_of_changes_is_reported_four_times_a_second(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report is a dozen statements; one for each change would delay the changes themselves."""
    reporting, reports = node.reporting, 0
    reporting.task.stop()
    # Long after what it has reported by now.
    passed = time.monotonic() + 1_000

    def report() -> None:
        nonlocal reports
        reports += 1

    clock = SimpleNamespace(monotonic=lambda: passed)
    monkeypatch.setattr("gatepass.node.reporting.time", clock)
    monkeypatch.setattr(reporting, "report_and_complete", report)
    monkeypatch.setattr(reporting, "_place", lambda: object())
    for _ in range(100):
        reporting._run()
        passed += 0.02
    # In two seconds. On one machine, a report is little more than a heartbeat.
    assert reports == (2 if node.settings.is_sqlite else 8)


def test_a_node_that_listens_on_all_addresses_reports_its_public_one(node: Node) -> None:
    everywhere = replace(node.settings, host="0.0.0.0", public_url="https://gatepass.example.com")
    assert registration_of(everywhere).address == "gatepass.example.com"
    v6 = replace(node.settings, host="::1")
    assert registration_of(v6).address == "[::1]:8790"


@pytest.mark.slow
def test_a_node_that_was_deleted_registers_again(node: Node) -> None:
    until(lambda: rows(node.database, "nodes"))
    with node.database.auxiliary_write(node.clock.now()) as write:
        write.session.execute(delete(tables.nodes))
    # The next report finds it missing.
    with node.database.write(node.clock.now()):
        pass
    assert until(lambda: rows(node.database, "nodes"))


def test_an_unreachable_database_is_retried_and_logged_once(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading works; only reporting fails."""
    runs = 0

    def fail() -> None:
        nonlocal runs
        runs += 1
        raise ConnectionError

    monkeypatch.setattr(node.reporting, "report_and_complete", fail)
    monkeypatch.setattr("gatepass.node.reporting._INTERVAL_SECONDS", 0.01)
    until(lambda: runs > 3)
    said = [each for each in caplog.records if "reporting" in each.getMessage()]
    assert len(said) == 1
    assert "ConnectionError" in said[0].getMessage()
