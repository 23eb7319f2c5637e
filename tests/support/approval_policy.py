"""A token policy that names permissions which need a second person."""

from sqlalchemy import delete, insert

from gatepass.registry.storage.tables import token_policies
from tests.support.database.small_registry import SmallRegistry


def require(registry: SmallRegistry, *permissions: str) -> None:
    """Let Northwind's policy require a second person for *permissions*."""
    with registry.write() as change:
        change.session.execute(delete(token_policies))
        change.session.execute(
            insert(token_policies),
            {
                "company_id": registry.northwind.id,
                "networks_required": False,
                "approval_required": list(permissions),
                "warn_days": [],
            },
        )
