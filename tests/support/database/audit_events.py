"""A long audit log, inserted at once."""

from typing import Any

from sqlalchemy import insert

from gatepass.registry.storage.database import Database
from gatepass.registry.storage.tables import audit_events


def write_events(database: Database, company: str, number: int, *, at: int, **more: Any) -> None:
    """Insert *number* events of a company (an id), 1 ms apart; the last is at *at* (Unix ms)."""
    ordinary = {
        "company_id": company,
        "actor_kind": "user",
        "actor_id": "usr_made_up",
        "actor_name": "Grace Hopper",
        "actor_credential": "gplt_made_up",
        "address": "203.0.113.9",
        "action": "authentication.created",
        "subject_kind": "authentication",
        "subject_name": "Grace Hopper",
    }
    rows = [
        {"id": f"evt_{at}_{n}", "at": at - n, "subject_id": f"gplt_{at}_{n}", **ordinary, **more}
        for n in reversed(range(number))
    ]
    with database.auxiliary_write(at) as write:
        write.session.execute(insert(audit_events), rows)
