"""The REST API: one module per resource."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from gatepass.web.api import (
    access_tokens,
    admin_keys,
    allowlist,
    audit_events,
    audit_export,
    authentications,
    catalogue,
    companies,
    company,
    company_access_tokens,
    company_owners,
    email_addresses,
    invitations,
    nodes,
    oidc,
    receipts,
    roles,
    service_accounts,
    users,
    verifier_keys,
)


def operation_id(route: APIRoute) -> str:
    """The OpenAPI operation id, such as ``access_tokens_create``."""
    module = route.endpoint.__module__.rpartition(".")[2]
    return f"{module}_{route.name.strip('_')}"


router = APIRouter(
    prefix="/v1",
    generate_unique_id_function=operation_id,
)
for module in (
    authentications,
    catalogue,
    access_tokens,
    receipts,
    allowlist,
    invitations,
    users,
    email_addresses,
    service_accounts,
    roles,
    company,
    audit_events,
    audit_export,
    verifier_keys,
    admin_keys,
    companies,
    company_owners,
    company_access_tokens,
    nodes,
    oidc,
):
    router.include_router(module.router)
