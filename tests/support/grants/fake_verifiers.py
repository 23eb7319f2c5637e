"""Nodes and embedded verifiers that exist only as rows of the registry."""

from typing import Any, Literal

import pytest
from sqlalchemy import text

from gatepass.registry.replication import liveness, receipts
from gatepass.registry.replication.liveness import Presence
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Database

STALENESS = 10_000


def presence(id: str, kind: Literal["node", "embedded"] = "embedded", **more: Any) -> Presence:
    """A registration with default values."""
    ordinary: dict[str, Any] = {
        "name": f"{id}.internal",
        "version": "0.1.0",
        "address": "10.0.0.7",
        "key_id": "gpvk_0000000000000000" if kind == "embedded" else None,
        "limits": None,
        "staleness_ms": STALENESS,
    }
    return Presence(id=id, kind=kind, **(ordinary | more))


def meet(database: Database, now: int, *ids: str, copies: bool = True, **more: Any) -> None:
    """Register embedded verifiers; with *copies*, they have reported that they hold a copy."""
    for id in ids:
        with database.auxiliary_write(now) as write:
            liveness.meet(write, presence(id, **more))
            if copies:
                assert liveness.report(write, id, None, now)


def acknowledge(database: Database, now: int, id: str) -> None:
    """Report that a verifier has reached the current revision."""
    with database.auxiliary_write(now) as write:
        assert liveness.report(write, id, revisions.here(write), now)


def complete(database: Database, now: int) -> int:
    """Complete the receipts that are due, as a node's background task does."""
    with database.auxiliary_write(now) as write:
        return receipts.complete(write)


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    with database.read(0) as reading:
        return [
            dict(row._mapping) for row in reading.session.execute(text(f"SELECT * FROM {table}"))
        ]


def by_the_sessions_time(patch: pytest.MonkeyPatch) -> None:
    """Replace PostgreSQL's clock by the transaction's time, which the test sets."""
    for module in (liveness, receipts):
        patch.setattr(module, "shared_now", lambda reading: reading.now)
