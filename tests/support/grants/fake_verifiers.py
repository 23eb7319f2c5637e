"""Nodes and embedded verifiers for tests: met, and seen to decide, without any being there."""

from typing import Any, Literal

import pytest
from sqlalchemy import text

from gatepass.registry.replication import liveness, receipts
from gatepass.registry.replication.liveness import Registration
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Database

STALENESS = 10_000


def registration(
    id: str, kind: Literal["node", "embedded"] = "embedded", **more: Any
) -> Registration:
    """Somebody of that id."""
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
    """Embedded verifiers of these ids are there, and are about to be vouched for if *copies*."""
    for id in ids:
        with database.auxiliary_write(now) as write:
            liveness.register(write, registration(id, **more))
            if copies:
                assert liveness.report(write, id, None, now)


def acknowledge(database: Database, now: int, id: str) -> None:
    """It decides by all there is now."""
    with database.auxiliary_write(now) as write:
        assert liveness.report(write, id, revisions.latest(write), now)


def complete(database: Database, now: int) -> int:
    """Complete what is ready, as a node's duty does."""
    with database.auxiliary_write(now) as write:
        return receipts.complete(write)


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    """All of a table."""
    with database.read(0) as reading:
        return [
            dict(row._mapping) for row in reading.session.execute(text(f"SELECT * FROM {table}"))
        ]


def by_the_sessions_time(patch: pytest.MonkeyPatch) -> None:
    """Let PostgreSQL's clock be what the test says it is."""
    for module in (liveness, receipts):
        patch.setattr(module, "shared_now", lambda reading: reading.now)
