"""The policies of companies for their access tokens."""

from sqlalchemy import select

from gatepass.core.token_policy import NO_POLICY, TokenPolicy
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.rows import record_of
from gatepass.registry.storage.tables import token_policies


def of(reading: Reading, company: str) -> TokenPolicy:
    """The policy of the company with that id. Performs no permission check."""
    row = reading.session.execute(
        select(token_policies).where(token_policies.c.company_id == company)
    ).one_or_none()
    if row is None:
        return NO_POLICY
    return record_of(
        TokenPolicy,
        row,
        approval_required=tuple(row.approval_required),
        warn_days=tuple(row.warn_days),
    )
