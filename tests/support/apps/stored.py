"""All stored rows of an installation."""

from sqlalchemy import select, text

from gatepass.registry.storage.tables import metadata
from gatepass.verify.grant_file import TABLES
from tests.support.apps.installation import Installation

#: Written in the background: counted use, and heartbeats.
_BACKGROUND = (
    *("token_use", "token_use_days", "token_use_addresses"),
    *("observed_calls", "token_call_hours"),
    *("usage_spools", "decision_counts"),
    *("nodes", "receipt_confirmations"),
)


def everything(installation: Installation) -> dict[str, list[str]]:
    """All stored rows, the audit log included, apart from what is written in the background."""
    with installation.node.database.read(0) as reading:
        stored = {
            name: sorted(map(repr, reading.session.execute(select(table)).all()))
            for name, table in metadata.tables.items()
            if name not in _BACKGROUND
        }
        for name in TABLES:
            stored[name] = sorted(
                map(repr, reading.session.execute(text(f"SELECT * FROM {name}")).all())
            )
    return stored
