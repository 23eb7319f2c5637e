"""Registered nodes and embedded verifiers for tests, without running any."""

from typing import Any, Literal

import pytest
from sqlalchemy import text

from gatepass.registry.replication import liveness, receipts, use_reports
from gatepass.registry.replication.liveness import Registration
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Database

STALENESS = 10_000


def registration(
    id: str, kind: Literal["node", "embedded"] = "embedded", **more: Any
) -> Registration:
    """A registration with that id."""
    ordinary: dict[str, Any] = {
        "name": f"{id}.internal",
        "version": "0.1.0",
        "address": "10.0.0.7",
        "key_id": "gpvk_0000000000000000" if kind == "embedded" else None,
        "limits": None,
        "staleness_ms": STALENESS,
    }
    return Registration(id=id, kind=kind, **(ordinary | more))


def register(database: Database, now: int, *ids: str, copies: bool = True, **more: Any) -> None:
    """Register embedded verifiers with these ids; with *copies*, report a lease for each, too."""
    for id in ids:
        with database.auxiliary_write(now) as write:
            liveness.register(write, registration(id, **more))
            if copies:
                assert liveness.report(write, id, None, now)


def acknowledge(database: Database, now: int, id: str) -> None:
    """Acknowledge the latest position."""
    with database.auxiliary_write(now) as write:
        assert liveness.report(write, id, revisions.latest(write), now)


def report_use(database: Database, now: int, id: str, until: int) -> None:
    """Say that all calls up to *until* are counted, with a heartbeat."""
    with database.auxiliary_write(now) as write:
        assert liveness.report(write, id, None, now, until)


def complete(database: Database, now: int) -> int:
    """Complete the receipts that are ready, as a node does."""
    with database.auxiliary_write(now) as write:
        return receipts.complete(write)


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    with database.read(0) as reading:
        return [
            dict(row._mapping) for row in reading.session.execute(text(f"SELECT * FROM {table}"))
        ]


def by_the_sessions_time(patch: pytest.MonkeyPatch) -> None:
    """Use the session's time in place of PostgreSQL's clock."""
    for module in (liveness, receipts, use_reports):
        patch.setattr(module, "shared_now", lambda reading: reading.now)
